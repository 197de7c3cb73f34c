package suspects

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/redoxworker/redoxworker/worker/workertest/bubble"
)

// A suspect that goes alone gets its turn also where others are always under way, and these
// get theirs again; for one that went elsewhere they do not wait long.
func TestTurns_NobodyWaitsForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New()
		// others has one after the other try for a while, each of them before the last has ended.
		held := false
		others := func(d time.Duration) (turns int) {
			for end := time.Now().Add(d); time.Now().Before(end); bubble.Sleep(time.Second) {
				took := s.take(1, time.Now())
				if held {
					s.free.Release(1)
				}
				if held = took; took {
					turns++
				}
			}
			return turns
		}
		others(time.Minute)
		asked := time.Now()
		for !s.take(all, time.Now()) {
			if others(10 * time.Second); time.Since(asked) > 10*time.Minute {
				t.Fatal("the suspect that goes alone has no turn after 10 minutes")
			}
		}
		if n := others(10 * time.Second); n != 0 {
			t.Errorf("%d others beside a suspect that goes alone", n)
		}
		s.free.Release(all)
		if n := others(10 * time.Second); n != 10 {
			t.Errorf("%d turns of the others in 10 s, want 10", n)
		}
		for range 6 { // it asks in vain, and goes elsewhere
			s.take(all, time.Now())
			others(10 * time.Second)
		}
		others(waitMost)
		if n := others(10 * time.Second); n != 10 {
			t.Errorf("%d turns of the others in 10 s, want 10", n)
		}
	})
}
