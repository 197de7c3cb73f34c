package dlq

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/outbox/internal/jsapi"
	"github.com/redoxworker/redoxworker/outbox/internal/wire"
	"github.com/redoxworker/redoxworker/outbox/seal"
)

// A dead letter of a sealed message stays sealed. It is opened for an operator with the ring of keys, and its
// body alone is sealed anew where it is replaced.

// errNoRing says what opens a sealed dead letter.
var errNoRing = errors.New("it is sealed, and there is no ring of keys here: set seal.ring_file")

// SealedBy returns the id of the key with which the message was sealed; "" if it was not.
func (d Letter) SealedBy() string { return seal.KeyOf(wire.First(d.Header, contract.HeaderSeal)) }

// Sealed reports whether the message was sealed.
func (d Letter) Sealed() bool { return len(d.Header[contract.HeaderSeal]) > 0 }

// message is the one that died, as far as it can be read: its id and lane, and what seals it.
func (d Letter) message(p contract.Prefix) (outbox.Message, error) {
	h := maps.Clone(d.Header)
	if h == nil {
		h = nats.Header{}
	}
	h[contract.HeaderMessageID] = []string{d.MessageID}
	return outbox.Decode(p, outbox.Stored{Subject: d.Subject, Header: h, Body: d.Body, Sequence: d.Sequence})
}

// open opens a sealed dead letter; the body in the message of the result only where it is in that of l.
func (d *Store) open(l Stored) (outbox.Message, outbox.Opening, error) {
	if d.config.Ring == nil {
		return outbox.Message{}, outbox.Opening{}, fmt.Errorf("outbox: %w", errNoRing)
	}
	m, _ := l.message(d.config.Prefix) // what breaks the contract may open all the same
	return m.Open(d.config.Ring, d.config.Prefix)
}

// Header returns the headers of the message that died, those that were sealed among them. They are
// patient data. The error of a sealed one that does not open is that of [outbox.Message.Open].
func (d *Store) Header(ctx context.Context, l Stored) (nats.Header, error) {
	if !l.Sealed() {
		return l.Header, nil
	}
	if l.Body == nil && l.Object() == "" && l.Size > 0 {
		whole, err := d.read(ctx, l.DeadSequence)
		if err != nil {
			return nil, err
		}
		l = whole
	}
	m, _, err := d.open(l)
	if err != nil {
		return nil, err
	}
	h := maps.Clone(l.Header)
	delete(h, contract.HeaderSeal)
	delete(h, contract.HeaderSealed)
	for name, value := range map[string]string{contract.HeaderPath: m.Path, contract.HeaderContentType: m.ContentType, contract.HeaderAccept: m.Accept} {
		if value != "" {
			h[name] = []string{value}
		}
	}
	if l.Kind() == outbox.KindFHIR || l.Kind() == outbox.KindPlatform {
		h[contract.HeaderMethod] = []string{m.Method}
	}
	for name, values := range m.Header {
		h[contract.RequestHeaderPrefix+name] = values
	}
	return h, nil
}

// Kept returns the body of a dead letter as it is stored, without opening a sealed one. See Body for the
// errors.
func (d *Store) Kept(ctx context.Context, l Stored) ([]byte, error) {
	if name := l.Object(); name != "" {
		limit := d.config.MaxClaim
		if l.Sealed() && limit >= 0 {
			limit = seal.Size(limit)
		}
		return d.bodies.Get(ctx, name, limit)
	}
	if l.Body != nil || l.Size == 0 {
		return l.Body, nil
	}
	whole, err := d.read(ctx, l.DeadSequence)
	return whole.Body, err
}

