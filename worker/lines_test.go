package worker

import (
	"testing"
	"time"

	"github.com/redoxworker/redoxworker/outbox"
)

func follower(subject string, sequence uint64) *delivery {
	return &delivery{msg: inbound{subject: subject}, message: outbox.Message{Sequence: sequence}, consumed: sequence}
}

// A message that is about to be sent is not woken with those behind it, although it came
// before its time and was kept in hand.
func TestLines_TheNextIsNotWoken(t *testing.T) {
	const subject = "s"
	now := time.Now()
	ls := newLines(100)
	ls.learn(follower(subject, 1), placeHead, 1, now)
	early, later := follower(subject, 2), follower(subject, 3)
	ls.back(early, now)
	ls.back(later, now)
	if instead, _ := ls.park(early, now); instead != nil {
		t.Fatal("there is room, and its head is here")
	}
	ls.leave(follower(subject, 1), true, now)
	next, rest, woken := ls.next(subject, 2, now)
	if next != early || len(rest) != 0 {
		t.Errorf("next %v, handed back %v", next, rest)
	}
	if len(woken) != 1 || woken[0].sequence != 3 {
		t.Errorf("woken: %v", woken)
	}
}

// Who asks for the head and is overtaken, by a message that was delivered and settled meanwhile,
// says nothing new: those in hand behind the one that goes now would wait for it for good.
func TestLines_AnAnswerThatWasOvertakenChangesNothing(t *testing.T) {
	const subject = "s"
	now := time.Now()
	for name, overtaken := range map[string]func(ls *lines){
		"the next was asked for":  func(ls *lines) { ls.next(subject, 2, now) },
		"a follower asked":        func(ls *lines) { ls.learn(follower(subject, 5), placeBehind, 2, now) },
		"another worker says it":  func(ls *lines) { ls.hear(subject, turn{Head: 2}) },
		"it stands, who looks at": func(ls *lines) { ls.stands(subject, 2, now.Add(time.Hour)) },
	} {
		ls := newLines(100)
		ls.learn(follower(subject, 1), placeHead, 1, now)
		for n := range uint64(3) {
			ls.park(follower(subject, 3+n), now)
		}
		ls.leave(follower(subject, 1), true, now)
		ls.learn(follower(subject, 2), placeHead, 2, now)
		ls.leave(follower(subject, 2), true, now)
		if next, _, _ := ls.next(subject, 3, now); next == nil {
			t.Fatalf("%s: 3 is in hand", name)
		}
		overtaken(ls)
		ls.leave(follower(subject, 3), true, now)
		if next, _, _ := ls.next(subject, 4, now); next == nil || next.message.Sequence != 4 {
			t.Errorf("%s: 4 does not go after 3", name)
		}
		if l := ls.bySubj[subject]; l == nil || l.mine != 4 || l.head != 4 {
			t.Errorf("%s: the head is %+v", name, l)
		}
		ls.leave(follower(subject, 4), true, now)
		if at, known := ls.arrive(follower(subject, 6), now); known {
			t.Errorf("%s: nobody delivers anything, and 6 is kept back: %v", name, at)
		}
	}
}

// A follower stays in hand while its head moves on with another worker, gives way to one that
// stands before it, and is not kept for a head that stands.
func TestLines_WaitForAHeadElsewhere(t *testing.T) {
	const subject = "s"
	now := time.Now()
	ls := newLines(1000)
	ls.learn(follower(subject, 10), placeBehind, 1, now)
	if instead, first := ls.park(follower(subject, 10), now); instead != nil || !first {
		t.Errorf("the first: instead of it %v, first %v", instead, first)
	}
	for n := range uint64(parkedOfOne - 1) {
		if instead, first := ls.park(follower(subject, 11+n), now); instead != nil || first {
			t.Errorf("%d: instead of it %v, first %v", 11+n, instead, first)
		}
	}
	if instead, _ := ls.park(follower(subject, 9), now); instead == nil || instead.message.Sequence != 10+parkedOfOne-1 {
		t.Errorf("9 stands before all, instead of it goes %v", instead)
	}
	if instead, _ := ls.park(follower(subject, 200), now); instead == nil || instead.message.Sequence != 200 {
		t.Errorf("200 stands behind all, instead of it goes %v", instead)
	}
	if !ls.hear(subject, turn{Head: 9}) {
		t.Error("it is the turn of 9, which is here")
	}
	next, gone, _ := ls.next(subject, 10, now)
	if next == nil || next.message.Sequence != 10 || len(gone) != 1 || gone[0].message.Sequence != 9 {
		t.Errorf("after 9: next %v, gone %v", next, gone)
	}
	ls.leave(next, false, now) // it comes again
	if owed, stuck := ls.stands(subject, 10, now.Add(standsLong-1)); owed || len(stuck) > 0 {
		t.Errorf("at first: owed %v, %d handed back", owed, len(stuck))
	}
	if _, stuck := ls.stands(subject, 10, now.Add(standsLong)); len(stuck) != parkedOfOne-2 {
		t.Errorf("%d are handed back behind a head that stands", len(stuck))
	}
	if instead, _ := ls.park(follower(subject, 11), now.Add(standsLong)); instead == nil {
		t.Error("11 is kept for a head that stands")
	}
}

// What is remembered of a crowd is not moved for each of it that goes.
func BenchmarkLines_ACrowdGoes(b *testing.B) {
	const subject, crowd = "s", 100_000
	ls, now := newLines(100), time.Now()
	ls.learn(follower(subject, 1), placeHead, 1, now)
	sequence := uint64(1)
	for b.Loop() {
		for l := ls.bySubj[subject]; len(l.back) < crowd; {
			ls.back(follower(subject, sequence+uint64(len(l.back))+1), now)
		}
		ls.leave(follower(subject, sequence), true, now)
		sequence++
		ls.next(subject, sequence, now)
		ls.learn(follower(subject, sequence), placeHead, sequence, now)
	}
}
