package outbox

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// graveyard is a provisioned server without a worker.
type graveyard struct {
	topologyRig
	*DeadLetters
}

var buriedAt = time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)

func newGraveyard(t *testing.T) graveyard {
	t.Helper()
	r := newTopologyRig(t)
	r.ensure(Topology{})
	return graveyard{r, r.deadLetters()}
}

// deadLetters are another operator's, on a connection of its own.
func (r topologyRig) deadLetters() *DeadLetters {
	r.t.Helper()
	d, err := NewDeadLetters(r.connect(), DeadLettersConfig{})
	if err != nil {
		r.t.Fatal(err)
	}
	return d
}

// letter of a SEND of clinic-a, stored as sequence and settled that many seconds after buriedAt.
func letter(id string, sequence uint64) DeadLetter {
	return DeadLetter{
		MessageID: id, Source: "clinic-a", Settlement: Rejected, Error: "status 400", Status: 400, Attempts: 1,
		At: buriedAt.Add(time.Duration(sequence) * time.Second), Subject: "redox.out.clinic-a.send", Sequence: sequence, Worker: "w-1",
		Header: nats.Header{"X-Mine": {"1"}}, Body: []byte(`{"Meta":{"DataModel":"Order","EventType":"New"},"of":"` + id + `"}`),
	}
}

// orderedLetter is one of an order token.
func orderedLetter(id, token string, sequence uint64) DeadLetter {
	l := letter(id, sequence)
	l.Subject = "redox.out.clinic-a.send." + token
	l.Header[HeaderOrderToken] = []string{token}
	return l
}

// bury stores dead letters as a worker does.
func (g graveyard) bury(letters ...DeadLetter) {
	g.t.Helper()
	for _, l := range letters {
		if _, err := g.topologyRig.js.PublishMsg(g.ctx(), l.Encode("")); err != nil {
			g.t.Fatal(err)
		}
	}
}

// buryHeld stores dead letters as a worker does that holds what is behind them.
func (g graveyard) buryHeld(letters ...DeadLetter) {
	g.t.Helper()
	for _, l := range letters {
		at, ordered := l.OrderPlace("")
		if !ordered {
			g.t.Fatalf("%s has no order", l.MessageID)
		}
		var err error
		l.Behind, err = g.held.Hold(g.ctx(), at)
		must(g.topologyRig, err)
		g.bury(l)
	}
}

func (g graveyard) buryMany(n int) {
	g.t.Helper()
	for i := range n {
		g.bury(letter(fmt.Sprintf("m-%03d", i), uint64(i+1)))
	}
}

// note is what is noted of an order token of clinic-a.
func (g graveyard) note(token string) HeldToken {
	g.t.Helper()
	note, err := g.held.Load(g.ctx(), "clinic-a", token)
	must(g.topologyRig, err)
	return note
}

// listed is a dead letter as its stream holds it.
func (g graveyard) listed(id string) StoredDeadLetter {
	g.t.Helper()
	found, err := g.Get(g.ctx(), "clinic-a", id)
	must(g.topologyRig, err)
	return found[0]
}

func (g graveyard) ids(q DeadQuery) string {
	g.t.Helper()
	var ids []string
	for l, err := range g.List(g.ctx(), q) {
		if err != nil {
			g.t.Fatal(err)
		}
		ids = append(ids, l.MessageID)
	}
	return strings.Join(ids, " ")
}

func (g graveyard) selected(q DeadQuery) Selection {
	g.t.Helper()
	s, err := g.Select(g.ctx(), q)
	if err != nil {
		g.t.Fatal(err)
	}
	return s
}

// outcomes fails the test on an error, and shows what became of which.
func (g graveyard) outcomes(run iter.Seq2[Handled, error]) string {
	g.t.Helper()
	var all []string
	for h, err := range run {
		if err != nil {
			g.t.Fatal(err)
		}
		all = append(all, h.MessageID+" "+string(h.Outcome))
	}
	return strings.Join(all, ", ")
}

func (g graveyard) replayAll(o ReplayOptions) string {
	g.t.Helper()
	return g.outcomes(g.Replay(g.ctx(), g.selected(DeadQuery{}), o))
}

