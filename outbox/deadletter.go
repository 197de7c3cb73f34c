package outbox

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// DeadLetter is a message that was not delivered, and why.
type DeadLetter struct {
	MessageID string
	// Source may be empty: the stored subject names none.
	Source     string
	Settlement Settlement
	// Error is one safe line.
	Error string
	// Status is the HTTP status of the last answer; 0 when none came.
	Status   int
	Attempts int
	At       time.Time
	// Subject and Sequence are the message's in the work queue.
	Subject  string
	Sequence uint64
	// Behind is the position of the message before it in the order of its token; 0 when none
	// was noted. See [HeaderDeadBehind].
	Behind uint64
	// Worker names the process that settled it.
	Worker string
	// Header and Body are the original ones.
	Header nats.Header
	Body   []byte
}

// Encode makes the NATS message that stores the dead letter. It shares Body
// and leaves Header alone.
//
// Every Nats-* header of the original is dropped: on a write those are
// instructions to the stream (Nats-Rollup, Nats-TTL, Nats-Expected-*, Nats-Msg-Id),
// which could refuse the write or empty the stream; so are headers that
// pretend to be a dead letter's own. Where the others are more than a stream takes, or have
// names that a client cannot write, some of them are dropped, and the error says how many. The write expects its subject to be
// empty: [IsAlreadyStored] tells that an earlier write succeeded.
func (d DeadLetter) Encode(p Prefix) *nats.Msg {
	source := d.Source
	if !isName(source, maxSource) {
		source = NoSource
	}
	h := make(nats.Header, len(d.Header)+10)
	for name, values := range d.Header {
		if !reservedInDeadLetter(name) {
			h[name] = values
		}
	}
	set := func(name, value string) {
		if value = safeLine(value); value != "" {
			h[name] = []string{value}
		}
	}
	set(HeaderMessageID, d.MessageID)
	set(HeaderDeadSettlement, string(d.Settlement))
	set(HeaderDeadError, d.Error)
	if d.Status > 0 {
		set(HeaderDeadStatus, strconv.Itoa(d.Status))
	}
	set(HeaderDeadAttempts, strconv.Itoa(d.Attempts))
	set(HeaderDeadAt, d.At.UTC().Format(time.RFC3339Nano))
	set(HeaderDeadSubject, d.Subject)
	set(HeaderDeadSequence, strconv.FormatUint(d.Sequence, 10))
	if d.Behind > 0 {
		set(HeaderDeadBehind, strconv.FormatUint(d.Behind, 10))
	}
	set(HeaderDeadWorker, d.Worker)
	set(HeaderExpectedLastSubjectSequence, "0")
	d.trim(h)
	subject := p.DeadSubject(source, d.Settlement, p.DeadToken(d.MessageID, d.Sequence))
	return &nats.Msg{Subject: subject, Header: h, Data: d.Body}
}

// deadHeaders are the dead letter's own.
var deadHeaders = [...]string{HeaderMessageID, HeaderDeadSettlement, HeaderDeadError, HeaderDeadStatus, HeaderDeadAttempts,
	HeaderDeadAt, HeaderDeadSubject, HeaderDeadSequence, HeaderDeadBehind, HeaderDeadWorker}

// reservedInDeadLetter ignores case: another client library may have its own.
func reservedInDeadLetter(name string) bool {
	if !hasPrefixFold(name, "Redox-") {
		return hasPrefixFold(name, "Nats-")
	}
	return slices.ContainsFunc(deadHeaders[:], func(own string) bool { return strings.EqualFold(name, own) })
}

func hasPrefixFold(s, prefix string) bool {
	return len(s) >= len(prefix) && strings.EqualFold(s[:len(prefix)], prefix)
}

// DecodeDeadLetter reads a message of the dead-letter stream. Header holds the
// original headers, without the ones Encode dropped or added. The result
// shares in.Body. in.Sequence and in.Time are the dead letter's own, not the
// message's.
func DecodeDeadLetter(p Prefix, in Stored) (DeadLetter, error) {
	d := DeadLetter{
		MessageID:  first(in.Header, HeaderMessageID),
		Settlement: Settlement(first(in.Header, HeaderDeadSettlement)),
		Error:      first(in.Header, HeaderDeadError),
		Subject:    first(in.Header, HeaderDeadSubject),
		Worker:     first(in.Header, HeaderDeadWorker),
		Header:     make(nats.Header, len(in.Header)),
		Body:       in.Body,
	}
	for name, values := range in.Header {
		if !reservedInDeadLetter(name) {
			d.Header[name] = values
		}
	}
	var err error
	if d.Source, err = p.deadSource(in.Subject, d.Settlement); err != nil {
		return DeadLetter{}, err
	}
	if d.MessageID == "" || !d.Settlement.Valid() {
		return DeadLetter{}, errors.New("outbox: not a dead letter: message id or settlement is missing or unknown")
	}
	if d.Status, err = count(in.Header, HeaderDeadStatus, 999); err != nil {
		return DeadLetter{}, err
	}
	if d.Attempts, err = count(in.Header, HeaderDeadAttempts, 1<<31-1); err != nil {
		return DeadLetter{}, err
	}
	if d.At, err = time.Parse(time.RFC3339, first(in.Header, HeaderDeadAt)); err != nil {
		return DeadLetter{}, fmt.Errorf("outbox: not a dead letter: header %s is not an RFC 3339 instant", HeaderDeadAt)
	}
	if d.Sequence, err = strconv.ParseUint(first(in.Header, HeaderDeadSequence), 10, 64); err != nil {
		return DeadLetter{}, fmt.Errorf("outbox: not a dead letter: header %s is not a sequence", HeaderDeadSequence)
	}
	if text := first(in.Header, HeaderDeadBehind); text != "" {
		if d.Behind, err = strconv.ParseUint(text, 10, 64); err != nil {
			return DeadLetter{}, fmt.Errorf("outbox: not a dead letter: header %s is not a position", HeaderDeadBehind)
		}
	}
	return d, nil
}

// DeadBefore reports whether the dead letter on a subject was stored before an instant: where
// that is before its message was, it is that of another. It takes the right to read from the
// stream of dead letters. Safe for concurrent use.
func DeadBefore(ctx context.Context, js jetstream.JetStream, p Prefix, subject string, at time.Time) (bool, error) {
	js = present(js)
	dead, err := leader{js: js, stream: p.DeadStream()}.last(ctx, subject)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return false, nil // replayed or discarded since
	}
	return err == nil && dead.Time.Before(at), explain(err, js, "look at a dead letter")
}

// deadSource reads the source out of <prefix>.dlq.<source>.<settlement>.<token>.
func (p Prefix) deadSource(subject string, s Settlement) (string, error) {
	rest, ok := strings.CutPrefix(subject, p.String()+".dlq.")
	source, rest, more := strings.Cut(rest, ".")
	settlement, token, last := strings.Cut(rest, ".")
	if !ok || !more || !last || Settlement(settlement) != s || token == "" || strings.Contains(token, ".") {
		return "", errors.New("outbox: not a dead letter: its subject is not " + p.String() + ".dlq.<source>.<settlement>.<token>")
	}
	if source == NoSource {
		return "", nil
	}
	return source, CheckSource(source)
}
