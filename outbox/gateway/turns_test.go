package gateway

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/redoxworker/redoxworker/worker/workertest/bubble"
)

func TestTurns_AFloodKeepsNobodyWaiting(t *testing.T) {
	t.Parallel()
	first, hold, order := make(chan struct{}), make(chan struct{}), []string{}
	q := newTurns(1, func(m *nats.Msg) {
		if len(order) == 0 {
			close(first)
			<-hold
		}
		order = append(order, m.Subject)
	})
	for range 100_000 {
		q.add(&nats.Msg{Subject: "flood"})
	}
	<-first
	q.add(&nats.Msg{Subject: "one"})
	q.add(&nats.Msg{Subject: "two"})
	q.add(&nats.Msg{Subject: "two"})
	close(hold)
	q.wait()
	if got := strings.Join(order[:7], " "); got != "flood flood one two flood two flood" || len(order) != 100_003 {
		t.Errorf("%d served, first %s", len(order), got)
	}
	if len(q.lines)+len(q.ring)+q.bytes+q.busy != 0 {
		t.Error("something is kept of subjects that have nothing")
	}
}

// What waits is bounded, whoever sends it, and a flood leaves room for any number of others.
func TestTurns_ALineHasAnEnd(t *testing.T) {
	t.Parallel()
	hold := make(chan struct{})
	q := newTurns(1, func(*nats.Msg) { <-hold })
	big := make([]byte, maxInLine/16)
	for _, flood := range []string{"flood", "another flood"} {
		n := 0
		for q.add(&nats.Msg{Subject: flood, Data: big}) {
			n++
		}
		if n == 0 || n > 13 {
			t.Errorf("%d of a sixteenth of the bound were taken", n)
		}
	}
	for i := range 5000 {
		if !q.add(&nats.Msg{Subject: fmt.Sprint("one ", i), Data: make([]byte, 1000)}) {
			t.Fatalf("neighbour %d has no room", i)
		}
	}
	if q.bytes > maxInLine {
		t.Errorf("%d bytes wait", q.bytes)
	}
	close(hold)
	q.wait()
	if len(q.lines)+len(q.ring)+q.bytes+q.busy != 0 {
		t.Error("something is kept of subjects that have nothing")
	}
}

// A request takes memory beside its bytes.
func TestTurns_ALineOfSmallRequestsHasAnEnd(t *testing.T) {
	t.Parallel()
	hold := make(chan struct{})
	q := newTurns(1, func(*nats.Msg) { <-hold })
	n, small := 0, &nats.Msg{Subject: "flood"}
	for n < maxInLine/besideBytes && q.add(small) {
		n++
	}
	if n == maxInLine/besideBytes {
		t.Errorf("%d small requests wait, and more are taken", n)
	}
	if !q.add(&nats.Msg{Subject: "another"}) {
		t.Error("a neighbour has no room")
	}
	close(hold)
	q.wait()
}

// A source whose requests take long has no more of them served than leaves others their turn.
func TestTurns_SlowRequestsLeaveOthersTheirShare(t *testing.T) {
	t.Parallel()
	for _, sources := range []int{1, 2, 33, 300, 5000} {
		synctest.Test(t, func(t *testing.T) {
			var longest time.Duration
			var slow, most int
			var mu sync.Mutex
			q := newTurns(64, nil)
			q.serve = func(m *nats.Msg) {
				mu.Lock()
				defer mu.Unlock()
				took := time.Millisecond
				if m.Subject == "slow" {
					took, slow = 10*time.Second, slow+1
					most = max(most, slow)
				} else {
					came, _ := time.Parse(time.RFC3339Nano, m.Header.Get("Came"))
					longest = max(longest, time.Since(came))
				}
				mu.Unlock()
				bubble.Sleep(took)
				mu.Lock()
				if m.Subject == "slow" {
					slow--
				}
			}
			for range 1000 {
				q.add(&nats.Msg{Subject: "slow"})
			}
			bubble.Sleep(time.Second)
			for i := range sources - 1 {
				header := nats.Header{"Came": {time.Now().Format(time.RFC3339Nano)}}
				q.add(&nats.Msg{Subject: fmt.Sprint("quick ", i), Header: header})
				if i%8 == 7 { // eight at a time
					bubble.Sleep(time.Millisecond)
				}
			}
			q.wait()
			if longest > 0 || most != 48 {
				t.Errorf("%d sources: the others wait %v, with %d of the slow one", sources, longest, most)
			}
		})
	}
}