// Body returns the body of a dead letter, from the object store if it is
// there; see [outbox.Bodies.Get] for those errors. One that is sealed is opened with Config.Ring; see
// [outbox.Message.Open] for why it may not be. It is patient data.
func (d *Store) Body(ctx context.Context, l Stored) ([]byte, error) {
	if !l.Sealed() {
		return d.Kept(ctx, l)
	}
	if l.Body == nil && l.Object() == "" && l.Size > 0 {
		whole, err := d.read(ctx, l.DeadSequence)
		if err != nil {
			return nil, err
		}
		l = whole
	}
	m, opening, err := d.open(l)
	if err != nil {
		return nil, err
	}
	if name := l.Object(); name != "" {
		return d.bodies.GetOpened(ctx, name, d.config.MaxClaim, opening)
	}
	return m.Body, nil
}

// Opens reports whether there is a ring that may open sealed dead letters.
func (d *Store) Opens() bool { return d.config.Ring != nil }

// resealed is l with another body, sealed anew with the headers that were sealed with the old one.
func (d *Store) resealed(l Stored, body []byte) (Stored, error) {
	if !l.Sealed() {
		return l.withBody(body), nil
	}
	m, opening, err := d.open(l)
	if err != nil {
		return l, err
	}
	m.Body, m.BodyObject, m.ClearReply = body, "", opening.ClearReply()
	if m, err = m.Seal(d.config.Ring, d.config.Prefix); err != nil {
		return l, err
	}
	l = l.withBody(m.Body)
	l.Header[contract.HeaderSeal], l.Header[contract.HeaderSealed] = []string{m.Envelope}, []string{m.SealedHeaders}
	return l, nil
}

// enclosed is l sealed, where there is a ring: what was exported in the clear does not stay so.
func (d *Store) enclosed(l Letter) (Letter, error) {
	if d.config.Ring == nil {
		return l, nil
	}
	return l.Seal(d.config.Ring, d.config.Prefix)
}

// Seal returns the dead letter with its body and the headers that are of a patient encrypted, as
// [outbox.Message.Seal] does. One that is sealed, or whose message breaks the contract, stays as it is; so does a body
// in the object store. The error is one of package seal.
func (d Letter) Seal(ring *seal.Ring, p contract.Prefix) (Letter, error) {
	if d.Sealed() {
		return d, nil
	}
	m, err := d.message(p)
	if err != nil {
		return d, nil
	}
	if m, err = m.Seal(ring, p); err != nil {
		return d, err
	}
	m.ID = outbox.NewID() // its own may be longer than that of a new message
	msg, err := m.Encode(p)
	if err != nil {
		return d, nil
	}
	sealed := d
	sealed.Header, sealed.Body = maps.Clone(d.Header), m.Body
	for name := range d.Header {
		if len(msg.Header[name]) == 0 && isContract(name) && !wire.HasPrefixFold(name, "trace") {
			delete(sealed.Header, name) // it is among the sealed ones, or is set anew
		}
	}
	for _, name := range [...]string{contract.HeaderReplayOf, contract.HeaderReplayCount, contract.HeaderEdited, contract.HeaderOrderPosition, contract.HeaderOrderBehind, contract.HeaderOrderToken} {
		if values := d.Header[name]; len(values) > 0 {
			sealed.Header[name] = values
		}
	}
	sealed.Header[contract.HeaderSeal], sealed.Header[contract.HeaderSealed] = []string{m.Envelope}, []string{m.SealedHeaders}
	return sealed, nil
}

// required is l as workers take it that require what they send to be sealed. unsealed says why it cannot be.
func (d *Store) required(l Stored) (sealed Letter, unsealed, err error) {
	switch {
	case !d.config.RequireSeal || l.Sealed():
		return l.Letter, nil, nil
	case d.config.Ring == nil:
		return l.Letter, errors.New("workers would refuse it: it is not sealed, seal.require is on, and there is no ring of keys here: set seal.ring_file"), nil
	case l.Object() != "":
		return l.Letter, errors.New("workers would refuse it: it is not sealed, with its body in the object store, and seal.require is on: export it, discard it, and restore it"), nil
	}
	sealed, err = d.enclosed(l.Letter)
	return sealed, nil, err
}

