package heads

import (
	"testing"
	"time"
)

// message is one of a token, as it is delivered first.
type message struct {
	subject  string
	sequence uint64
}

func (m *message) Subject() string   { return m.subject }
func (m *message) Sequence() uint64  { return m.sequence }
func (m *message) Consumed() uint64  { return m.sequence }
func (m *message) Delivered() uint64 { return 0 }
func (m *message) Size() int         { return 0 }

func follower(subject string, sequence uint64) *message { return &message{subject, sequence} }

// A message that is about to be sent is not woken with those behind it, although it came
// before its time and was kept in hand.
func TestLines_TheNextIsNotWoken(t *testing.T) {
	const subject = "s"
	now := time.Now()
	ls := New[*message](100)
	ls.Learn(follower(subject, 1), Head, 1, now)
	early, later := follower(subject, 2), follower(subject, 3)
	ls.Back(early, now)
	ls.Back(later, now)
	if instead, _ := ls.Park(early, now); instead != nil {
		t.Fatal("there is room, and its head is here")
	}
	ls.Leave(follower(subject, 1), true, 0, now)
	next, rest, woken := ls.Next(subject, 2, now)
	if next != early || len(rest) != 0 {
		t.Errorf("next %v, handed back %v", next, rest)
	}
	if len(woken) != 1 || woken[0].Sequence != 3 {
		t.Errorf("woken: %v", woken)
	}
}

// Who asks for the head and is overtaken, by a message that was delivered and settled meanwhile,
// says nothing new: those in hand behind the one that goes now would wait for it for good.
func TestLines_AnAnswerThatWasOvertakenChangesNothing(t *testing.T) {
	const subject = "s"
	now := time.Now()
	for name, overtaken := range map[string]func(ls *Lines[*message]){
		"the next was asked for":  func(ls *Lines[*message]) { ls.Next(subject, 2, now) },
		"a follower asked":        func(ls *Lines[*message]) { ls.Learn(follower(subject, 5), Behind, 2, now) },
		"another worker says it":  func(ls *Lines[*message]) { ls.Hear(subject, Turn{Head: 2}) },
		"it stands, who looks at": func(ls *Lines[*message]) { ls.Stands(subject, 2, now.Add(time.Hour)) },
	} {
		ls := New[*message](100)
		ls.Learn(follower(subject, 1), Head, 1, now)
		for n := range uint64(3) {
			ls.Park(follower(subject, 3+n), now)
		}
		ls.Leave(follower(subject, 1), true, 0, now)
		ls.Learn(follower(subject, 2), Head, 2, now)
		ls.Leave(follower(subject, 2), true, 0, now)
		if next, _, _ := ls.Next(subject, 3, now); next == nil {
			t.Fatalf("%s: 3 is in hand", name)
		}
		overtaken(ls)
		ls.Leave(follower(subject, 3), true, 0, now)
		if next, _, _ := ls.Next(subject, 4, now); next == nil || next.sequence != 4 {
			t.Errorf("%s: 4 does not go after 3", name)
		}
		if l := ls.bySubj[subject]; l == nil || l.mine != 4 || l.head != 4 {
			t.Errorf("%s: the head is %+v", name, l)
		}
		ls.Leave(follower(subject, 4), true, 0, now)
		if at, known := ls.Arrive(follower(subject, 6), now); known {
			t.Errorf("%s: nobody delivers anything, and 6 is kept back: %v", name, at)
		}
	}
}

// A follower stays in hand while its head moves on with another worker, gives way to one that
// stands before it, and is not kept for a head that stands.
func TestLines_WaitForAHeadElsewhere(t *testing.T) {
	const subject = "s"
	now := time.Now()
	ls := New[*message](1000)
	ls.Learn(follower(subject, 10), Behind, 1, now)
	if instead, first := ls.Park(follower(subject, 10), now); instead != nil || !first {
		t.Errorf("the first: instead of it %v, first %v", instead, first)
	}
	for n := range uint64(parkedOfOne - 1) {
		if instead, first := ls.Park(follower(subject, 11+n), now); instead != nil || first {
			t.Errorf("%d: instead of it %v, first %v", 11+n, instead, first)
		}
	}
	if instead, _ := ls.Park(follower(subject, 9), now); instead == nil || instead.sequence != 10+parkedOfOne-1 {
		t.Errorf("9 stands before all, instead of it goes %v", instead)
	}
	if instead, _ := ls.Park(follower(subject, 200), now); instead == nil || instead.sequence != 200 {
		t.Errorf("200 stands behind all, instead of it goes %v", instead)
	}
	if !ls.Hear(subject, Turn{Head: 9}) {
		t.Error("it is the turn of 9, which is here")
	}
	next, gone, _ := ls.Next(subject, 10, now)
	if next == nil || next.sequence != 10 || len(gone) != 1 || gone[0].sequence != 9 {
		t.Errorf("after 9: next %v, gone %v", next, gone)
	}
	ls.Leave(next, false, 0, now) // it comes again
	if owed, stuck := ls.Stands(subject, 10, now.Add(standsLong-1)); owed || len(stuck) > 0 {
		t.Errorf("at first: owed %v, %d handed back", owed, len(stuck))
	}
	if _, stuck := ls.Stands(subject, 10, now.Add(standsLong)); len(stuck) != parkedOfOne-2 {
		t.Errorf("%d are handed back behind a head that stands", len(stuck))
	}
	if instead, _ := ls.Park(follower(subject, 11), now.Add(standsLong)); instead == nil {
		t.Error("11 is kept for a head that stands")
	}
}

// What is handed back comes about its turn by the pace of those before it. Where that was the pace of
// one head that stood, it comes by itself before long: who would wake it may be gone by then.
func TestLines_NobodyIsSentAwayByThePaceOfOneThatStood(t *testing.T) {
	const subject, behind = "s", 100
	for stood, want := range map[time.Duration]time.Duration{
		10 * time.Millisecond: behind * 10 * time.Millisecond,
		time.Minute:           followerNear + followerApart,
	} {
		ls, now := New[*message](100), time.Now()
		ls.Learn(follower(subject, 50), Behind, 1, now)
		now = now.Add(stood)
		ls.Learn(follower(subject, 50), Behind, 2, now)
		if delay, _ := ls.Back(follower(subject, 2+behind), now); delay != want {
			t.Errorf("a head stood for %v: one that is %d behind comes after %v, want %v", stood, behind, delay, want)
		}
	}
}

// What is remembered of a crowd is not moved for each of it that goes.
func BenchmarkLines_ACrowdGoes(b *testing.B) {
	const subject, crowd = "s", 100_000
	ls, now := New[*message](100), time.Now()
	ls.Learn(follower(subject, 1), Head, 1, now)
	sequence := uint64(1)
	for b.Loop() {
		for l := ls.bySubj[subject]; len(l.back) < crowd; {
			ls.Back(follower(subject, sequence+uint64(len(l.back))+1), now)
		}
		ls.Leave(follower(subject, sequence), true, 0, now)
		sequence++
		ls.Next(subject, sequence, now)
		ls.Learn(follower(subject, sequence), Head, sequence, now)
	}
}
