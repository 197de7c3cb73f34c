package sqloutbox

import (
	"math"
	"testing"
	"time"
)

// The first try of a row counts, whoever wrote it down, and what is written is read back.
func TestTries_TheFirstCounts(t *testing.T) {
	t.Parallel()
	all := tries{}
	all.note(7, try{200, "b"})
	all.note(7, try{100, "a"})
	all.note(7, try{300, "c"})
	all.note(9, try{100, "a"})
	read := tries{}
	if err := read.add(all.text()); err != nil || len(read) != 2 || read[7] != (try{100, "a"}) || read[9] != (try{100, "a"}) {
		t.Errorf("%v, %v from %s", read, err, all.text())
	}
	if err := read.add("no JSON"); err == nil {
		t.Error("a note that is no JSON")
	}
}

// A try is late when the queue may have forgotten its id: eight minutes later, or when a single
// server was restarted.
func TestTry_Late(t *testing.T) {
	t.Parallel()
	first := try{1000, "server-1"}
	for _, test := range []struct {
		now   float64
		epoch string
		late  bool
	}{
		{1000, "server-1", false}, {1000 + 480, "server-1", false}, {1000 + 481, "server-1", true},
		{1001, "server-2", true}, {1000 - 481, "server-1", true}, // the database's clock was set back
	} {
		if late := first.late(test.now, test.epoch); late != test.late {
			t.Errorf("%v, %s: late %v", test.now, test.epoch, late)
		}
	}
}

// The floor rises up to the first row that is left, and never above what was there while no
// transaction was open.
func TestMoveFloor(t *testing.T) {
	t.Parallel()
	of := func(seq int64, o outcome) *item { return &item{row: row{seq: seq}, outcome: o} }
	for name, test := range map[string]struct {
		items   []*item
		full    bool
		raise   int64
		lowered int64
		want    int64
	}{
		"all done":                     {[]*item{of(10, stored), of(12, failed)}, false, 40, math.MaxInt64, 40},
		"all done, a transaction open": {[]*item{of(10, stored), of(12, stored)}, false, 0, math.MaxInt64, 5},
		"more to come":                 {[]*item{of(10, stored), of(12, stored)}, true, 40, math.MaxInt64, 13},
		"one left":                     {[]*item{of(10, stored), of(11, unsure), of(12, stored)}, false, 40, math.MaxInt64, 11},
		"a source came back meanwhile": {[]*item{of(10, stored)}, false, 40, 3, 3},
	} {
		r := &Relay{}
		l := &lane{floor: 5, high: 40, lowered: test.lowered}
		b := &batch{lane: l, items: test.items, full: test.full, raise: test.raise, last: test.items[len(test.items)-1].seq, noted: noted{tries: tries{}}}
		if r.moveFloor(b); l.floor != test.want {
			t.Errorf("%s: floor %d, want %d", name, l.floor, test.want)
		}
	}
}

// Waits double from a second to a minute.
func TestNext(t *testing.T) {
	t.Parallel()
	d := time.Duration(0)
	for _, want := range []time.Duration{1, 2, 4, 8, 16, 32, 60, 60} {
		if d = next(d); d != want*time.Second {
			t.Errorf("%v, want %v", d, want*time.Second)
		}
	}
}