// Rewrap seals the data key of a dead letter with the present sealing key; the body stays as it is. done is false if
// there is nothing to do: the dead letter is not sealed, or already uses that key. Rewrap writes the new dead letter
// under the subject of the old one, and then deletes the old one. A crash in between leaves both, and a replay takes
// only the new one. ErrNotFound means that the dead letter has been replayed or discarded, or is being so.
func (d *Store) Rewrap(ctx context.Context, l Stored) (done bool, err error) {
	if !l.Sealed() {
		return false, nil
	}
	if d.config.Ring == nil {
		return false, fmt.Errorf("outbox: %w", errNoRing)
	}
	if l, err = d.read(ctx, l.DeadSequence); err != nil {
		return false, err
	}
	m, _ := l.message(d.config.Prefix) // as above
	envelope, changed, err := m.Reseal(d.config.Ring, d.config.Prefix)
	if err != nil || !changed {
		return false, err
	}
	l.Header[contract.HeaderSeal] = []string{envelope}
	msg := l.Encode(d.config.Prefix)
	msg.Subject = l.DeadSubject
	delete(msg.Header, jetstream.ExpectedLastSubjSeqHeader)
	work, cancel := lingering(ctx)
	defer cancel()
	e := entry{sequence: l.DeadSequence, source: l.Source, token: l.DeadSubject[strings.LastIndexByte(l.DeadSubject, '.')+1:]}
	c, err := d.rewrapping(work, e)
	if err != nil {
		return false, err
	}
	if err := d.crash("rewrapping"); err != nil {
		return false, err
	}
	if err := d.supersede(work, msg, l); err != nil {
		if errors.Is(err, ErrNotFound) {
			err = errors.Join(err, d.unlock(work, e, c))
		}
		return false, err
	}
	if err := d.crash("rewritten"); err != nil {
		return false, err
	}
	return true, errors.Join(d.delete(work, e), d.unlock(work, e, c))
}

// rewrapping locks a dead letter for a rewrap, which keeps replays and discards from beginning.
func (d *Store) rewrapping(ctx context.Context, e entry) (lock, error) {
	c, err := d.lock(ctx, e, lock{Rewrap: true})
	if err != nil || !c.resumed {
		return c, err
	}
	if c.replays() && time.Since(c.made) >= d.busy {
		return c, fmt.Errorf("outbox: dead letter %d: its replay was begun; replay it: %w", e.sequence, ErrNotFound)
	}
	ok := time.Since(c.made) >= d.busy
	if ok {
		c, ok, err = d.relock(ctx, e, c, lock{Rewrap: true})
	}
	if err == nil && !ok {
		err = fmt.Errorf("outbox: dead letter %d: another run is at it: %w", e.sequence, ErrNotFound)
	}
	return c, err
}

// supersede writes a dead letter in the place of another, unless that was done before.
func (d *Store) supersede(ctx context.Context, msg *nats.Msg, old Stored) error {
	_, err := d.js.PublishMsg(ctx, msg, jetstream.WithExpectLastSequencePerSubject(old.DeadSequence))
	if !IsAlreadyStored(err) {
		return jsapi.Explain(err, d.js, "write a dead letter")
	}
	newer, err := d.superseded(ctx, old)
	if err == nil && newer == 0 {
		err = fmt.Errorf("outbox: dead letter %d: %w", old.DeadSequence, ErrNotFound)
	}
	return err
}

// superseded is the sequence of the dead letter that stands in the place of l: a rewrap was cut off before it
// deleted l. 0: there is none.
func (d *Store) superseded(ctx context.Context, l Stored) (uint64, error) {
	if !l.Sealed() {
		return 0, nil
	}
	last, err := d.letters.Last(ctx, l.DeadSubject)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, jsapi.Explain(err, d.js, "look at a dead letter")
	}
	if last.Sequence > l.DeadSequence {
		return last.Sequence, nil
	}
	return 0, nil
}
