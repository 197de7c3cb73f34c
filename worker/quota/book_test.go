package quota

import (
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func (b *book) sum() int {
	n := 0
	for _, c := range b.Free {
		n += c.n
	}
	for _, l := range b.Allotments {
		n += l.Grants
	}
	return n
}

// Whatever workers demand in whatever order, no grant is lost or made, no grant comes before
// it is free, and grants keep the pace.
func TestBook_Accounting(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		l := newLimits(rapid.IntRange(1, 400).Draw(t, "requests"), time.Duration(rapid.IntRange(1, 60).Draw(t, "seconds"))*time.Second,
			rapid.Float64Range(0, 0.9).Draw(t, "reserve"))
		at := int64(1_700_000_000) * int64(time.Second)
		b := newBook(l, at)
		out := map[string]int{}
		turns, allotted := map[string]uint64{}, map[string]bool{}
		for range rapid.IntRange(1, 60).Draw(t, "turns") {
			at += rapid.Int64Range(0, 2*l.turn).Draw(t, "later")
			now := moment{at, at + int64(time.Millisecond)}
			id := rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "worker")
			turns[id]++
			c := demand{id: id, turn: turns[id], renews: allotted[id], back: map[int64]int{}, requests: l.requests, per: l.per,
				want: rapid.SampledFrom([]int{wantAll, 0, 1, 5}).Draw(t, "want"), urgent: rapid.IntRange(0, 3).Draw(t, "urgent")}
			if n := rapid.IntRange(0, out[id]).Draw(t, "back"); n > 0 && b.Allotments[id].Grants >= n {
				c.back[l.freeFrom(now.hi)] = n
			}
			granted, ok := b.turn(l, now, c)
			allotted[id] = ok
			if ok {
				for _, n := range c.back {
					out[id] -= n
				}
				out[id] += held(granted).total()
			} else {
				out[id] = 0
			}
			for other := range out {
				if _, has := b.Allotments[other]; !has {
					out[other] = 0
				} else if b.Allotments[other].Grants != out[other] {
					t.Fatalf("%s has %d grants and is noted with %d", other, out[other], b.Allotments[other].Grants)
				}
			}
			if b.sum() != l.requests || b.Requests != l.requests {
				t.Fatalf("%d grants of %d", b.sum(), l.requests)
			}
			for i, c := range b.Free {
				if c.n < 1 || i > 0 && c.at <= b.Free[i-1].at {
					t.Fatalf("free grants out of order: %v", b.Free)
				}
			}
			data, err := b.encode()
			if err != nil {
				t.Fatal(err)
			}
			again, err := decodeBook(data)
			if err != nil {
				t.Fatal(err)
			}
			if len(b.Free) == 0 {
				b.Free, again.Free = nil, nil
			}
			if !reflect.DeepEqual(b, again) {
				t.Fatalf("read back %+v, written %+v", again, b)
			}
		}
	})
}

func TestBook_SharesByWhatIsWanted(t *testing.T) {
	t.Parallel()
	l := newLimits(100, 10*time.Second, 0) // one each 100 ms, horizon 2 s: 20 and one
	now := moment{1 << 60, 1 << 60}
	for _, test := range []struct {
		wants []int
		share []int
	}{
		{[]int{wantAll}, []int{21}},
		{[]int{wantAll, wantAll}, []int{11, 11}},
		{[]int{wantAll, 1, wantAll}, []int{10, 1, 10}},
		{[]int{3, 4}, []int{3, 4}},
		{[]int{0, wantAll}, []int{0, 21}},
		{[]int{wantAll, 20, 20}, []int{7, 7, 7}},
	} {
		b := newBook(l, 0)
		b.Next = now.hi
		for i, want := range test.wants {
			b.Allotments[fmt.Sprint(i)] = allotment{Want: want}
		}
		for i, want := range test.share {
			if got := b.share(l, now, fmt.Sprint(i)); got != want {
				t.Errorf("wants %v: the share of %d is %d, want %d", test.wants, i, got, want)
			}
		}
	}
}

