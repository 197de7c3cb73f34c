package dlq

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/outbox/internal/outboxtest"
	"github.com/redoxworker/redoxworker/outbox/internal/wire"
)

// letterOf is a dead letter of any source.
func letterOf(source, id string, sequence uint64) Letter {
	l := letter(id, sequence)
	l.Source, l.Subject, l.Body = source, contract.Prefix("").SendSubject(source), []byte(`{"of":"`+source+`"}`)
	return l
}

// Two sources have dead letters of one id: neither is taken for the other's, and each is
// shown, replayed and discarded by itself.
func TestDeadLetters_TwoSourcesOneID(t *testing.T) {
	t.Parallel()
	g := newGraveyard(t)
	g.bury(letterOf("clinic-a", "1001", 1), letterOf("clinic-b", "1001", 2), letterOf("clinic-b", "1002", 3), letterOf("", "1003", 4))
	var shared *SharedIDError
	if _, err := g.Get(g.Ctx(), "", "1001"); !errors.As(err, &shared) || !slices.Equal(shared.Sources, []string{"clinic-a", "clinic-b"}) {
		t.Errorf("without a source: %v", err)
	}
	for source, id := range map[string]string{"clinic-a": "1001", "clinic-b": "1001", "": "1002", contract.NoSource: "1003"} {
		if found, err := g.Get(g.Ctx(), source, id); err != nil || len(found) != 1 || source != "" && source != contract.NoSource && found[0].Source != source {
			t.Errorf("%q %s: %+v, %v", source, id, found, err)
		}
	}
	if _, err := g.Get(g.Ctx(), "clinic-a", "1002"); !errors.Is(err, ErrNotFound) {
		t.Errorf("another source's: %v", err)
	}
	by := map[string]Handled{}
	for _, source := range []string{"clinic-a", "clinic-b"} {
		s := g.selected(Query{Sources: []string{source}, IDs: []string{"1001"}})
		if got := s.sourcesOf("1001"); !slices.Equal(got, []string{source}) {
			t.Errorf("%s: sources %v", source, got)
		}
		for h, err := range g.Replay(g.Ctx(), s, ReplayOptions{}) {
			g.Must(err)
			if h.Source != source || h.Outcome != Replayed || h.ReplayID != "1001:r1" || by[source].ReplayID != "" {
				t.Errorf("%s: %+v", source, h)
			}
			by[source] = h
		}
	}
	g.left(2)
	if n := len(g.Queued()); n != 2 {
		t.Fatalf("%d replays are queued, want 2", n)
	}
	g.settledApart(by)
}

// settledApart has one of two replays delivered and the other one fail again.
func (g graveyard) settledApart(by map[string]Handled) {
	g.T.Helper()
	for _, m := range g.Queued() {
		if strings.Contains(m.Subject, "clinic-b") {
			l := letterOf("clinic-b", "1001:r1", m.Sequence)
			l.Settlement = outbox.Expired
			g.bury(l)
		}
		g.remove(m.Sequence)
	}
	for source, want := range map[string]outbox.Settlement{"clinic-a": outbox.Delivered, "clinic-b": outbox.Expired} {
		if s, ok, err := g.Settled(g.Ctx(), by[source]); s != want || !ok || err != nil {
			g.T.Errorf("%s: %q, %v, %v; want %s", source, s, ok, err, want)
		}
	}
}

// An id stands for its replays where its own source has no dead letter of it: that another
// source has one makes no difference.
func TestDeadLetters_ReplaysOfTwoSources(t *testing.T) {
	t.Parallel()
	g := newGraveyard(t)
	replayed := letterOf("clinic-b", "1001:r1", 7)
	replayed.Header[contract.HeaderReplayOf], replayed.Header[contract.HeaderReplayCount] = []string{"1001"}, []string{"1"}
	g.bury(letterOf("clinic-a", "1001", 1), replayed)
	if found, err := g.Get(g.Ctx(), "clinic-b", "1001"); err != nil || len(found) != 1 || found[0].MessageID != "1001:r1" {
		t.Errorf("%+v, %v", found, err)
	}
	s := g.selected(Query{IDs: []string{"1001"}})
	if sources := s.sourcesOf("1001"); s.Len() != 2 || len(sources) != 2 || len(s.Missing([]string{"1001"})) != 0 {
		t.Errorf("%d of %v", s.Len(), sources)
	}
}

