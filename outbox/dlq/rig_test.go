package dlq

import (
	"cmp"
	"context"
	"encoding/base64"
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

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/outbox/internal/outboxtest"
	"github.com/redoxworker/redoxworker/outbox/internal/streams"
	"github.com/redoxworker/redoxworker/outbox/internal/wire"
	"github.com/redoxworker/redoxworker/worker/redox"
)

// graveyard is a provisioned server without a worker.
type graveyard struct {
	outboxtest.Rig
	*Store
}

const goldenToken = "0123456789abcdef0123456789abcdef"

var buriedAt = time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)

func newGraveyard(t *testing.T) graveyard {
	t.Helper()
	r := outboxtest.New(t)
	r.Provision(streams.Set{Names: contract.Prefix("")})
	return graveyard{r, lettersOf(r)}
}

// lettersOf are another operator's, on a connection of its own.
func lettersOf(r outboxtest.Rig) *Store {
	r.T.Helper()
	d, err := New(r.Connect(), Config{ReadEvent: redox.ReadEvent})
	if err != nil {
		r.T.Fatal(err)
	}
	return d
}

// letter of a SEND of clinic-a, stored as sequence and settled that many seconds after buriedAt.
func letter(id string, sequence uint64) Letter {
	return Letter{
		MessageID: id, Source: "clinic-a", Settlement: outbox.Rejected, Error: "status 400", Status: 400, Attempts: 1,
		At: buriedAt.Add(time.Duration(sequence) * time.Second), Subject: "redox.out.clinic-a.send", Sequence: sequence, Worker: "w-1",
		Header: nats.Header{"X-Mine": {"1"}}, Body: []byte(`{"Meta":{"DataModel":"Order","EventType":"New"},"of":"` + id + `"}`),
	}
}

// orderedLetter is one of an order token.
func orderedLetter(id, token string, sequence uint64) Letter {
	l := letter(id, sequence)
	l.Subject = "redox.out.clinic-a.send." + token
	l.Header[contract.HeaderOrderToken] = []string{token}
	return l
}

// put stores a body.
func (g graveyard) put(name string, body []byte) {
	g.T.Helper()
	g.Must(g.bodies.Put(g.Ctx(), name, body))
}

// objectSequence is where the header of an object is stored.
func (g graveyard) objectSequence(name string) uint64 {
	g.T.Helper()
	s, err := g.JS.Stream(g.Ctx(), "OBJ_REDOX_BODIES")
	g.Must(err)
	msg, err := s.GetLastMsgForSubject(g.Ctx(), "$O.REDOX_BODIES.M."+base64.URLEncoding.EncodeToString([]byte(name)))
	g.Must(err)
	return msg.Sequence
}

// bury stores dead letters as a worker does.
func (g graveyard) bury(letters ...Letter) {
	g.T.Helper()
	for _, l := range letters {
		if _, err := g.JS.PublishMsg(g.Ctx(), l.Encode("")); err != nil {
			g.T.Fatal(err)
		}
	}
}

// buryHeld stores dead letters as a worker does that holds what is behind them.
func (g graveyard) buryHeld(letters ...Letter) {
	g.T.Helper()
	for _, l := range letters {
		at, ordered := l.Place("")
		if !ordered {
			g.T.Fatalf("%s has no order", l.MessageID)
		}
		var err error
		l.Behind, err = g.held.Hold(g.Ctx(), at)
		g.Must(err)
		g.bury(l)
	}
}

func (g graveyard) buryMany(n int) {
	g.T.Helper()
	for i := range n {
		g.bury(letter(fmt.Sprintf("m-%03d", i), uint64(i+1)))
	}
}

// note is what is noted of an order token of clinic-a.
func (g graveyard) note(token string) HeldToken {
	g.T.Helper()
	note, err := g.held.Load(g.Ctx(), "clinic-a", token)
	g.Must(err)
	return note
}

// listed is a dead letter as its stream holds it.
func (g graveyard) listed(id string) Stored {
	g.T.Helper()
	found, err := g.Get(g.Ctx(), "clinic-a", id)
	g.Must(err)
	return found[0]
}