// The stricter of two configurations holds until its last worker has left.
func TestBook_StricterSettingsHold(t *testing.T) {
	t.Parallel()
	wide, narrow := newLimits(100, 10*time.Second, 0), newLimits(60, 10*time.Second, 0)
	start := int64(1 << 60)
	b := newBook(wide, start)
	use := func(at int64, id string, own limits) {
		t.Helper()
		now := moment{at, at}
		b.expire(own, now)
		requests, per := b.strictest(own)
		b.adapt(newLimits(b.Requests, time.Duration(b.Per), 0), now, requests, per)
		l := newLimits(requests, time.Duration(per), 0)
		if _, ok := b.turn(l, now, demand{id: id, requests: own.requests, per: own.per}); !ok {
			t.Fatal("no turn")
		}
		if b.sum() != b.Requests {
			t.Fatalf("%d grants of %d", b.sum(), b.Requests)
		}
	}
	use(start, "wide", wide)
	use(start, "narrow", narrow)
	use(start, "wide", wide)
	if b.Requests != 60 {
		t.Errorf("%d requests while a worker allows 60", b.Requests)
	}
	use(start+20*wide.turn, "wide", wide) // the allotment of the other has ended
	if b.Requests != 100 {
		t.Errorf("%d requests when all allow 100", b.Requests)
	}
	longer := newLimits(100, 20*time.Second, 0)
	last := b.Free[len(b.Free)-1].at
	use(start+20*wide.turn, "longer", longer)
	if got := b.Free[len(b.Free)-1].at - last; got < longer.window-wide.window {
		t.Errorf("free grants are free %v later in a window that is 10s longer", time.Duration(got))
	}
}

// What is taken off a limit has been free for longest: the rest stands for what is in the
// window.
func TestBook_LowerLimitRemembersWhatWasUsed(t *testing.T) {
	t.Parallel()
	before := newLimits(100, time.Minute, 0)
	b := newBook(before, 1<<60)
	soon := int64(1<<60) + int64(time.Minute)
	b.Free = []cell{{1 << 60, 52}, {soon, 30}, {2 * soon, 18}}
	now := moment{1 << 60, 1 << 60}
	b.adapt(before, now, 50, before.per)
	if want := []cell{{1 << 60, 2}, {soon, 30}, {2 * soon, 18}}; b.Requests != 50 || !slices.Equal(b.Free, want) {
		t.Errorf("%d requests, free %v, want %v", b.Requests, b.Free, want)
	}
	b.adapt(newLimits(50, time.Minute, 0), now, 10, before.per)
	if want := []cell{{2 * soon, 10}}; b.Requests != 10 || !slices.Equal(b.Free, want) {
		t.Errorf("%d requests, free %v, want %v", b.Requests, b.Free, want)
	}
}

func FuzzDecodeBook(f *testing.F) {
	b := newBook(newLimits(50, 5*time.Second, 0), 1<<60)
	b.turn(newLimits(50, 5*time.Second, 0), moment{1 << 60, 1 << 60}, demand{id: "w", want: wantAll, requests: 50, per: int64(5 * time.Second)})
	data, err := b.encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add([]byte(`{"requests":3,"per":5000000000,"free":"1:1 1:2"}`))
	f.Add([]byte(`{"requests":1,"per":5000000000,"leases":{"a":{"slots":1,"requests":1,"per":1000000000}}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		b, err := decodeBook(data)
		if err != nil {
			return
		}
		if b.sum() != b.Requests {
			t.Fatalf("%d grants of %d", b.sum(), b.Requests)
		}
		l := newLimits(min(b.Requests, 1000), time.Duration(b.Per), 0)
		now := moment{1 << 60, 1 << 60}
		b.expire(l, now)
		if _, ok := b.turn(l, now, demand{id: "w", requests: 1, per: int64(time.Second), want: 3}); ok && b.sum() != b.Requests {
			t.Fatalf("after a turn %d grants of %d", b.sum(), b.Requests)
		}
	})
}
