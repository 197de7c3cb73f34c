package dlq

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// heldWorld is one order token with its queue, its dead letters and its note, beside all
// positions that wait: what the note has to stand for without holding it.
type heldWorld struct {
	*testing.T
	random  *rand.Rand
	note    HeldToken
	waiting map[uint64]bool
	queue   []OrderPlace
	letters map[uint64]OrderPlace // by position
	stale   map[uint64]bool       // of these: left by a worker or a discard that was killed
	last    uint64                // sequence of the queue
	log     []string
}

func (w *heldWorld) does(what string, at OrderPlace) {
	w.log = append(w.log, fmt.Sprintf("%s %d (behind %d, stored as %d)", what, at.Position, at.Behind, at.Sequence))
}

// store puts a message into the queue, others' beside it.
func (w *heldWorld) store(at OrderPlace) {
	w.last += 1 + w.random.Uint64N(3)
	at.Sequence = w.last
	if at.Position == 0 {
		at.Position, at.Behind = w.last, w.last-1
	}
	w.does("store", at)
	w.queue = append(w.queue, at)
}

// edit changes the note as HeldTokens does, and sees it through its bytes.
func (w *heldWorld) edit(change func(*HeldToken)) {
	change(&w.note)
	w.note.settled(w.T)
}

// settled has the note read back from its bytes.
func (t *HeldToken) settled(test *testing.T) {
	test.Helper()
	if t.Last == 0 {
		return
	}
	var back HeldToken
	back.read(t.value())
	if back.Damaged || string(back.value()) != string(t.value()) {
		test.Fatalf("%s is read back as %+v", t.value(), back)
	}
	*t = back
}

// blocked is what Blocks must answer.
func (w *heldWorld) blocked(at OrderPlace) bool {
	for position := range w.waiting {
		if position < at.Position {
			return true
		}
	}
	return false
}

// work takes the first message of the queue through the steps of a worker, which may be
// killed after each: then all of them are repeated, and the answer may be another one.
func (w *heldWorld) work() {
	for killed := true; killed; {
		killed = false
		at := w.queue[0]
		by, blocked := w.note.Blocks(at)
		if want := w.blocked(at); blocked != want || by != 0 && !w.waiting[by] {
			w.Fatalf("%v\nposition %d: blocked by %d, %v, want %v\n%s, %v", w.log, at.Position, by, blocked, want, w.note.value(), w.waiting)
		}
		marked := w.note.Waits(at.Position)
		if marked != w.waiting[at.Position] {
			w.Fatalf("%v\nposition %d waits: %v\n%s, %v", w.log, at.Position, marked, w.note.value(), w.waiting)
		}
		dies := func() bool { killed = w.random.IntN(6) == 0; return killed }
		switch {
		case blocked || w.random.IntN(3) == 0:
			w.does("dead", at)
			var letter OrderPlace
			w.edit(func(t *HeldToken) { letter = at; letter.Behind = t.hold(at) })
			w.waiting[at.Position] = true
			if dies() {
				continue
			}
			if _, stored := w.letters[at.Position]; !stored {
				delete(w.stale, at.Position)
				w.letters[at.Position] = letter
			}
		default:
			w.does("delivered", at)
			if marked {
				w.edit(func(t *HeldToken) { t.release(at.Position) })
				delete(w.waiting, at.Position)
			}
			if _, stored := w.letters[at.Position]; stored {
				w.stale[at.Position] = true
			}
		}
		if !dies() {
			w.queue = w.queue[1:]
		}
	}
}

// replay sends some dead letters again, in their order: all, some, or one.
func (w *heldWorld) replay() {
	positions := slices.DeleteFunc(slices.Sorted(maps.Keys(w.letters)), func(position uint64) bool { return w.stale[position] })
	if len(positions) == 0 {
		return
	}
	from := w.random.IntN(len(positions))
	if w.random.IntN(3) > 0 {
		from = 0
	}
	for _, position := range positions[from : from+1+w.random.IntN(len(positions)-from)] {
		w.store(w.letters[position])
		delete(w.letters, position)
	}
}

