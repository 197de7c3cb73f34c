package outbox

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/outbox/internal/outboxtest"
	"github.com/redoxworker/redoxworker/outbox/internal/streams"
	"github.com/redoxworker/redoxworker/outbox/natsdev"
)

// Messages of each key are stored in the order of the batch, whatever the others are.
func TestPublishBatch_KeepsTheOrderOfEachKey(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ sources, keys, messages int }{{1, 1, 1}, {1, 1, 300}, {1, 200, 1000}, {300, 5, 900}} {
		r, p := published(t, natsdev.Options{}, PublisherConfig{})
		var ms []Message
		for i := range tc.messages {
			m := Message{Source: fmt.Sprint("clinic-", i%tc.sources), Body: fmt.Appendf(nil, `{"n":%d}`, i)}
			if i%3 > 0 || tc.keys == 1 {
				m.OrderKey = fmt.Sprint("patient ", i%tc.keys)
			}
			ms = append(ms, m)
		}
		results := p.PublishBatch(t.Context(), ms)
		last := map[string]int{} // the newest message of each subject
		stored := map[uint64]int{}
		for i, one := range results {
			if one.Err != nil || one.ID == "" || one.Duplicate {
				t.Fatalf("%+v: message %d: %+v", tc, i, one)
			}
			stored[one.Sequence] = i
		}
		if len(stored) != tc.messages {
			t.Errorf("%+v: %d are stored", tc, len(stored))
		}
		for _, msg := range r.Queued() {
			i := stored[msg.Sequence]
			if !bytes.Equal(msg.Data, ms[i].Body) {
				t.Fatalf("%+v: sequence %d is not message %d", tc, msg.Sequence, i)
			}
			if before, ok := last[msg.Subject]; ok && before > i && ms[i].OrderKey != "" {
				t.Errorf("%+v: message %d after %d", tc, i, before)
			}
			last[msg.Subject] = i
		}
	}
}

// One that fails keeps back those behind it, and nobody else; published again from there on, all
// are in order, and what was stored is not stored again.
func TestPublishBatch_AFailureStopsItsKeyAlone(t *testing.T) {
	t.Parallel()
	r, p := published(t, natsdev.Options{}, PublisherConfig{MaxBody: 100})
	large := append(append([]byte(`"`), bytes.Repeat([]byte("x"), 200)...), '"')
	ms := []Message{
		{Source: "clinic-a", OrderKey: "one", Body: []byte(`1`)},
		{Source: "clinic-a", OrderKey: "one", Body: large},
		{Source: "clinic-a", OrderKey: "two", Body: []byte(`2`)},
		{Source: "clinic-b", OrderKey: "one", Body: []byte(`3`)},
		{Source: "clinic-a", OrderKey: "one", Body: []byte(`4`)},
		{Source: "No Clinic", Body: []byte(`5`)},
		{Source: "clinic-a", Body: []byte(`6`)},
		{Source: "clinic-a", OrderKey: "three", OrderToken: "another", Body: []byte(`7`)},
		{Source: "clinic-a", OrderKey: "one", Body: []byte(`8`)},
	}
	want := []string{"", "size", "", "", "behind", "contract", "", "contract", "behind"}
	results := p.PublishBatch(t.Context(), ms)
	for i, one := range results {
		got := ""
		switch {
		case errors.Is(one.Err, ErrBehind):
			got = "behind"
		case errors.As(one.Err, new(*SizeError)):
			got = "size"
		case errors.As(one.Err, new(*ContractError)):
			got = "contract"
		case one.Err != nil:
			got = one.Err.Error()
		}
		if got != want[i] || one.ID == "" || (one.Sequence > 0) != (got == "") {
			t.Errorf("message %d: %q (%v), want %q; %+v", i, got, one.Err, want[i], one.Receipt)
		}
		ms[i].ID = one.ID
	}
	ms[1].Body = []byte(`"small"`)
	for i, one := range p.PublishBatch(t.Context(), []Message{ms[0], ms[1], ms[4], ms[8]}) {
		if one.Err != nil || one.Duplicate != (i == 0) {
			t.Errorf("again, message %d: %+v", i, one)
		}
	}
	var got []string
	for _, msg := range r.Queued() {
		if token, _ := OrderToken(outboxtest.Secret, "one"); msg.Subject == "redox.out.clinic-a.send."+token {
			got = append(got, string(msg.Data))
		}
	}
	if fmt.Sprint(got) != `[1 "small" 4 8]` {
		t.Errorf("stored %v", got)
	}
}

// Many messages of a few keys go in turns with the one of another.
func TestPublishBatch_KeysTakeTurns(t *testing.T) {
	t.Parallel()
	r, p := published(t, natsdev.Options{}, PublisherConfig{})
	var ms []Message
	for i := range 1500 {
		ms = append(ms, Message{Source: "clinic-a", OrderKey: fmt.Sprint(i % (2 * batchInFlight))})
	}
	ms = append(ms, Message{Source: "clinic-b", OrderKey: "alone"})
	results := p.PublishBatch(t.Context(), ms)
	if at := results[len(ms)-1].Sequence; at == 0 || at > 5*batchInFlight {
		t.Errorf("the message of clinic-b is stored as %d of %d", at, len(r.Queued()))
	}
}

func TestPublishBatch_EndsWithItsContext(t *testing.T) {
	t.Parallel()
	_, p := published(t, natsdev.Options{}, PublisherConfig{})
	if results := p.PublishBatch(t.Context(), nil); len(results) != 0 {
		t.Errorf("of nothing: %v", results)
	}
	reason := errors.New("no more time")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(reason)
	results := p.PublishBatch(ctx, []Message{{Source: "clinic-a", OrderKey: "k"}, {Source: "clinic-a", OrderKey: "k"}, {Source: "clinic-a"}})
	if !errors.Is(results[0].Err, reason) || !errors.Is(results[1].Err, ErrBehind) || !errors.Is(results[2].Err, reason) {
		t.Errorf("%+v", results)
	}
}

// BenchmarkPublishBatch prints how many times as many messages a second it stores as Publish does
// one after the other.
func BenchmarkPublishBatch(b *testing.B) {
	js := outboxtest.Bench(b)
	if err := outboxtest.Provision(b.Context(), js, streams.Set{Names: contract.Prefix("")}); err != nil {
		b.Fatal(err)
	}
	p, err := NewPublisher(js, PublisherConfig{OrderSecret: outboxtest.Secret})
	if err != nil {
		b.Fatal(err)
	}
	const messages = 2000
	ms := make([]Message, messages)
	for i := range ms {
		ms[i] = Message{Source: "clinic-a", OrderKey: fmt.Sprint(i % 500), Body: bytes.Repeat([]byte("x"), 1000)}
	}
	var alone, batch time.Duration
	for b.Loop() {
		start := time.Now()
		for _, m := range ms {
			if _, err := p.Publish(b.Context(), m); err != nil {
				b.Fatal(err)
			}
		}
		alone += time.Since(start)
		start = time.Now()
		for _, one := range p.PublishBatch(b.Context(), ms) {
			if one.Err != nil {
				b.Fatal(one.Err)
			}
		}
		batch += time.Since(start)
	}
	b.ReportMetric(float64(alone)/float64(batch), "times/Publish")
}
