package dlq

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/outbox/internal/outboxtest"
	"github.com/redoxworker/redoxworker/outbox/internal/streams"
	"github.com/redoxworker/redoxworker/outbox/natsdev"
)

func newHeldTokens(t *testing.T) (outboxtest.Rig, *HeldTokens) {
	t.Helper()
	r := outboxtest.New(t)
	r.Provision(streams.Set{Names: contract.Prefix("")})
	return r, NewHeldTokens(r.JS, "")
}

const heldTestToken = "0123456789abcdef0123456789abcdef"

// heldAt is the place of a message of heldTestToken that is stored at its position.
func heldAt(position uint64) OrderPlace {
	return OrderPlace{Source: "clinic-a", Token: heldTestToken, Position: position, Behind: position - 1, Sequence: position}
}

func TestHeldTokens_HoldAndRelease(t *testing.T) {
	t.Parallel()
	r, h := newHeldTokens(t)
	do := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	hold := func(at OrderPlace, want uint64) {
		t.Helper()
		if behind, err := h.Hold(r.Ctx(), at); err != nil || behind != want {
			t.Fatalf("%d is behind %d, %v; want %d", at.Position, behind, err, want)
		}
	}
	note := func(want string) {
		t.Helper()
		if held, err := h.Load(r.Ctx(), "clinic-a", heldTestToken); err != nil || string(held.value()) != want {
			t.Errorf("%s, %v; want %s", held.value(), err, want)
		}
	}
	const none = `{"through":0,"last":0,"behind":0}`
	note(none)
	do(h.Release(r.Ctx(), heldAt(7))) // it was not held
	hold(heldAt(7), 6)
	hold(heldAt(9), 7)
	hold(heldAt(9), 7) // again, as after a crash
	hold(heldAt(7), 6)
	note(`{"through":6,"first":7,"sequence":7,"last":9,"behind":7}`)
	again := heldAt(7) // its replay was dead-lettered
	again.Sequence = 12
	hold(again, 6)
	note(`{"through":6,"first":7,"sequence":12,"last":9,"behind":7}`)
	do(h.Release(r.Ctx(), again))
	do(h.Release(r.Ctx(), again))
	note(`{"through":7,"last":9,"behind":7}`)
	do(h.Release(r.Ctx(), heldAt(9)))
	do(h.Release(r.Ctx(), heldAt(9)))
	note(none)
	hold(heldAt(20), 19) // over the marker that the release left
	other := OrderPlace{Source: "hold", Token: strings.Repeat("3", 32), Position: 21, Behind: 20, Sequence: 21}
	hold(other, 20)
	kv, err := r.JS.KeyValue(r.Ctx(), contract.Prefix("").LedgerBucket())
	do(err)
	_, err = kv.PutString(r.Ctx(), "hold."+strings.Repeat("4", 32), "{}") // the record of a message of source hold
	do(err)
	list, err := h.List(r.Ctx())
	if err != nil || len(list) != 2 || list[0].Source != "clinic-a" || list[1].Token != strings.Repeat("3", 32) || list[1].First != 21 || list[1].Since.IsZero() {
		t.Errorf("list: %+v, %v", list, err)
	}
	do(h.Clear(r.Ctx(), "hold", strings.Repeat("3", 32)))
	do(h.Clear(r.Ctx(), "clinic-a", heldTestToken))
	do(h.Clear(r.Ctx(), "clinic-a", heldTestToken))
	if list, err = h.List(r.Ctx()); err != nil || len(list) != 0 {
		t.Errorf("after Clear: %+v, %v", list, err)
	}
}

// Several processes change one note at once: discards beside each other, and beside the worker
// that holds and releases. No change is lost.
func TestHeldTokens_ManyAtOnce(t *testing.T) {
	t.Parallel()
	r, h := newHeldTokens(t)
	other := NewHeldTokens(r.Connect(), "")
	const n = 24
	for i := range uint64(n) {
		if _, err := h.Hold(r.Ctx(), heldAt(1+i)); err != nil {
			t.Fatal(err)
		}
	}
	var all sync.WaitGroup
	for i := range uint64(n - 2) {
		for _, tokens := range []*HeldTokens{h, other} {
			all.Go(func() {
				if full, err := tokens.skip(r.Ctx(), heldAt(2+i)); full || err != nil {
					t.Error(full, err)
				}
			})
		}
	}
	all.Go(func() {
		for i := range uint64(n) {
			if _, err := other.Hold(r.Ctx(), heldAt(1+n+i)); err != nil {
				t.Error(err)
			}
		}
	})
	all.Wait()
	held, err := h.Load(r.Ctx(), "clinic-a", heldTestToken)
	if want := fmt.Sprintf(`{"through":0,"first":1,"sequence":1,"last":%d,"behind":%d,"gaps":[[1,%d]]}`, 2*n, 2*n-1, n-1); err != nil || string(held.value()) != want {
		t.Errorf("%s, %v; want %s", held.value(), err, want)
	}
}

