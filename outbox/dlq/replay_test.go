package dlq

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/outbox/internal/outboxtest"
	"github.com/redoxworker/redoxworker/outbox/internal/wire"
)

// The work queue still knows the first message's id.
func TestReplay_InsideTheDuplicateWindow(t *testing.T) {
	t.Parallel()
	g := newGraveyard(t)
	ack, err := g.Publish("redox.out.clinic-a.send", contract.HeaderID, "m-1", "X-Mine", "1")
	g.Must(err)
	g.remove(ack.Sequence)
	g.bury(letter("m-1", ack.Sequence))
	if got := g.replayAll(ReplayOptions{}); got != "m-1 replayed" {
		t.Fatal(got)
	}
	queued := g.Queued()
	if len(queued) != 1 || queued[0].Subject != "redox.out.clinic-a.send" || string(queued[0].Data) != string(letter("m-1", 1).Body) {
		t.Fatalf("%+v", queued)
	}
	m, err := outbox.Decode("", outbox.Stored{Subject: queued[0].Subject, Header: queued[0].Header, Body: queued[0].Data, Sequence: queued[0].Sequence})
	if err != nil || m.ID != "m-1:r1" || m.ReplayOf != "m-1" || m.ReplayCount != 1 || m.Position != 1 || wire.First(queued[0].Header, "X-Mine") != "1" {
		t.Errorf("%+v, %v", m, err)
	}
	g.left(0)
}

func TestReplay_DryRunChangesNothing(t *testing.T) {
	t.Parallel()
	g := newGraveyard(t)
	poison := letter("bad", 9)
	poison.Subject = "redox.out.x"
	g.bury(letter("m-1", 1), poison)
	if got := g.replayAll(ReplayOptions{DryRun: true}); got != "m-1 replayed, bad refused" {
		t.Error(got)
	}
	if n := len(g.Queued()); n != 0 {
		t.Errorf("%d messages were published", n)
	}
	g.left(2)
}

// Each token's messages keep the order in which the work queue took them first: not that
// of the dead letters.
func TestReplay_KeepsTheOrderOfTokens(t *testing.T) {
	t.Parallel()
	g := newGraveyard(t)
	tokens := []string{strings.Repeat("a", 32), strings.Repeat("b", 32), strings.Repeat("c", 32)}
	var letters []Letter
	for i := range 60 {
		letters = append(letters, orderedLetter(fmt.Sprintf("m-%02d", i), tokens[i%3], uint64(i+1)))
	}
	// The first of token a was replayed and failed again: it comes last, and has its old place.
	letters[0].MessageID, letters[0].Sequence = "m-00:r1", 500
	letters[0].Header[contract.HeaderReplayOf], letters[0].Header[contract.HeaderReplayCount], letters[0].Header[contract.HeaderOrderPosition] = []string{"m-00"}, []string{"1"}, []string{"1"}
	slices.Reverse(letters)
	g.bury(letters...)
	g.replayAll(ReplayOptions{AtOnce: 16})
	for _, token := range tokens {
		last := ""
		for _, m := range g.Queued() {
			if wire.First(m.Header, contract.HeaderOrderToken) != token {
				continue
			}
			id := idOf(m.Header)
			if id <= last || m.Subject != "redox.out.clinic-a.send."+token {
				t.Errorf("%s comes after %s, in %s", id, last, m.Subject)
			}
			last = id
		}
	}
	if n := len(g.Queued()); n != 60 {
		t.Errorf("%d messages", n)
	}
	g.left(0)
}

