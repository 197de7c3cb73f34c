package redox

import (
	"errors"
	"net/http"
	"strconv"
	"time"
)

var (
	// ErrTimeout is matched when Redox did not answer one request within
	// Config.Timeout.
	ErrTimeout = errors.New("redox: no answer within Config.Timeout")
	// ErrKeyType is matched when Redox does not take a message of this kind with the type
	// of key that its source has.
	ErrKeyType = errors.New("redox: the source's key is not for messages of this kind")
	// ErrUnknownSource is matched when the message's source is not one of the client's.
	ErrUnknownSource = errors.New("redox: source is not configured")
)

// Class says in one word what happened to a message that was not delivered.
type Class string

// The classes of an [Error].
const (
	// ClassContract: the message breaks the contract; nothing was sent.
	ClassContract Class = "contract"
	// ClassGuard: a guard on its content refused it; nothing was sent.
	ClassGuard Class = "guard"
	// ClassRefused: Redox refused the message for good.
	ClassRefused Class = "refused"
	// ClassUnauthorized: Redox refused two tokens in a row.
	ClassUnauthorized Class = "unauthorized"
	// ClassThrottled: too many requests from this egress address.
	ClassThrottled Class = "throttled"
	// ClassUnavailable: Redox failed and may be asked again.
	ClassUnavailable Class = "unavailable"
	// ClassNoAnswer: the request was written and no answer came.
	ClassNoAnswer Class = "no-answer"
	// ClassForeign: somebody else than Redox answered, such as a gateway or a sign-in page.
	ClassForeign Class = "foreign"
	// ClassNotSent: nothing was written: no token, no connection.
	ClassNotSent Class = "not-sent"
)

// Error says why a message was not delivered and what that asks for. Its texts hold
// nothing of a body, a query string or a token. It is immutable.
type Error struct {
	class      Class
	status     int
	detail     string // our own words
	remote     string // Errors[].Type/Module of the answer, identifiers only
	traceID    string
	pauses     string
	retryAfter time.Duration
	written    bool
	unknown    bool
	doubtful   bool
	trouble    bool
	cause      error // only causes whose text is safe
	match      error // a sentinel that says no more than detail
	hidden     error // what the transport returned: it is matched, and its text stays inside
}

// Error is SafeError with the package's name and the text of the cause, which comes from
// this process or the network and never from Redox's answer.
func (e *Error) Error() string {
	text := "redox: " + e.SafeError()
	if e.cause != nil {
		text += ": " + e.cause.Error()
	}
	return text
}

// SafeError is one line for replies, dead letters and logs: class, status, and the type
// and module of Redox's errors.
func (e *Error) SafeError() string {
	text := string(e.class) + ": "
	if e.status != 0 {
		text += "status " + strconv.Itoa(e.status) + ": "
	}
	text += e.detail
	if e.remote != "" {
		text += " (" + e.remote + ")"
	}
	return text
}

// Unwrap returns the cause, if there is one: a context's cause, the error of the
// credentials, or a network error.
func (e *Error) Unwrap() error { return e.cause }

// Is reports whether target is the sentinel of this error, or matches the error that
// Config.Transport returned, whose text is not shown.
func (e *Error) Is(target error) bool {
	return e.match != nil && target == e.match || e.hidden != nil && errors.Is(e.hidden, target)
}

// Class in one word.
func (e *Error) Class() Class { return e.class }

// Status of Redox's answer; 0 when there was none.
func (e *Error) Status() int { return e.status }

// TraceID is the Redox-Trace-Id of the answer, for Redox's support; "" if it had none.
func (e *Error) TraceID() string { return e.traceID }

// Permanent reports that another attempt cannot help: the message is rejected.
func (e *Error) Permanent() bool { return e.class == ClassGuard || e.class == ClassRefused }

// Poison reports that the message breaks the contract.
func (e *Error) Poison() bool { return e.class == ClassContract }

// Held returns false: no answer of Redox needs the decision of a person.
func (e *Error) Held() bool { return false }

// Attempted reports whether a request for the message was written and could have been
// taken. False means that no attempt counts and the message waits; so it is also when
// Redox refused two tokens: no message fails because of our credentials.
func (e *Error) Attempted() bool { return e.written && e.class != ClassUnauthorized }

// UnknownOutcome reports that a SEND was written and no answer of Redox came, or one that says
// that no answer came (504, 520, 524, 598, 599): Redox may have it. It is false for a REQUEST,
// which is safe to repeat.
func (e *Error) UnknownOutcome() bool { return e.unknown }

// DoubtfulOutcome reports that Redox failed on a SEND without saying whether it had taken
// it: 500, and the 5xx that Redox does not document. Redox calls a 502 dropped (Redox,
// Error handling), a 503 did not reach the application, and 511, 521 to 523, 525, 526 and 530 did
// not reach Redox.
func (e *Error) DoubtfulOutcome() bool { return e.doubtful }

// Trouble reports that the answer shows trouble on the way to Redox, whatever its status: a
// page of a gateway, a 2xx that Redox cannot have sent, or 421.
func (e *Error) Trouble() bool { return e.trouble }

// SourceRefused reports that Redox refused the source rather than the message: 403, and 401 to a
// new token. A refusal of the source differs from one of the message only in that it goes on.
func (e *Error) SourceRefused() bool {
	return e.class == ClassUnauthorized || e.class == ClassRefused && e.status == http.StatusForbidden
}

// RetryAfter is how long Redox asked to wait; 0 when it did not say.
func (e *Error) RetryAfter() time.Duration { return e.retryAfter }

// Pauses names the scope that cannot work at present: "key:<name>", "group:<egress
// group>" or "host:<host>"; "" when the trouble is the message's own.
func (e *Error) Pauses() string { return e.pauses }

// poison is the error of a message that breaks the contract.
func poison(detail string) *Error { return &Error{class: ClassContract, detail: detail} }

// guarded is the error of a message that a guard on its content refuses.
func guarded(detail string) *Error { return &Error{class: ClassGuard, detail: detail} }

// notSent is the error of a message of which nothing was written.
func notSent(detail, pauses string, cause error) *Error {
	return &Error{class: ClassNotSent, detail: detail, pauses: pauses, cause: cause}
}
