package worker

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"maps"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/outbox/seal"
	"github.com/redoxworker/redoxworker/worker/internal/backoff"
	"github.com/redoxworker/redoxworker/worker/internal/meter"
	"github.com/redoxworker/redoxworker/worker/internal/verdict"
)

// A sealed message is opened when it is received, as its scopes, its policy and the time that it may
// take depend on what is in it. What was received stays sealed beside it, for its dead letter.

// ringLook is how often a missing ring is looked for.
const ringLook = time.Second

// unseal opens a message that was decoded, or notes why it stays closed.
func (w *Worker) unseal(d *delivery) {
	d.closed = nil
	if d.contract != nil {
		return
	}
	if !d.message.Sealed() {
		if w.config.RequireSeal && !d.sealed {
			d.contract = outbox.ErrUnsealed
			w.metrics.Sealed(meter.SealMissing)
		}
		return
	}
	d.sealed = true
	opened, opening, err := d.message.Open(w.config.Ring, w.config.Prefix)
	switch {
	case err == nil:
		d.message, d.opening = opened, opening
		w.metrics.Sealed(meter.SealOpened)
	case errors.As(err, new(*outbox.ContractError)):
		d.contract = err
	default:
		d.closed = err
	}
}

// locked reports why nothing may be sent and settled at present: the ring is away. nil when it is not.
func (w *Worker) locked() error { return w.config.Ring.Err() }

// unlocked waits until the ring is there. A worker pulls nothing meanwhile.
func (w *Worker) unlocked(ctx context.Context, p *puller) bool {
	for err := w.locked(); err != nil && ctx.Err() == nil; err = w.locked() {
		w.putBack(p)
		w.troubles.ring.Failed(itself, "messages wait: the ring of keys that opens them is away", err)
		backoff.Sleep(ctx, ringLook)
	}
	if w.config.Ring != nil {
		w.troubles.ring.Worked(itself)
	}
	return ctx.Err() == nil
}

// shut decides that a message which does not open waits: as long as the ring is away, or there is none.
func (w *Worker) shut(d *delivery) (decided bool) {
	if d.closed != nil && !seal.Decided(d.closed) {
		w.unseal(d) // the ring may be there by now
	}
	err := w.locked()
	if err == nil && d.closed != nil && !seal.Decided(d.closed) {
		err = d.closed
	}
	if err == nil {
		return false
	}
	w.troubles.ring.Failed(itself, "messages wait: the ring of keys that opens them is away", err, "message", d.message.ID, "source", d.message.Source)
	return d.decide(verdict.Verdict{Action: verdict.Wait, Delay: max(w.config.Retry.Initial, ringLook), Jittered: true, Text: "the ring of keys is away"})
}

// unopened decides about a message that never will open.
func (w *Worker) unopened(d *delivery) (decided bool) {
	if d.closed == nil {
		return false
	}
	w.metrics.Sealed(sealReason(d.closed))
	return d.decide(verdict.Verdict{Settlement: outbox.Held, Text: sealText(d.closed)})
}

func sealReason(err error) meter.Seal {
	switch {
	case errors.Is(err, seal.ErrUnknownKey):
		return meter.SealUnknownKey
	case errors.Is(err, seal.ErrShredded):
		return meter.SealShredded
	}
	return meter.SealAltered
}

// sealText is the safe text of an error of package seal.
func sealText(err error) string {
	return "sealed: " + strings.NewReplacer("outbox: ", "", "seal: ", "").Replace(err.Error())
}

// enclose makes a reply ready: sealed where its message is, and its body moved to the object store where it is
// too large for a message.
func (s *settlement) enclose(msg *nats.Msg) error {
	w, d := s.worker, s.delivery
	aside := w.config.Prefix.ReplyBodyName(d.message.Source, d.message.ID, d.message.Sequence)
	clear := !d.sealed || w.config.Ring == nil || // who asked without a ring is told over a subject that nothing stores
		d.opening.ClearReply() && !w.config.Prefix.IsReplySubject(d.message.ReplyTo) && !w.tooLarge(msg, 0)
	if clear {
		if w.tooLarge(msg, 0) {
			return w.putAside(msg, aside, bytes.NewReader(msg.Data))
		}
		return nil
	}
	if s.sealed == nil {
		key, err := outbox.SealReply(w.config.Ring, w.config.Prefix, d.message.Source, msg)
		if err != nil {
			return err
		}
		s.sealed = &sealedReply{key, msg.Header}
	}
	msg.Header = maps.Clone(s.sealed.header)
	key, size := s.sealed.key, int64(len(msg.Data))
	if w.tooLarge(msg, seal.Size(size)-size) {
		// Another worker that settles the message once more has another key: its body is not to take the
		// place of the one that a stored reply names.
		sum := sha256.Sum256([]byte(msg.Header.Get(contract.HeaderSeal)))
		return w.putAside(msg, aside+"-"+hex.EncodeToString(sum[:8]), key.SealFrom(bytes.NewReader(msg.Data), size))
	}
	msg.Data = key.Seal(msg.Data)
	return nil
}