// A crash after any step: the next run finishes it, and nothing is published twice;
// also when the work queue remembers no id any more, and when the worker has delivered it
// meanwhile.
func TestReplay_CrashBetweenSteps(t *testing.T) {
	t.Parallel()
	for _, point := range []string{"locked", "published", "deleted"} {
		for _, meanwhile := range []string{"nothing", "delivered", "window over", "delivered, window over"} {
			t.Run(point+", then "+meanwhile, func(t *testing.T) {
				t.Parallel()
				g := newGraveyard(t)
				g.buryMany(3)
				g.crashing(point, 2)
				if got := g.replayUntilCrash(ReplayOptions{AtOnce: 1}); got != "m-000 replayed" {
					t.Fatalf("before the crash: %s", got)
				}
				delivered := map[string]int{}
				if strings.Contains(meanwhile, "delivered") {
					for _, m := range g.Queued() {
						delivered[idOf(m.Header)]++
						g.settle(m)
					}
				}
				if strings.Contains(meanwhile, "window") {
					g.forget()
				}
				second := graveyard{g.Rig, lettersOf(g.Rig)}
				got := second.replayAll(ReplayOptions{})
				want := map[string]string{"locked": "m-001 replayed, m-002 replayed", "published": "m-001 already replayed, m-002 replayed", "deleted": "m-002 replayed"}
				if got != want[point] {
					t.Errorf("the second run: %s, want %s", got, want[point])
				}
				for _, m := range g.Queued() {
					delivered[idOf(m.Header)]++
				}
				for _, id := range []string{"m-000:r1", "m-001:r1", "m-002:r1"} {
					if delivered[id] != 1 || len(delivered) != 3 {
						t.Errorf("%s was published %d times: %v", id, delivered[id], delivered)
					}
				}
				if point != "deleted" { // that lock nobody will meet again; it expires
					second.left(0)
				}
			})
		}
	}
}

// replayUntilCrash answers what became of those before it.
func (g graveyard) replayUntilCrash(o ReplayOptions) string {
	g.T.Helper()
	var all []string
	for h, err := range g.Replay(g.Ctx(), g.selected(Query{}), o) {
		if errors.Is(err, errCrash) {
			return strings.Join(all, ", ")
		}
		if err != nil {
			g.T.Fatal(err)
		}
		all = append(all, h.MessageID+" "+string(h.Outcome))
	}
	g.T.Fatal("it did not crash")
	return ""
}

// Several operators replay the same at once.
func TestReplay_ManyOperatorsAtOnce(t *testing.T) {
	t.Parallel()
	g := newGraveyard(t)
	const n = 120
	g.buryMany(n)
	g.bury(letter("m-000", 900), letter("m-000", 901)) // an id that was used three times
	token := strings.Repeat("d", 32)
	for i := range 20 {
		g.bury(orderedLetter(fmt.Sprintf("o-%02d", i), token, uint64(1000+i)))
	}
	var all sync.WaitGroup
	var mu sync.Mutex
	replayed := 0
	for range 4 {
		d := lettersOf(g.Rig)
		s := g.selected(Query{})
		all.Go(func() {
			for h, err := range d.Replay(g.Ctx(), s, ReplayOptions{}) {
				if err != nil || !h.Outcome.Removed() {
					t.Errorf("%+v, %v", h, err)
				}
				mu.Lock()
				if h.Outcome == Replayed {
					replayed++
				}
				mu.Unlock()
			}
		})
	}
	all.Wait()
	count, last := map[string]int{}, ""
	for _, m := range g.Queued() {
		count[idOf(m.Header)]++
		if id := idOf(m.Header); wire.First(m.Header, contract.HeaderOrderToken) != "" {
			if id <= last {
				t.Errorf("%s comes after %s", id, last)
			}
			last = id
		}
	}
	if len(count) != n+22 || len(g.Queued()) != n+22 || count["m-000:r1"]+count["m-000:r2"]+count["m-000:r3"] != 3 {
		t.Errorf("%d ids, %d messages, want %d; m-000: %v", len(count), len(g.Queued()), n+22, count)
	}
	if replayed > n+22 {
		t.Errorf("%d were replayed", replayed)
	}
	g.left(0)
}

