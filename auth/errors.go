package auth

import (
	"errors"
	"fmt"
	"time"

	"github.com/redoxworker/redoxworker/auth/internal/keyfile"
)

var (
	// ErrKey is returned, wrapped with the reason and the mend, when a private
	// key cannot be used.
	ErrKey = keyfile.ErrKey

	// ErrAnswer is wrapped by a [*TokenError] whose answer had a success status
	// but no usable token in it.
	ErrAnswer = errors.New("unusable token answer")

	// ErrRefused is the cause of a [*NoTokenError] after the API refused several
	// tokens in a row that had just been made: more of them would not help.
	ErrRefused = errors.New("the API refuses tokens that were just made: check that the key is for this environment and this API")

	// ErrClosed is returned by a Cache or Scopes that was closed.
	ErrClosed = errors.New("auth: closed")

	// ErrRunning is returned by Run when a Run of the same value is under way.
	ErrRunning = errors.New("auth: already running")
)

// NoTokenError is returned by [Cache.Bearer] and [Cache.Token] when no token is
// at hand and none could be had. No request was made with it: a message that
// waits for a token has not been attempted.
type NoTokenError struct {
	// Cause is why the last request for a token failed, often a [*TokenError].
	Cause error
	// NextTry is when the endpoint will be asked again; callers until then get
	// this error at once, without a request.
	NextTry time.Time
}

// Error says that there is no token, and why.
func (e *NoTokenError) Error() string {
	return "auth: no token: " + trimPrefix(e.Cause)
}

// Unwrap returns the cause.
func (e *NoTokenError) Unwrap() error { return e.Cause }

// RetryAfter returns how long to wait before it is worth asking again; 0 means
// now.
func (e *NoTokenError) RetryAfter() time.Duration { return max(0, time.Until(e.NextTry)) }

// Attempted returns false: nothing was sent to the API.
func (e *NoTokenError) Attempted() bool { return false }

// trimPrefix returns err's text without this package's prefix, which belongs to
// the outermost layer only.
func trimPrefix(err error) string {
	if err == nil {
		return "unknown cause"
	}
	text := err.Error()
	if len(text) > 6 && text[:6] == "auth: " {
		return text[6:]
	}
	return text
}

// A transport may keep a request for a token from being made, such as one that waits for its
// part of a limit. Its error says so by a method NotAsked() bool: then neither the endpoint
// nor the key is to blame.

// unasked returns the part of an error that says that no token was asked for; nil when one
// was.
func unasked(err error) error {
	var e interface {
		error
		NotAsked() bool
	}
	if errors.As(err, &e) && e.NotAsked() {
		return e
	}
	return nil
}

// unaskedError is such an error without the endpoint's name.
func unaskedError(err error) error {
	return fmt.Errorf("auth: no token was asked for: %w", err)
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