// No publisher makes an id that suppresses a replay, of its own source or another: the work
// queue takes each once, and nothing is lost.
func TestReplay_NobodyElseCanSuppressIt(t *testing.T) {
	t.Parallel()
	g := newGraveyard(t)
	g.bury(letterOf("clinic-a", "1001", 5))
	forged := append(outboxtest.Forgeries("clinic-a", "1001:r1"), "1001:r1")
	for _, id := range forged {
		for _, source := range []string{"clinic-b", "clinic-a"} {
			_, err := g.Publish(contract.Prefix("").SendSubject(source), contract.HeaderID, id)
			g.Must(err)
		}
	}
	if got := g.replayAll(ReplayOptions{}); got != "1001 replayed" {
		t.Fatal(got)
	}
	last := g.Queued()[len(g.Queued())-1]
	if idOf(last.Header) != "1001:r1" || wire.First(last.Header, contract.HeaderReplayCount) != "1" || string(last.Data) != `{"of":"clinic-a"}` {
		t.Errorf("%v %s", last.Header, last.Data)
	}
	g.left(0)
}

// The key of the replays' ids outlives the process that made it, and is made once by many.
func TestReplay_OneKeyForAll(t *testing.T) {
	t.Parallel()
	g := newGraveyard(t)
	keys := make(chan string, 8)
	for range cap(keys) {
		d := lettersOf(g.Rig)
		go func() {
			key, err := d.dedupKey(g.Ctx())
			if err != nil {
				t.Error(err)
			}
			keys <- string(key)
		}()
	}
	one := <-keys
	for range cap(keys) - 1 {
		if other := <-keys; other != one || len(one) < wire.MinSecret {
			t.Errorf("keys %d bytes and %d bytes differ", len(one), len(other))
		}
	}
	kv, err := g.ledger(g.Ctx())
	g.Must(err)
	_, err = kv.PutString(g.Ctx(), dedupKeyName, "short")
	g.Must(err)
	g.bury(letter("m-1", 1))
	for _, err := range g.Replay(g.Ctx(), g.selected(Query{}), ReplayOptions{}) {
		if err == nil || !strings.Contains(err.Error(), "key replay-key in bucket REDOX_LEDGER is damaged") {
			t.Errorf("%v", err)
		}
	}
	g.Must(kv.Purge(g.Ctx(), dedupKeyName)) // the mend
	if got := g.replayAll(ReplayOptions{}); got != "m-1 replayed" {
		t.Error(got)
	}
}

// Thousands of sources have dead letters of one id: one is found by itself, and the error
// that asks for a source stays short.
func TestDeadLetters_ManySourcesOneID(t *testing.T) {
	t.Parallel()
	const sources = 5000
	g := newGraveyard(t)
	for i := range sources {
		g.bury(letterOf(fmt.Sprintf("clinic-%04d", i), "1", uint64(i+1)))
	}
	_, err := g.Get(g.Ctx(), "", "1")
	if want := "5000 sources, clinic-0000, clinic-0001"; err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "and 4990 more") || len(err.Error()) > 250 {
		t.Errorf("%v", err)
	}
	if found, err := g.Get(g.Ctx(), "clinic-4711", "1"); err != nil || len(found) != 1 || found[0].Source != "clinic-4711" {
		t.Errorf("%+v, %v", found, err)
	}
	if got := g.outcomes(g.Replay(g.Ctx(), g.selected(Query{Sources: []string{"clinic-4711"}, IDs: []string{"1"}}), ReplayOptions{})); got != "1 replayed" {
		t.Error(got)
	}
	if s := g.selected(Query{IDs: []string{"1"}}); s.Len() != sources-1 || len(s.sourcesOf("1")) != sources-1 {
		t.Errorf("%d are left, of %d sources", s.Len(), len(s.sourcesOf("1")))
	}
	g.left(sources - 1)
}