// An id may be that of two dead letters: their replays have ids of their own. A message of the
// application that is called like a replay takes no number.
func TestReplay_IDsThatAreTaken(t *testing.T) {
	t.Parallel()
	g := newGraveyard(t)
	_, err := g.Publish("redox.out.clinic-a.send", contract.HeaderID, "m-1:r1")
	g.Must(err)
	g.bury(letter("m-1", 5), letter("m-1", 9))
	if got := g.replayAll(ReplayOptions{AtOnce: 1}); got != "m-1 replayed, m-1 replayed" {
		t.Fatal(got)
	}
	if got := g.queuedIDs(); got != "m-1:r1 m-1:r1 m-1:r2" {
		t.Errorf("queued %s", got)
	}
	if got := sequences(g.Queued(), contract.HeaderOrderPosition); got != "1: 2:5 3:9" {
		t.Errorf("positions %s", got)
	}
	if got := sequences(g.Queued(), contract.HeaderReplayCount); got != "1: 2:1 3:2" {
		t.Errorf("counts %s", got)
	}
	g.left(0)
}

func TestReplay_Deadlines(t *testing.T) {
	t.Parallel()
	g := newGraveyard(t)
	past, future := letter("past", 1), letter("future", 2)
	past.Header[contract.HeaderDeadline], future.Header[contract.HeaderDeadline] = []string{"2020-01-01T00:00:00Z"}, []string{"2199-01-01T00:00:00Z"}
	g.bury(past, future)
	if got := g.replayAll(ReplayOptions{KeepDeadline: true}); got != "past late, future replayed" {
		t.Fatal(got)
	}
	g.left(1)
	for h, err := range g.Replay(g.Ctx(), g.selected(Query{}), ReplayOptions{}) {
		if err != nil || h.Outcome != Replayed || !h.DeadlineDropped {
			t.Errorf("%+v, %v", h, err)
		}
	}
	if got := sequences(g.Queued(), contract.HeaderDeadline); got != "1:2199-01-01T00:00:00Z 2:" {
		t.Errorf("deadlines %s", got)
	}
}

// With hold: what waits behind a dead letter that is left out is not sent, for it would
// only be held again; together they are sent.
func TestReplay_BehindAnotherDeadLetter(t *testing.T) {
	t.Parallel()
	g := newGraveyard(t)
	token := strings.Repeat("e", 32)
	behind := orderedLetter("second", token, 8)
	behind.Settlement = outbox.Held
	g.buryHeld(orderedLetter("first", token, 7), behind)
	g.bury(letter("other", 9))
	held := Query{Settlements: []outbox.Settlement{outbox.Held}}
	if got := g.outcomes(g.Replay(g.Ctx(), g.selected(held), ReplayOptions{})); got != "second behind" {
		t.Error(got)
	}
	g.left(3)
	if got := g.replayAll(ReplayOptions{}); got != "first replayed, second replayed, other replayed" {
		t.Error(got)
	}
	// Without hold nothing was promised.
	g.bury(orderedLetter("third", token, 17), orderedLetter("fourth", token, 18))
	g.Must(g.held.Clear(g.Ctx(), "clinic-a", token))
	if got := g.outcomes(g.Replay(g.Ctx(), g.selected(Query{IDs: []string{"fourth"}}), ReplayOptions{})); got != "fourth replayed" {
		t.Error(got)
	}
}

func TestReplay_Refused(t *testing.T) {
	t.Parallel()
	g := newGraveyard(t)
	nowhere, kind := letter("nowhere", 1), letter("kind", 2)
	nowhere.Source, nowhere.Settlement, nowhere.Subject = "", outbox.Poison, "redox.out.UPPER.send"
	kind.Settlement, kind.Header[contract.HeaderKind] = outbox.Poison, []string{"x"}
	g.bury(nowhere, kind, letter("good", 3))
	if got := g.replayAll(ReplayOptions{}); got != "nowhere refused, kind refused, good replayed" {
		t.Error(got)
	}
	for h, err := range g.Replay(g.Ctx(), g.selected(Query{Sources: []string{contract.NoSource}}), ReplayOptions{}) {
		if err != nil || !strings.Contains(h.Reason, "none that a worker serves") || !strings.Contains(h.Reason, "discard it") {
			t.Errorf("%+v, %v", h, err)
		}
	}
	g.left(2)
}

