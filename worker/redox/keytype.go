package redox

import "github.com/redoxworker/redoxworker/outbox"

// allows reports whether Redox takes messages of the kind with such a key.
func (t KeyType) allows(kind outbox.Kind) bool {
	switch t {
	case KeyUser:
		return kind == outbox.KindPlatform
	case KeyLegacy:
		return kind != outbox.KindFHIR && kind != outbox.KindPlatform
	default:
		return kind != outbox.KindPlatform
	}
}

// guardKind refuses a message that Redox takes with another type of key only, before a
// token or a request of the quota is spent on it.
func (s *sender) guardKind(kind outbox.Kind) *Error {
	if s.NoSlugGuard && kind != outbox.KindFHIR {
		return guarded("the source is one of another FHIR server than Redox (slug_guard: off), whose token is nobody else's: it sends kind fhir only")
	}
	if s.KeyType.allows(kind) {
		return nil
	}
	mend := "give the source an OAuth key"
	switch {
	case kind == outbox.KindPlatform:
		mend = "send it from a source with a user-level key"
	case s.KeyType == KeyUser:
		mend = "send it from a source with an OAuth key; a user-level key is for kind platform only"
	}
	return &Error{
		class:  ClassGuard,
		detail: "kind " + string(kind) + " does not go with the source's key of type " + string(s.KeyType.orDefault()) + ": " + mend,
		match:  ErrKeyType,
	}
}

func (t KeyType) orDefault() KeyType {
	if t == "" {
		return KeyOAuth
	}
	return t
}