// discard takes some dead letters away; it may be killed before the last is deleted.
func (w *heldWorld) discard() {
	positions := slices.Sorted(maps.Keys(w.letters))
	from := w.random.IntN(len(positions))
	some := positions[from : from+1+w.random.IntN(len(positions)-from)]
	if w.random.IntN(2) == 0 {
		some = some[:1]
	}
	for i, position := range some {
		at := w.letters[position]
		w.does("discard", at)
		w.edit(func(t *HeldToken) {
			if t.skip(at) {
				w.Fatal("full")
			}
		})
		delete(w.waiting, position)
		w.stale[position] = true
		if i < len(some)-1 || w.random.IntN(4) > 0 {
			delete(w.letters, position)
		}
	}
}

// Whatever is published, delivered, dead-lettered, replayed and discarded, in whatever turn
// and with steps that are repeated: a message is blocked exactly while one waits before it,
// and the token is held exactly while any waits.
func TestHeldToken_StandsForAllThatWait(t *testing.T) {
	t.Parallel()
	for seed := range uint64(800) {
		w := heldWorld{T: t, random: rand.New(rand.NewPCG(seed, 12)), waiting: map[uint64]bool{}, letters: map[uint64]OrderPlace{}, stale: map[uint64]bool{}}
		for range 120 {
			switch n := w.random.IntN(10); {
			case n < 3:
				w.store(OrderPlace{})
			case n < 8 && len(w.queue) > 0:
				w.work()
			case n == 8 && len(w.letters) > 0:
				w.replay()
			case n == 9 && len(w.letters) > 0:
				w.discard()
			}
			if held := w.note.Last > 0; held != (len(w.waiting) > 0) {
				t.Fatalf("seed %d: %v\n%s, %v", seed, w.log, w.note.value(), w.waiting)
			}
			w.checkFirst(seed)
		}
	}
}

// checkFirst sees the first dead letter that waits be found; one that was left behind may be
// taken for it.
func (w *heldWorld) checkFirst(seed uint64) {
	for _, before := range []uint64{1, w.last / 2, w.last} {
		letters := slices.Sorted(maps.Keys(w.letters))
		i := slices.IndexFunc(letters, func(position uint64) bool { return position < before && w.waiting[position] })
		got, ok := w.note.firstOf(letters, before)
		if i >= 0 && (!ok || got > letters[i]) || ok && (got >= before || !w.waiting[got] && !w.stale[got]) {
			w.Fatalf("seed %d: %v\nfirst of %v before %d: %d, %v\n%s, %v", seed, w.log, letters, before, got, ok, w.note.value(), w.waiting)
		}
	}
}

// holdMany holds n messages of a token, from a position on.
func holdMany(t *HeldToken, from uint64, n int) {
	for i := range uint64(n) {
		t.hold(OrderPlace{Position: from + i, Behind: from + i - 1, Sequence: from + i})
	}
}

// The note of a token does not grow with the messages that wait, and with those that are
// discarded out of turn only up to a bound, also with the largest numbers there are.
func TestHeldToken_Size(t *testing.T) {
	t.Parallel()
	const from = math.MaxUint64 - 1<<20
	var sizes []int
	for _, n := range []int{1, 1_000, 100_000} {
		var note HeldToken
		holdMany(&note, from, n)
		sizes = append(sizes, len(note.value()))
	}
	if diff := cmp.Diff(sizes[:1], slices.Compact(sizes)); diff != "" {
		t.Errorf("bytes with 1, 1,000 and 100,000 messages that wait: %v", sizes)
	}

	var note HeldToken
	holdMany(&note, from, 10_000)
	discarded := 0
	for i := uint64(1); i < 10_000; i += 2 { // every second, so that no gap touches another
		before := note
		if at := (OrderPlace{Position: from + i, Behind: from + i - 1, Sequence: from + i}); note.skip(at) {
			note = before
			continue
		}
		discarded++
	}
	if size := len(note.value()); discarded != maxGaps || size > 12<<10 {
		t.Errorf("%d discarded, %d bytes", discarded, size)
	}
	for i := range uint64(10_000) { // messages that were through, brought again, and dead-lettered
		note.hold(OrderPlace{Position: from + i, Behind: from + i - 1, Sequence: from + i})
		note.hold(OrderPlace{Position: from + i/2, Behind: from - 1, Sequence: from + i})
	}
	if size := len(note.value()); size > 24<<10 {
		t.Errorf("%d bytes", size)
	}

	// What is discarded in turn leaves nothing.
	note = HeldToken{}
	holdMany(&note, from, 100_000)
	for i := range uint64(99_999) {
		note.skip(OrderPlace{Position: from + i, Behind: from + i - 1, Sequence: from + i})
	}
	if size := len(note.value()); size > sizes[0] || note.Last == 0 || len(note.gaps) > 0 {
		t.Errorf("%s", note.value())
	}
}

