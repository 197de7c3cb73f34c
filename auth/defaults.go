package auth

import "errors"

// defaultName names a cache or client that was given no name.
const defaultName = "default"

// orElse returns value, or fallback when value is its type's zero.
func orElse[T comparable](value, fallback T) T {
	var zero T
	if value == zero {
		return fallback
	}
	return value
}

// plain is an error without this package's prefix, for the middle of a text.
type plain struct{ error }

func (p plain) Error() string { return trimPrefix(p.error) }
func (p plain) Unwrap() error { return p.error }

// unprefixed takes the package prefix off, which belongs to the outermost layer.
func unprefixed(err error) error {
	if err == nil {
		return nil
	}
	return plain{err}
}

// classOf says how a failed request for a token is to be retried.
func classOf(err error) class {
	e, ok := errors.AsType[*TokenError](err)
	switch {
	case !ok || e.Temporary():
		return temporary
	case e.Heals():
		return heals
	}
	return permanent
}
