package outbox

import (
	"fmt"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
)

func newHeldTokens(t *testing.T) (topologyRig, *HeldTokens) {
	t.Helper()
	r := newTopologyRig(t)
	r.ensure(Topology{})
	return r, NewHeldTokens(r.js, "")
}

const heldTestToken = "0123456789abcdef0123456789abcdef"

func (r topologyRig) pending(h *HeldTokens) map[uint64]uint64 {
	r.t.Helper()
	held, err := h.Load(r.ctx(), "clinic-a", heldTestToken)
	if err != nil {
		r.t.Fatal(err)
	}
	return held.Pending
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
	if len(r.pending(h)) != 0 {
		t.Error("a token that was never held has something pending")
	}
	do(h.Hold(r.ctx(), "clinic-a", heldTestToken, 7, 7))
	do(h.Hold(r.ctx(), "clinic-a", heldTestToken, 9, 9))
	do(h.Hold(r.ctx(), "clinic-a", heldTestToken, 9, 9)) // again, as after a crash
	if diff := cmp.Diff(map[uint64]uint64{7: 7, 9: 9}, r.pending(h)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	// A replay of position 7 failed again, as message 12, before its replayer released it.
	do(h.Hold(r.ctx(), "clinic-a", heldTestToken, 7, 12))
	do(h.Release(r.ctx(), "clinic-a", heldTestToken, 7, 7))
	if diff := cmp.Diff(map[uint64]uint64{7: 12, 9: 9}, r.pending(h)); diff != "" {
		t.Errorf("a mark that was set anew was released (-want +got)\n%s", diff)
	}
	do(h.Release(r.ctx(), "clinic-a", heldTestToken, 9, 0))
	do(h.Release(r.ctx(), "clinic-a", heldTestToken, 7, 12))
	do(h.Release(r.ctx(), "clinic-a", heldTestToken, 7, 12))
	if len(r.pending(h)) != 0 {
		t.Error("a token is held with nothing pending")
	}
	do(h.Hold(r.ctx(), "clinic-a", heldTestToken, 20, 20)) // over the marker that the release left
	do(h.Hold(r.ctx(), "hold", "partition-3", 21, 21))
	list, err := h.List(r.ctx())
	if err != nil || len(list) != 2 || list[0].Source != "clinic-a" || list[1].Token != "partition-3" || list[1].Since.IsZero() {
		t.Errorf("list: %+v, %v", list, err)
	}
	do(h.Clear(r.ctx(), "hold", "partition-3"))
	do(h.Clear(r.ctx(), "clinic-a", heldTestToken))
	if list, err = h.List(r.ctx()); err != nil || len(list) != 0 {
		t.Errorf("after Clear: %+v, %v", list, err)
	}
}

func TestHeldTokens_ManyAtOnce(t *testing.T) {
	t.Parallel()
	r, h := newHeldTokens(t)
	other := NewHeldTokens(r.connect(), "")
	const n = 12
	var all sync.WaitGroup
	for i := range uint64(n) {
		for _, tokens := range []*HeldTokens{h, other} {
			all.Go(func() {
				if err := tokens.Hold(r.ctx(), "clinic-a", heldTestToken, 1+i, 1+i); err != nil {
					t.Error(err)
				}
			})
		}
	}
	all.Wait()
	if got := len(r.pending(h)); got != n {
		t.Errorf("%d pending, want %d: a change was lost", got, n)
	}
	for i := range uint64(n) {
		all.Go(func() {
			if err := h.Release(r.ctx(), "clinic-a", heldTestToken, 1+i, 0); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if got := len(r.pending(h)); got != 0 {
		t.Errorf("%d pending after all were released", got)
	}
}

func TestHeldToken_Blocks(t *testing.T) {
	t.Parallel()
	held := HeldToken{Pending: map[uint64]uint64{5: 5, 8: 20}}
	for position, want := range map[uint64]string{4: "0 false", 5: "0 false", 6: "5 true", 8: "5 true", 30: "5 true"} {
		by, blocked := held.Blocks(position)
		if got := fmt.Sprint(by, blocked); got != want {
			t.Errorf("position %d: %s, want %s", position, got, want)
		}
	}
}

func TestHoldToken(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ subject, header, want string }{
		{"redox.out.clinic-a.ordered.3", heldTestToken, heldTestToken},
		{"redox.out.clinic-a.ordered.3", "", "partition-3"},
		{"redox.out.clinic-a.ordered.3", "not a token", "partition-3"},
		{"redox.out.clinic-a.send", heldTestToken, ""},
		{"redox.out.clinic-a", heldTestToken, ""},
	} {
		d := DeadLetter{Subject: tt.subject, Header: nats.Header{HeaderOrderToken: {tt.header}}}
		if got, ok := d.HoldToken(""); got != tt.want || ok != (tt.want != "") {
			t.Errorf("dead letter of %s with token %q: %q, %v", tt.subject, tt.header, got, ok)
		}
	}
	for _, tt := range []struct {
		header nats.Header
		want   uint64
	}{
		{nats.Header{}, 40},
		{nats.Header{HeaderReplayOf: {"m"}, HeaderOrderPosition: {"7"}}, 7},
		{nats.Header{HeaderOrderPosition: {"7"}}, 40}, // only a replay may say so
		{nats.Header{HeaderReplayOf: {"m"}, HeaderOrderPosition: {"41"}}, 40},
		{nats.Header{HeaderReplayOf: {"m"}, HeaderOrderPosition: {"x"}}, 40},
	} {
		if got := (DeadLetter{Sequence: 40, Header: tt.header}).Position(); got != tt.want {
			t.Errorf("position of %v: %d, want %d", tt.header, got, tt.want)
		}
		m, err := Decode("", Stored{Subject: "redox.out.clinic-a.send", Header: tt.header, Body: []byte("{}"), Sequence: 40})
		if err != nil || m.Position != tt.want {
			t.Errorf("decoded position of %v: %d, %v; want %d", tt.header, m.Position, err, tt.want)
		}
	}
}