// The body leaves little room, and a replay has headers of its own.
func TestReplay_TooLargeForItsHeaders(t *testing.T) {
	t.Parallel()
	g := newGraveyard(t)
	l := letter("big", 1)
	limit := g.JS.Conn().MaxPayload()
	l.MessageID, l.Error, l.Worker = strings.Repeat("x", 190), "", "" // twice in a replay, once in a dead letter
	l.Body = outboxtest.Pattern(int(limit) - 1000)
	l.Body = outboxtest.Pattern(len(l.Body) + int(limit-wire.Size(l.Encode(""))))
	g.bury(l)
	if got := g.replayAll(ReplayOptions{}); !strings.HasSuffix(got, " replayed") {
		t.Fatal(got)
	}
	queued := g.Queued()
	name := wire.First(queued[0].Header, contract.HeaderBodyObject)
	body, err := g.bodies.Get(g.Ctx(), name, -1)
	if err != nil || string(body) != string(l.Body) || len(queued[0].Data) != 0 || !strings.HasPrefix(name, "clinic-a/") {
		t.Errorf("object %q of %d bytes, %v", name, len(body), err)
	}
	g.left(0)
}

// A claim check goes along: the object stays.
func TestReplay_ClaimCheck(t *testing.T) {
	t.Parallel()
	g := newGraveyard(t)
	l := letter("m-1", 1)
	l.Body, l.Header[contract.HeaderBodyObject] = nil, []string{"clinic-a/dlq-1"}
	g.put("clinic-a/dlq-1", []byte("body"))
	before := g.objectSequence("clinic-a/dlq-1")
	g.bury(l)
	g.replayAll(ReplayOptions{})
	if g.objectSequence("clinic-a/dlq-1") == before {
		t.Error("the object was not touched: it may be collected while the message moves")
	}
	if name := wire.First(g.Queued()[0].Header, contract.HeaderBodyObject); name != "clinic-a/dlq-1" {
		t.Errorf("object %q", name)
	}
	if _, err := g.bodies.Get(g.Ctx(), "clinic-a/dlq-1", -1); err != nil {
		t.Error(err)
	}
}

func TestNoteReplay_OnlyReplays(t *testing.T) {
	t.Parallel()
	g := newGraveyard(t)
	for _, m := range []outbox.Message{{ID: "a", Source: "clinic-a"}, {ID: "b:r1", Source: "clinic-a", ReplayOf: "b", Position: 7}} {
		g.Must(NoteReplay(g.Ctx(), g.JS, "", m, outbox.Expired))
	}
	if _, ok, err := g.noted(g.Ctx(), "clinic-a", "a"); ok || err != nil {
		t.Errorf("a note of no replay: %v, %v", ok, err)
	}
	if n, ok, err := g.noted(g.Ctx(), "clinic-a", "b:r1"); n != (note{7, outbox.Expired}) || !ok || err != nil {
		t.Errorf("%+v, %v, %v", n, ok, err)
	}
	kv, err := g.ledger(g.Ctx())
	g.Must(err)
	entry, err := kv.Get(g.Ctx(), noteKey("", "clinic-a", "b:r1"))
	g.Must(err)
	s, err := g.JS.Stream(g.Ctx(), "KV_REDOX_LEDGER")
	g.Must(err)
	raw, err := s.GetMsg(g.Ctx(), entry.Revision())
	if err != nil || wire.First(raw.Header, nats.MsgTTLHdr) == "" {
		t.Errorf("the note never expires: %v, %v", raw, err)
	}
}
