package redoxsim

import (
	"encoding/hex"
	"fmt"
	"net/http"
	"time"
)

// TokenState says what a request's bearer token was worth when the request arrived.
type TokenState string

// The states of a bearer token.
const (
	TokenNone    TokenState = ""        // the path takes no token
	TokenMissing TokenState = "missing" // no Authorization header, or not one Bearer
	TokenUnknown TokenState = "unknown" // never issued here
	TokenExpired TokenState = "expired"
	TokenRevoked TokenState = "revoked"
	TokenValid   TokenState = "valid"
	TokenMisused TokenState = "misused" // good, but for another API: see [Server.AddUserKey]
)

// Digest is the SHA-256 of a body. It prints and marshals as 64 hex digits; the zero value means "not computed" and
// marshals as an empty string.
type Digest [32]byte

// String returns the hex digits, or "" for the zero value.
func (d Digest) String() string {
	if d == (Digest{}) {
		return ""
	}
	return hex.EncodeToString(d[:])
}

// MarshalText implements [encoding.TextMarshaler].
func (d Digest) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText implements [encoding.TextUnmarshaler].
func (d *Digest) UnmarshalText(text []byte) error {
	*d = Digest{}
	if len(text) == 0 {
		return nil
	}
	if len(text) != 2*len(d) {
		return fmt.Errorf("redoxsim: a digest has %d hex digits, not %d", 2*len(d), len(text))
	}
	if _, err := hex.Decode(d[:], text); err != nil {
		return fmt.Errorf("redoxsim: digest: %w", err)
	}
	return nil
}

// Arrival is the record of one request. It holds no token, secret or assertion, and no body unless
// [Server.KeepBodies] is set.
type Arrival struct {
	// Seq numbers the requests from 1 in the order in which they arrived. It survives [Server.Reset].
	Seq uint64 `json:"seq"`
	// Begin and Finish are ticks of one logical clock: two requests overlapped exactly if each began before the other
	// finished. Finish is taken just before the end of the answer is written, so a request that follows from reading an
	// answer never overlaps it. 0 means still in flight.
	Begin  uint64 `json:"begin"`
	Finish uint64 `json:"finish"`
	// Start and End are the same instants by the clock of [Server.Now].
	Start time.Time `json:"start"`
	End   time.Time `json:"end,omitzero"`

	Method string `json:"method"`
	Path   string `json:"path"`
	Client string `json:"client"`

	// Source is the Source ID in effect: Meta.Source.ID, else the header Redox-Source-Id, else the key's only source.
	Source string `json:"source,omitempty"`
	// HeaderSource and BodySource are the Source IDs as sent.
	HeaderSource string `json:"header_source,omitempty"`
	BodySource   string `json:"body_source,omitempty"`
	// Names that are not words of letters and blanks are "(not a word)": a test may be fed
	// with real messages, and their mistakes.
	DataModel string `json:"data_model,omitempty"`
	EventType string `json:"event_type,omitempty"`
	// Query says that the message was a REQUEST.
	Query bool `json:"query,omitempty"`

	// Key names the message: see [Server.MessageKey].
	Key string `json:"key,omitempty"`
	// Attempt counts the arrivals of Key under a valid token, this one included; 0 when the token was not valid.
	Attempt int `json:"attempt,omitempty"`
	// InFlight is how many requests were in flight when this one began, itself included; KeyInFlight how many others
	// had the same Key when this one had been read. Load is how many API requests were being answered, itself included.
	InFlight    int `json:"in_flight"`
	Load        int `json:"load,omitempty"`
	KeyInFlight int `json:"key_in_flight,omitempty"`

	// BodySize is in bytes. BodySHA256 is the digest of the body; of an upload, the digest of the file, whose size is
	// FileSize.
	BodySize   int64  `json:"body_size"`
	FileSize   int64  `json:"file_size,omitempty"`
	BodySHA256 Digest `json:"body_sha256"`
	Body       []byte `json:"body,omitempty"`

	// Token is the state of the bearer token; TokenID a name for it that reveals nothing ("t12"). For a token request
	// TokenID names the token that was issued.
	Token   TokenState `json:"token,omitempty"`
	TokenID string     `json:"token_id,omitempty"`
	// TokenValid is Token == TokenValid.
	TokenValid bool `json:"token_valid"`
	// KeyOwner is the client id or API key that the token belongs to, or that was granted a token.
	KeyOwner string `json:"key_owner,omitempty"`

	// Status is the HTTP status answered; 0 when none was (in flight, reset, hung up).
	Status int `json:"status"`
	// Accepted says that Redox took the message, whatever became of the answer.
	Accepted bool `json:"accepted"`
	// LogIDs are the Meta.Logs[].ID of the answer.
	LogIDs []string `json:"log_ids,omitempty"`
	// Fault is the fault applied, in the syntax of [ParseFault].
	Fault string `json:"fault,omitempty"`
	// Reason says why the request was refused, in the simulator's own words: more than Redox would tell.
	Reason string `json:"reason,omitempty"`
	// Header are the other HTTP headers as sent, but for those that every client sends; nil for none. The token is not
	// among them.
	Header http.Header `json:"header,omitempty"`
	// TraceParent is the W3C header as sent, and TraceID the Redox-Trace-Id of the answer.
	TraceParent string `json:"traceparent,omitempty"`
	TraceID     string `json:"trace_id,omitempty"`
}

// Overlap is a pair of requests that were in flight at the same time; First began earlier.
type Overlap struct {
	Group         string
	First, Second Arrival
}

// Overlaps finds the requests that overlapped another of the same group, pairing each with the one that began last
// before it and still ran. Arrivals of the group "" are left out; unfinished ones count as running for ever. The input
// must be in order of Seq, as [Server.Arrivals] returns it.
func Overlaps(arrivals []Arrival, group func(Arrival) string) []Overlap {
	type open struct{ list []Arrival }
	groups := map[string]*open{}
	var found []Overlap
	for _, a := range arrivals {
		g := group(a)
		if g == "" {
			continue
		}
		o := groups[g]
		if o == nil {
			o = &open{}
			groups[g] = o
		}
		running := o.list[:0]
		for _, b := range o.list {
			if b.Finish == 0 || b.Finish > a.Begin {
				running = append(running, b)
			}
		}
		if n := len(running); n > 0 {
			found = append(found, Overlap{Group: g, First: running[n-1], Second: a})
		}
		o.list = append(running, a)
	}
	return found
}
