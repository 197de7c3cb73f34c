package quota

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/worker/workertest/bubble"
)

// backlog is a source that makes requests as fast as it may, so many at a time, until ctx
// ends.
type backlog struct {
	mu   sync.Mutex
	sent map[string]int
	all  sync.WaitGroup
}

func (b *backlog) run(ctx context.Context, g *Governor, source string, lane contract.Lane, senders int, vain bool) {
	for range senders {
		b.all.Go(func() {
			for {
				done, err := g.Acquire(ctx, source, lane)
				if err != nil {
					return
				}
				b.mu.Lock()
				if b.sent == nil {
					b.sent = map[string]int{}
				}
				b.sent[source]++
				b.mu.Unlock()
				bubble.Sleep(20 * time.Millisecond)
				if vain {
					g.Failed(source)
				}
				done(true)
			}
		})
	}
}

func (b *backlog) of(source string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.sent[source]
}

func TestWaiters_OrderByClassThenSourcesInTurn(t *testing.T) {
	t.Parallel()
	var w waiters
	var all []*waiter
	for _, x := range []waiter{{class: classSend, source: "a"}, {class: classSend, source: "a"}, {class: classSend, source: "gone"},
		{class: classSend, source: "b"}, {class: classSend, source: "b"}, {class: classRequest, source: "c"}, {class: classToken}} {
		all = append(all, &x)
		w.push(&x)
	}
	if !w.leave(all[2]) || w.leave(all[2]) {
		t.Error("a waiter can leave once")
	}
	var order []string
	for x := w.pop(); x != nil; x = w.pop() {
		order = append(order, classNames[x.class]+" "+x.source)
		if len(order) == 5 { // after one round: a source that comes goes before those that were served
			w.push(&waiter{class: classSend, source: "new"})
			w.push(&waiter{class: classSend, source: "a"})
		}
	}
	want := "token , request c, send a, send b, send a, send new, send b, send a"
	if got := strings.Join(order, ", "); got != want {
		t.Errorf("served %s, want %s", got, want)
	}
	if w.any(classSend) || w.leave(all[0]) {
		t.Error("somebody waits still")
	}
}

// However many sources have a backlog, and however much of one waits, each gets the same, and
// a message of one that has none waits for hardly more than the next grant.
func TestGovernor_SourcesTakeTurns(t *testing.T) {
	t.Parallel()
	for _, sources := range []int{1, 2, 33, 300} {
		t.Run(fmt.Sprint(sources), func(t *testing.T) {
			t.Parallel()
			inBubble(t, Config{Requests: 7500, Per: 5 * time.Minute, Reserve: 0.2}, func(t *testing.T, g *Governor) {
				ctx, cancel := context.WithCancel(t.Context())
				var b backlog
				b.run(ctx, g, "flood", contract.LaneSend, 2000, false)
				for i := 1; i < sources; i++ {
					b.run(ctx, g, fmt.Sprint("s", i), contract.LaneSend, 2, false)
				}
				bubble.Sleep(5*time.Minute + time.Second) // what is free after a rest is used
				flood, other, began := b.of("flood"), b.of("s1"), time.Now()
				var waits []time.Duration
				for range 100 {
					asked := time.Now()
					done, err := g.Acquire(ctx, "neighbour", contract.LaneSend)
					if err != nil {
						t.Fatal(err)
					}
					waits = append(waits, time.Since(asked))
					done(true)
					bubble.Sleep(time.Duration(sources+3) * 40 * time.Millisecond)
				}
				granted := time.Since(began).Seconds() * 25
				flood, other = b.of("flood")-flood, b.of("s1")-other
				p99 := percentile(waits, 0.99)
				t.Logf("%d sources: %d requests of the one with much, %d of another, of %.0f; a neighbour waits %v (p99)", sources, flood, other, granted, p99)
				if most := granted/float64(sources)*1.1 + 2; float64(flood) > most {
					t.Errorf("the source with much was granted %d, want at most %.0f", flood, most)
				}
				if least := granted/float64(sources)*0.75 - 2; sources > 1 && float64(other) < least {
					t.Errorf("another was granted %d, want at least %.0f", other, least)
				}
				if p99 > 100*time.Millisecond {
					t.Errorf("p99 of the neighbour's wait is %v", p99)
				}
				cancel()
				b.all.Wait()
			})
		})
	}
}

// Failing messages of a source get a fifth of what is granted while others wait, all of it
// while nobody does, and are back in their share soon after that.
func TestGovernor_FailingMessagesHaveABudget(t *testing.T) {
	t.Parallel()
	for _, lane := range []contract.Lane{contract.LaneSend, contract.LaneRequest} {
		t.Run(string(lane), func(t *testing.T) {
			t.Parallel()
			inBubble(t, Config{Requests: 500, Per: 10 * time.Second, Reserve: 0.2}, func(t *testing.T, g *Governor) {
				ctx, cancel := context.WithCancel(t.Context())
				var failing, good backlog
				failing.run(ctx, g, "failing", lane, 64, true)
				bubble.Sleep(10 * time.Second)
				before := failing.of("failing")
				bubble.Sleep(time.Minute)
				if n := failing.of("failing") - before; n < 2910 {
					t.Errorf("%d of 3000 requests were used while nobody else waited", n)
				}
				good.run(ctx, g, "good", lane, 64, false)
				joined := time.Now()
				before = failing.of("failing")
				bubble.Sleep(20 * time.Second)
				if n := failing.of("failing") - before; n < 60 {
					t.Errorf("the source that failed got %d requests in 20s", n)
				}
				bubble.Sleep(40 * time.Second)
				bad, of := failing.of("failing")-before, int(50*time.Since(joined).Seconds())
				t.Logf("%d of %d requests were of the source that fails", bad, of)
				if bad > of/5 {
					t.Errorf("%d of %d requests were of the source that fails, want a fifth", bad, of)
				}
				if n := good.of("good"); n < of*3/4 {
					t.Errorf("the neighbour got %d of %d", n, of)
				}
				cancel()
				failing.all.Wait()
				good.all.Wait()
			})
		})
	}
}

// What is remembered of sources that failed passes.
func TestBudget_ForgetsWhatHasPassed(t *testing.T) {
	t.Parallel()
	var b budget
	for i := range 100_000 {
		b.failed(fmt.Sprint("s", i), 64)
		b.granted += costOfFailure
	}
	if n := len(b.until); n > 200 {
		t.Errorf("%d sources are remembered, of which none is over its budget", n)
	}
	for range 1000 {
		b.failed("a", 64)
	}
	b.granted += costOfFailure * 64
	if b.over("a") {
		t.Error("a source that failed a thousand times is kept from its turn for more than what is under way")
	}
}

// What it costs to wait and be served, by the number of sources that wait, over that of one.
func BenchmarkWaiters_Sources(b *testing.B) {
	cost := func(b *testing.B, sources int) float64 {
		var w waiters
		all := make([]string, sources)
		for i := range all {
			all[i] = fmt.Sprint("clinic-", i)
			w.push(&waiter{class: classSend, source: all[i]})
			w.push(&waiter{class: classSend, source: all[i]})
		}
		began := time.Now()
		for i := range b.N {
			w.push(&waiter{class: classSend, source: all[i%sources]})
			w.pop()
		}
		return float64(time.Since(began).Nanoseconds()) / float64(b.N)
	}
	one, few, many := cost(b, 1), cost(b, 300), cost(b, 5000)
	b.ReportMetric(few/one, "300/1")
	b.ReportMetric(many/one, "5000/1")
}