// A message that died again after its first dead letter was replayed is not let go by the
// discard of what is left of that one.
func TestHeldToken_AStaleDeadLetter(t *testing.T) {
	t.Parallel()
	var note HeldToken
	holdMany(&note, 7, 2)
	note.hold(OrderPlace{Position: 7, Behind: 6, Sequence: 12})
	note.skip(OrderPlace{Position: 7, Behind: 6, Sequence: 7})
	if !note.Waits(7) {
		t.Error("7 does not wait any more")
	}
	if note.skip(OrderPlace{Position: 7, Behind: 6, Sequence: 12}); note.Waits(7) || !note.Waits(8) {
		t.Errorf("%s", note.value())
	}
}

// A message that was through is brought again, as by a server that forgot its
// acknowledgement, and fails this time: what followed it is through all the same.
func TestHeldToken_ThroughAndBroughtAgain(t *testing.T) {
	t.Parallel()
	var note HeldToken
	holdMany(&note, 10, 5)
	for position := uint64(10); position < 13; position++ {
		note.release(position)
	}
	again := OrderPlace{Position: 11, Behind: 10, Sequence: 40}
	if _, blocked := note.Blocks(again); blocked {
		t.Error("it waits for nobody")
	}
	note.hold(again)
	next := OrderPlace{Position: 13, Behind: 12, Sequence: 41}
	if by, blocked := note.Blocks(next); by != 11 || !blocked {
		t.Errorf("the next is blocked by %d, %v", by, blocked)
	}
	note.release(11)
	if _, blocked := note.Blocks(next); blocked || note.Through != 12 {
		t.Errorf("%s", note.value())
	}
}

func TestHeldToken_DamagedNotes(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"", "{", "null", "[]", `{"pending":{"7":7}}`, `{"through":3}`, `{"through":3,"last":3}`, `{"through":3,"last":5,"behind":5}`,
		`{"through":3,"last":5,"first":3}`, `{"through":3,"last":5,"first":6}`, `{"through":3,"last":-1}`,
		`{"through":3,"last":9,"gaps":[[3,4]]}`, `{"through":3,"last":9,"gaps":[[5,5]]}`, `{"through":3,"last":9,"gaps":[[5,7],[7,8]]}`, `{"through":3,"last":9,"gaps":[[5,10]]}`,
	} {
		var note HeldToken
		note.read([]byte(text))
		if by, blocked := note.Blocks(OrderPlace{Position: 1}); !note.Damaged || by != 0 || !blocked || note.Last != 0 {
			t.Errorf("%s: %+v", text, note)
		}
		note.release(4)
		note.skip(OrderPlace{Position: 4, Behind: 3})
		if !note.Damaged {
			t.Errorf("%s: it is not damaged any more, and nobody knows what waits", text)
		}
		note.hold(OrderPlace{Position: 4, Behind: 2, Sequence: 9})
		if note.Damaged || note.First != 4 || note.Last != 4 || note.Through != 3 {
			t.Errorf("%s: made anew %+v", text, note)
		}
	}
}

func FuzzHeldToken_Read(f *testing.F) {
	var note HeldToken
	holdMany(&note, 5, 9)
	note.skip(OrderPlace{Position: 8, Behind: 7})
	f.Add(note.value(), uint64(6), uint64(5))
	f.Add([]byte(`{"through":3,"last":9,"gaps":[[5,7]]}`), uint64(6), uint64(2))
	f.Fuzz(func(t *testing.T, data []byte, position, behind uint64) {
		var note HeldToken
		note.read(data)
		at := OrderPlace{Position: max(position, 1), Behind: min(behind, max(position, 1)-1), Sequence: position}
		note.Blocks(at)
		note.hold(at)
		note.settled(t)
		if !note.Waits(at.Position) {
			t.Errorf("%d does not wait: %s", at.Position, note.value())
		}
		if !note.skip(at) {
			note.settled(t)
		}
		note.release(at.Position)
		note.settled(t)
		if !json.Valid(note.value()) || note.Waits(at.Position) {
			t.Errorf("%d waits: %s", at.Position, note.value())
		}
	})
}
