package worker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/worker/internal/heads"
)

// listenTurns hears of other workers' turns.
func (w *Worker) listenTurns() (stop func(), err error) {
	sub, err := w.conn.Subscribe(w.config.Prefix.TurnSubject("*"), w.hearTurn)
	if err != nil {
		return nil, fmt.Errorf("subscribing to what other workers say of orders: %w", err)
	}
	return func() { _ = sub.Unsubscribe() }, nil
}

func (w *Worker) hearTurn(msg *nats.Msg) {
	source, ok := w.config.Prefix.ParseTurn(msg.Subject)
	if !ok {
		return
	}
	p := w.pullerFor(source, contract.LaneSend)
	var t heads.Turn
	if p == nil || json.Unmarshal(msg.Data, &t) != nil {
		return
	}
	subject := w.config.Prefix.OrderedSubject(source, t.Token)
	if w.lines.Hear(subject, t) {
		w.background(func() { w.takeTurn(p, subject, t.Head) })
	}
}

// tell says something about a token to all workers.
func (w *Worker) tell(p *puller, subject string, head uint64, waits bool) {
	_, _, token, err := w.config.Prefix.ParseOut(subject)
	if err != nil {
		return
	}
	data, err := json.Marshal(heads.Turn{Token: token, Head: head, Waits: waits})
	if err != nil {
		return
	}
	_ = w.conn.Publish(w.config.Prefix.TurnSubject(p.source), data) // who is not told looks
}

// sayWaits says that a follower is here, and looks after it.
func (w *Worker) sayWaits(d *delivery) {
	w.tell(d.puller, d.msg.subject, 0, true)
	w.watch(d.puller, d.msg.subject)
}

// takeTurn goes on with the head of a token if it is here.
func (w *Worker) takeTurn(p *puller, subject string, head uint64) {
	if next, _ := w.headIs(p, subject, head); next != nil {
		w.runHead(next)
	}
}

// background runs something that Run waits for, unless it is ending.
func (w *Worker) background(f func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.running {
		w.pulls.Go(f)
	}
}

// watch looks at a token after a while, as long as there is something to look after.
func (w *Worker) watch(p *puller, subject string) {
	if w.lines.Watch(subject) {
		time.AfterFunc(heads.LookEvery, func() { w.background(func() { w.lookAt(p, subject) }) })
	}
}

// lookAt asks who the head of a token is that nobody told about.
func (w *Worker) lookAt(p *puller, subject string) {
	head, due := w.lines.Look(subject, time.Now())
	defer w.watch(p, subject)
	if !due {
		return
	}
	first, err := w.heads.First(w.settling, subject)
	switch {
	case errors.Is(err, heads.ErrNone):
		w.lines.Forget(subject)
		w.handBackAll(w.lines.Drop(subject))
	case err != nil: // at the next look
	case first != head:
		w.tell(p, subject, first, true)
		w.takeTurn(p, subject, first)
	default:
		owed, stuck := w.lines.Stands(subject, first, time.Now())
		if owed {
			w.wakeOther(p, first)
		}
		w.handBackAll(stuck)
	}
}

// wakeOther wakes a head that another worker handed back: the ledger says that it waits, and not for
// its next attempt. One whose start was noted may be being sent; one that somebody just had without
// coming back, before it was handed back, is not.
func (w *Worker) wakeOther(p *puller, sequence uint64) {
	ctx, cancel := context.WithTimeout(w.settling, stepTimeout)
	defer cancel()
	queue := w.queue.Load()
	if queue == nil {
		return
	}
	msg, err := (*queue).GetMsg(ctx, sequence)
	if err != nil {
		return
	}
	m, _ := outbox.Decode(w.config.Prefix, outbox.Stored{Subject: msg.Subject, Header: msg.Header, Sequence: msg.Sequence, Time: msg.Time})
	rec, _, err := w.ledger.Load(ctx, m)
	if err != nil || !rec.Begun.IsZero() && rec.Started > 0 || !rec.Since.IsZero() || !rec.Next.After(w.clock.Now()) {
		return
	}
	consumer, err := w.js.Consumer(ctx, w.config.Prefix.OutStream(), p.consumer)
	if err != nil {
		return
	}
	w.wake(p, []heads.HandedBack{{Sequence: sequence, Delivery: consumer.CachedInfo().Delivered.Consumer}})
}
