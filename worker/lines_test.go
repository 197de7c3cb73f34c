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
	if !ls.park(early) {
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