func (g graveyard) ids(q Query) string {
	g.T.Helper()
	var ids []string
	for l, err := range g.List(g.Ctx(), q) {
		if err != nil {
			g.T.Fatal(err)
		}
		ids = append(ids, l.MessageID)
	}
	return strings.Join(ids, " ")
}

func (g graveyard) selected(q Query) Selection {
	g.T.Helper()
	s, err := g.Select(g.Ctx(), q)
	if err != nil {
		g.T.Fatal(err)
	}
	return s
}

// outcomes fails the test on an error, and shows what became of which.
func (g graveyard) outcomes(run iter.Seq2[Handled, error]) string {
	g.T.Helper()
	var all []string
	for h, err := range run {
		if err != nil {
			g.T.Fatal(err)
		}
		all = append(all, h.MessageID+" "+string(h.Outcome))
	}
	return strings.Join(all, ", ")
}

func (g graveyard) replayAll(o ReplayOptions) string {
	g.T.Helper()
	return g.outcomes(g.Replay(g.Ctx(), g.selected(Query{}), o))
}

// idOf is the message id in headers.
func idOf(h nats.Header) string {
	return cmp.Or(wire.First(h, contract.HeaderMessageID), wire.First(h, contract.HeaderID))
}

func (g graveyard) queuedIDs() string {
	g.T.Helper()
	var ids []string
	for _, m := range g.Queued() {
		ids = append(ids, idOf(m.Header))
	}
	return strings.Join(ids, " ")
}

// left fails the test unless the stream of dead letters holds n, and the ledger no lock.
func (g graveyard) left(n uint64) {
	g.T.Helper()
	if got := g.Rig.Stream("REDOX_DLQ").State.Msgs; got != n {
		g.T.Errorf("%d dead letters are left, want %d", got, n)
	}
	if locks := g.locks(); len(locks) > 0 {
		g.T.Errorf("locks are left: %v", locks)
	}
}

func (g graveyard) locks() []string {
	g.T.Helper()
	kv, err := g.ledger(g.Ctx())
	if err != nil {
		g.T.Fatal(err)
	}
	list, err := kv.ListKeysFiltered(g.Ctx(), lockKeys+".>")
	if err != nil {
		g.T.Fatal(err)
	}
	var keys []string
	for key := range list.Keys() {
		keys = append(keys, key)
	}
	return keys
}

// age makes all locks old enough to be taken over.
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
	g.T.Helper()
	m, err := outbox.Decode("", outbox.Stored{Subject: msg.Subject, Header: msg.Header, Body: msg.Data, Sequence: msg.Sequence})
	if err != nil {
		g.T.Fatal(err)
	}
	g.Must(NoteReplay(g.Ctx(), g.JS, "", m, outbox.Delivered))
	g.remove(msg.Sequence)
}

func (g graveyard) remove(sequence uint64) {
	g.T.Helper()
	out, err := g.outStream(g.Ctx())
	g.Must(err)
	g.Must(out.DeleteMsg(g.Ctx(), sequence))
}

// forget makes the work queue forget all ids, as it does after ten minutes. The window is
// changed again until it has: a change starts the server's purge at once, which on a busy
// machine comes before the new window counts, and then again only after the old one.
func (g graveyard) forget() {
	g.T.Helper()
	window := 100 * time.Millisecond
	for deadline := time.Now().Add(time.Minute); ; window = 201*time.Millisecond - window {
		g.UpdateStream("REDOX_OUT", func(c *jetstream.StreamConfig) { c.Duplicates = window })
		if g.forgets("probe", 2*window) {
			return
		}
		if time.Now().After(deadline) {
			g.T.Fatal("the work queue does not forget")
		}
	}
}

// forgets tells whether the work queue takes an id anew, that it has just taken, within d.
func (g graveyard) forgets(id string, d time.Duration) bool {
	g.T.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for first, deadline := true, time.Now().Add(d); ; first = false {
		ack, err := g.Publish("redox.out.clinic-b.request", contract.HeaderID, id)
		g.Must(err)
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
		values = append(values, strconv.Itoa(len(values)+1)+":"+wire.First(m.Header, header))
	}
	return strings.Join(values, " ")
}

func cancelled() context.Context {
	ctx, cancel := context.WithCancelCause(context.Background())
	cancel(errors.New("interrupted"))
	return ctx
}