// queued are all messages of the work queue, in its order.
func (r topologyRig) queued() []*jetstream.RawStreamMsg {
	r.t.Helper()
	s, err := r.js.Stream(r.ctx(), "REDOX_OUT")
	if err != nil {
		r.t.Fatal(err)
	}
	var all []*jetstream.RawStreamMsg
	for sequence := uint64(1); ; {
		msg, err := s.GetMsg(r.ctx(), sequence, jetstream.WithGetMsgSubject(">"))
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			return all
		}
		if err != nil {
			r.t.Fatal(err)
		}
		all = append(all, msg)
		sequence = msg.Sequence + 1
	}
}

// idOf is the message id in headers.
func idOf(h nats.Header) string { return cmp.Or(first(h, HeaderMessageID), first(h, HeaderID)) }

func (r topologyRig) queuedIDs() string {
	r.t.Helper()
	var ids []string
	for _, m := range r.queued() {
		ids = append(ids, idOf(m.Header))
	}
	return strings.Join(ids, " ")
}

// left fails the test unless the stream of dead letters holds n, and the ledger no claim.
func (g graveyard) left(n uint64) {
	g.t.Helper()
	if got := g.topologyRig.stream("REDOX_DLQ").State.Msgs; got != n {
		g.t.Errorf("%d dead letters are left, want %d", got, n)
	}
	if claims := g.claims(); len(claims) > 0 {
		g.t.Errorf("claims are left: %v", claims)
	}
}

func (g graveyard) claims() []string {
	g.t.Helper()
	kv, err := g.ledger(g.ctx())
	if err != nil {
		g.t.Fatal(err)
	}
	list, err := kv.ListKeysFiltered(g.ctx(), claimKeys+".>")
	if err != nil {
		g.t.Fatal(err)
	}
	var keys []string
	for key := range list.Keys() {
		keys = append(keys, key)
	}
	return keys
}

// age makes all claims old enough to be taken over.
func (g graveyard) age() { g.busy = 0 }

// errCrash is what a test ends a step with.
var errCrash = errors.New("crashed")

// crashing ends the nth time that a point is reached.
func (g graveyard) crashing(point string, nth int) {
	left := atomic.Int64{}
	left.Store(int64(nth))
	g.fault = func(at string) error {
		if at == point && left.Add(-1) == 0 {
			return errCrash
		}
		return nil
	}
}

// settle takes a message out of the queue as a worker does that delivered it.
func (g graveyard) settle(msg *jetstream.RawStreamMsg) {
	g.t.Helper()
	m, err := Decode("", Stored{Subject: msg.Subject, Header: msg.Header, Body: msg.Data, Sequence: msg.Sequence})
	if err != nil {
		g.t.Fatal(err)
	}
	must(g.topologyRig, NoteReplay(g.ctx(), g.topologyRig.js, "", m, Delivered))
	g.remove(msg.Sequence)
}

func (g graveyard) remove(sequence uint64) {
	g.t.Helper()
	out, err := g.outStream(g.ctx())
	must(g.topologyRig, err)
	must(g.topologyRig, out.DeleteMsg(g.ctx(), sequence))
}

// forget makes the work queue forget all ids, as it does after ten minutes. The window is
// changed again until it has: a change starts the server's purge at once, which on a busy
// machine comes before the new window counts, and then again only after the old one.
func (g graveyard) forget() {
	g.t.Helper()
	window := 100 * time.Millisecond
	for deadline := time.Now().Add(time.Minute); ; window = 201*time.Millisecond - window {
		g.updateStream("REDOX_OUT", func(c *jetstream.StreamConfig) { c.Duplicates = window })
		if g.forgets("probe", 2*window) {
			return
		}
		if time.Now().After(deadline) {
			g.t.Fatal("the work queue does not forget")
		}
	}
}

// forgets tells whether the work queue takes an id anew, that it has just taken, within d.
func (g graveyard) forgets(id string, d time.Duration) bool {
	g.t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for first, deadline := true, time.Now().Add(d); ; first = false {
		ack, err := g.publish("redox.out.clinic-b.request", HeaderID, id)
		must(g.topologyRig, err)
		if !ack.Duplicate {
			g.remove(ack.Sequence)
		}
		if !ack.Duplicate && !first {
			return true
		}
		if time.Now().After(deadline) {
			return false
		}
		<-tick.C
	}
}

func sequences(all []*jetstream.RawStreamMsg, header string) string {
	var values []string
	for _, m := range all {
		values = append(values, strconv.Itoa(len(values)+1)+":"+first(m.Header, header))
	}
	return strings.Join(values, " ")
}

func cancelled() context.Context {
	ctx, cancel := context.WithCancelCause(context.Background())
	cancel(errors.New("interrupted"))
	return ctx
}