func TestHoldToken(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ subject, header, want string }{
		{"redox.out.clinic-a.send." + heldTestToken, heldTestToken, heldTestToken},
		{"redox.out.clinic-a.send." + heldTestToken, "", heldTestToken},
		{"redox.out.clinic-a.send." + heldTestToken, "not a token", heldTestToken},
		{"redox.out.clinic-a.send.x", heldTestToken, ""},
		{"redox.out.clinic-a.send", heldTestToken, ""},
		{"redox.out.clinic-a", heldTestToken, ""},
	} {
		d := Letter{Subject: tt.subject, Header: nats.Header{contract.HeaderOrderToken: {tt.header}}}
		if got, ok := d.orderToken(""); got != tt.want || ok != (tt.want != "") {
			t.Errorf("dead letter of %s with token %q: %q, %v", tt.subject, tt.header, got, ok)
		}
	}
	for _, tt := range []struct {
		header           nats.Header
		noted            uint64
		position, behind uint64
	}{
		{nats.Header{}, 0, 40, 39},
		{nats.Header{}, 20, 40, 20},
		{nats.Header{}, 40, 40, 39},
		{nats.Header{contract.HeaderReplayOf: {"m"}, contract.HeaderOrderPosition: {"7"}}, 0, 7, 6},
		{nats.Header{contract.HeaderReplayOf: {"m"}, contract.HeaderOrderPosition: {"7"}, contract.HeaderOrderBehind: {"3"}}, 0, 7, 3},
		{nats.Header{contract.HeaderReplayOf: {"m"}, contract.HeaderOrderPosition: {"7"}, contract.HeaderOrderBehind: {"3"}}, 5, 7, 5},
		{nats.Header{contract.HeaderReplayOf: {"m"}, contract.HeaderOrderPosition: {"7"}, contract.HeaderOrderBehind: {"7"}}, 0, 7, 6},
		{nats.Header{contract.HeaderReplayOf: {"m"}, contract.HeaderOrderPosition: {"7"}, contract.HeaderOrderBehind: {"x"}}, 0, 7, 6},
		{nats.Header{contract.HeaderOrderPosition: {"7"}, contract.HeaderOrderBehind: {"3"}}, 0, 40, 39}, // only a replay may say so
		{nats.Header{contract.HeaderReplayOf: {"m"}, contract.HeaderOrderPosition: {"41"}}, 0, 40, 39},
		{nats.Header{contract.HeaderReplayOf: {"m"}, contract.HeaderOrderPosition: {"x"}}, 0, 40, 39},
	} {
		d := Letter{Source: "clinic-a", Subject: "redox.out.clinic-a.send." + heldTestToken, Sequence: 40, Header: tt.header, Behind: tt.noted}
		if at, ok := d.Place(""); !ok || at.Position != tt.position || at.Behind != tt.behind || at.Sequence != 40 || at.Source != "clinic-a" {
			t.Errorf("place of %v: %+v, %v; want %d behind %d", tt.header, at, ok, tt.position, tt.behind)
		}
		if tt.noted > 0 {
			continue
		}
		m, err := outbox.Decode("", outbox.Stored{Subject: "redox.out.clinic-a.send", Header: tt.header, Body: []byte("{}"), Sequence: 40})
		if err != nil || m.Position != tt.position || m.Behind != tt.behind {
			t.Errorf("decoded place of %v: %d behind %d, %v; want %d behind %d", tt.header, m.Position, m.Behind, err, tt.position, tt.behind)
		}
	}
}

// One settlement of a message that is held costs the same however many are held before it:
// note-bytes is the size of what is kept, of-one the time beside that with one message.
func BenchmarkHeldTokens(b *testing.B) {
	server, err := natsdev.Start(natsdev.Options{Dir: b.TempDir(), Port: -1})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = server.Shutdown() })
	conn, err := server.Connect()
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(conn.Close)
	js, err := jetstream.New(conn)
	if err != nil {
		b.Fatal(err)
	}
	if err := outboxtest.Provision(b.Context(), js, streams.Set{Names: contract.Prefix("")}); err != nil {
		b.Fatal(err)
	}
	h := NewHeldTokens(js, "")
	var one float64
	for _, n := range []uint64{1, 1_000, 100_000} {
		b.Run(fmt.Sprint("held=", n), func(b *testing.B) {
			token := fmt.Sprintf("%032x", n)
			var note HeldToken
			place := func(i uint64) OrderPlace {
				return OrderPlace{Source: "clinic-a", Token: token, Position: 1_000_000 + i, Behind: 999_999 + i, Sequence: 1_000_000 + i}
			}
			next := n
			for b.Loop() {
				if note, err = h.Load(b.Context(), "clinic-a", token); err != nil {
					b.Fatal(err)
				}
				if note.Last == 0 {
					holdMany(&note, place(0).Position, int(n))
					if err := h.write(b.Context(), note); err != nil {
						b.Fatal(err)
					}
				}
				if _, err := h.Hold(b.Context(), place(next)); err != nil {
					b.Fatal(err)
				}
				next++
			}
			took := float64(b.Elapsed()) / float64(b.N)
			if one == 0 {
				one = took
			}
			b.ReportMetric(took/one, "of-one")
			b.ReportMetric(float64(len(note.value())), "note-bytes")
		})
	}
}

// A message stands in an order only in the ordered lane, and only with a token.
func TestPlaceOf_NeedsAnOrder(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		lane    contract.Lane
		token   string
		ordered bool
	}{{contract.LaneOrdered, goldenToken, true}, {contract.LaneOrdered, "", false}, {contract.LaneSend, goldenToken, false}, {contract.LaneRequest, "", false}} {
		at, ok := PlaceOf(&outbox.Message{Source: "a", Lane: tt.lane, OrderToken: tt.token, Position: 3, Behind: 2, Sequence: 9})
		if want := (OrderPlace{Source: "a", Token: tt.token, Position: 3, Behind: 2, Sequence: 9}); ok != tt.ordered || at != want {
			t.Errorf("%s %q: %+v, %v", tt.lane, tt.token, at, ok)
		}
	}
}
