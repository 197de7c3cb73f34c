package dlq

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

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/outbox/internal/jsapi"
	"github.com/redoxworker/redoxworker/outbox/internal/wire"
)

// Letter is a message that was not delivered, and why.
type Letter struct {
	MessageID string
	// Source may be empty: the stored subject names none.
	Source     string
	Settlement outbox.Settlement
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
func (d Letter) Encode(p contract.Prefix) *nats.Msg {
	source := d.Source
	if !wire.IsName(source, wire.MaxSource) {
		source = contract.NoSource
	}
	h := make(nats.Header, len(d.Header)+10)
	for name, values := range d.Header {
		if !reserved(name) {
			h[name] = values
		}
	}
	set := func(name, value string) {
		if value = wire.Line(value); value != "" {
			h[name] = []string{value}
		}
	}
	set(contract.HeaderMessageID, d.MessageID)
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
	set(jetstream.ExpectedLastSubjSeqHeader, "0")
	d.trim(h)
	subject := p.DeadSubject(source, string(d.Settlement), p.DeadToken(d.MessageID, d.Sequence))
	return &nats.Msg{Subject: subject, Header: h, Data: d.Body}
}

// deadHeaders are the dead letter's own.
var deadHeaders = [...]string{contract.HeaderMessageID, HeaderDeadSettlement, HeaderDeadError, HeaderDeadStatus, HeaderDeadAttempts,
	HeaderDeadAt, HeaderDeadSubject, HeaderDeadSequence, HeaderDeadBehind, HeaderDeadWorker}

// reserved ignores case: another client library may have its own.
func reserved(name string) bool {
	if !wire.HasPrefixFold(name, "Redox-") {
		return wire.HasPrefixFold(name, "Nats-")
	}
	return slices.ContainsFunc(deadHeaders[:], func(own string) bool { return strings.EqualFold(name, own) })
}

// Decode reads a message of the dead-letter stream. Header holds the
// original headers, without the ones Encode dropped or added. The result
// shares in.Body. in.Sequence and in.Time are the dead letter's own, not the
// message's.
func Decode(p contract.Prefix, in outbox.Stored) (Letter, error) {
	d := Letter{
		MessageID:  wire.First(in.Header, contract.HeaderMessageID),
		Settlement: outbox.Settlement(wire.First(in.Header, HeaderDeadSettlement)),
		Error:      wire.First(in.Header, HeaderDeadError),
		Subject:    wire.First(in.Header, HeaderDeadSubject),
		Worker:     wire.First(in.Header, HeaderDeadWorker),
		Header:     make(nats.Header, len(in.Header)),
		Body:       in.Body,
	}
	for name, values := range in.Header {
		if !reserved(name) {
			d.Header[name] = values
		}
	}
	var err error
	if d.Source, err = sourceOf(p, in.Subject, d.Settlement); err != nil {
		return Letter{}, err
	}
	if d.MessageID == "" || !d.Settlement.Valid() {
		return Letter{}, errors.New("outbox: not a dead letter: message id or settlement is missing or unknown")
	}
	if d.Status, err = wire.Count(in.Header, HeaderDeadStatus, 999); err != nil {
		return Letter{}, err
	}
	if d.Attempts, err = wire.Count(in.Header, HeaderDeadAttempts, 1<<31-1); err != nil {
		return Letter{}, err
	}
	if d.At, err = time.Parse(time.RFC3339, wire.First(in.Header, HeaderDeadAt)); err != nil {
		return Letter{}, fmt.Errorf("outbox: not a dead letter: header %s is not an RFC 3339 instant", HeaderDeadAt)
	}
	if d.Sequence, err = strconv.ParseUint(wire.First(in.Header, HeaderDeadSequence), 10, 64); err != nil {
		return Letter{}, fmt.Errorf("outbox: not a dead letter: header %s is not a sequence", HeaderDeadSequence)
	}
	if text := wire.First(in.Header, HeaderDeadBehind); text != "" {
		if d.Behind, err = strconv.ParseUint(text, 10, 64); err != nil {
			return Letter{}, fmt.Errorf("outbox: not a dead letter: header %s is not a position", HeaderDeadBehind)
		}
	}
	return d, nil
}

// IsAlreadyStored reports whether err is the server's answer to a write that
// expected an empty subject and found it taken: an earlier write succeeded.
func IsAlreadyStored(err error) bool { return jsapi.AlreadyStored(err) }

// StoredBefore reports whether the dead letter on a subject was stored before an instant. One
// that is older than a message belongs to another message. The caller needs the right to read
// from the stream of dead letters. Safe for concurrent use.
func StoredBefore(ctx context.Context, js jetstream.JetStream, p contract.Prefix, subject string, at time.Time) (bool, error) {
	js = jsapi.Present(js)
	dead, err := jsapi.Leader{JS: js, Stream: p.DeadStream()}.Last(ctx, subject)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return false, nil // replayed or discarded since
	}
	return err == nil && dead.Time.Before(at), jsapi.Explain(err, js, "look at a dead letter")
}

// sourceOf reads the source out of <prefix>.dlq.<source>.<settlement>.<token>.
func sourceOf(p contract.Prefix, subject string, s outbox.Settlement) (string, error) {
	rest, ok := strings.CutPrefix(subject, p.String()+".dlq.")
	source, rest, more := strings.Cut(rest, ".")
	settlement, token, last := strings.Cut(rest, ".")
	if !ok || !more || !last || outbox.Settlement(settlement) != s || token == "" || strings.Contains(token, ".") {
		return "", errors.New("outbox: not a dead letter: its subject is not " + p.String() + ".dlq.<source>.<settlement>.<token>")
	}
	if source == contract.NoSource {
		return "", nil
	}
	return source, contract.CheckSource(source)
}

// orderToken is that of the message that died; ok is false in the lanes without an order.
func (d Letter) orderToken(p contract.Prefix) (token string, ok bool) {
	_, lane, token, err := p.ParseOut(d.Subject)
	return token, err == nil && lane == contract.LaneOrdered
}

// Position is the place of the message that died in the order of its token.
func (d Letter) Position() uint64 {
	return wire.Position(wire.First(d.Header, contract.HeaderReplayOf), wire.First(d.Header, contract.HeaderOrderPosition), d.Sequence)
}

// Place is that of the message that died; see [PlaceOf].
func (d Letter) Place(p contract.Prefix) (at OrderPlace, ok bool) {
	token, ok := d.orderToken(p)
	at = OrderPlace{Source: d.Source, Token: token, Position: d.Position(), Behind: d.Behind, Sequence: d.Sequence}
	if at.Behind == 0 || at.Behind >= at.Position {
		at.Behind = wire.Behind(wire.First(d.Header, contract.HeaderReplayOf), wire.First(d.Header, contract.HeaderOrderBehind), at.Position)
	}
	return at, ok
}
