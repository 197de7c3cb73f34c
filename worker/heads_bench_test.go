package worker_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/natsdev"
	"github.com/redoxworker/redoxworker/outbox/topology"
	"github.com/redoxworker/redoxworker/worker"
)

// What order costs over TCP with a server that stores on disk: messages a second, and for each
// message the deliveries that were in vain and how often the stream was asked for a head. All
// messages are there before the first worker starts. With so many messages in all:
//
//	go test -run '^$' -bench BenchmarkOrder -benchtime 10000x ./worker
//
// Behind one token, ideal is how many times the answers of all its messages it took.
func BenchmarkOrder(b *testing.B) {
	for _, tokens := range []int{1, 2000} {
		for _, latency := range []time.Duration{0, 20 * time.Millisecond} {
			for _, workers := range []int{1, 3} {
				b.Run(fmt.Sprintf("tokens=%d/latency=%v/workers=%d", tokens, latency, workers), func(b *testing.B) {
					benchOrder(b, tokens, workers, latency)
				})
			}
		}
	}
}

func benchOrder(b *testing.B, tokens, workers int, latency time.Duration) {
	url, js := startBench(b)
	publishBench(b, js, tokens)
	var asks atomic.Int64
	if _, err := js.Conn().Subscribe("$JS.API.STREAM.MSG.GET.REDOX_OUT", func(*nats.Msg) { asks.Add(1) }); err != nil {
		b.Fatal(err)
	}
	far := &benchFar{latency: latency, left: b.N, done: make(chan struct{})}
	b.ResetTimer()
	stop := runBench(b, url, far, workers, nil)
	<-far.done
	b.StopTimer()
	took := b.Elapsed()
	stop()
	n := float64(b.N)
	b.ReportMetric(n/took.Seconds(), "msgs/s")
	b.ReportMetric(float64(deliveredBench(b, js).Delivered.Consumer)/n-1, "vain/op")
	b.ReportMetric(float64(asks.Load())/n, "asks/op")
	if tokens == 1 && latency > 0 {
		b.ReportMetric(took.Seconds()/(latency.Seconds()*n), "ideal")
	}
	for _, wrong := range far.check() {
		b.Error(wrong)
	}
}

// What a head that is refused again and again costs, with so many messages behind it: the deliveries
// a second when each of them has been delivered once, and how long a message of another token takes
// meanwhile, in milliseconds.
//
//	go test -run '^$' -bench BenchmarkOrder_BehindAStuckHead -benchtime 100000x ./worker
func BenchmarkOrder_BehindAStuckHead(b *testing.B) {
	const others = 100
	for _, workers := range []int{1, 3} {
		b.Run(fmt.Sprintf("workers=%d", workers), func(b *testing.B) {
			url, js := startBench(b)
			publishBench(b, js, 1)
			settled := make(chan worker.Event, others)
			stop := runBench(b, url, stuckFar{}, workers, func(e worker.Event) {
				if e.Kind == worker.EventSettled {
					settled <- e
				}
			})
			defer stop()
			tick := time.NewTicker(200 * time.Millisecond)
			defer tick.Stop()
			for deliveredBench(b, js).NumPending > 0 {
				<-tick.C
			}
			before, began, all, worst := deliveredBench(b, js).Delivered.Consumer, time.Now(), time.Duration(0), time.Duration(0)
			for n := range others {
				<-tick.C
				sent := time.Now()
				storeBench(b, js, outbox.Message{ID: fmt.Sprint("other", n), Source: source, OrderToken: fmt.Sprintf("%032x", n+1), Body: []byte(`{}`)})
				<-settled
				all, worst = all+time.Since(sent), max(worst, time.Since(sent))
			}
			info := deliveredBench(b, js)
			b.ReportMetric(float64(info.Delivered.Consumer-before-others)/time.Since(began).Seconds(), "vain/s")
			b.ReportMetric(float64(all.Microseconds())/1000/others, "other-ms")
			b.ReportMetric(float64(worst.Microseconds())/1000, "worst-ms")
			b.ReportMetric(float64(info.NumAckPending), "pending")
		})
	}
}

// stuckFar refuses the messages of one token.
type stuckFar struct{}

// Deliver implements [worker.Deliverer].
func (stuckFar) Deliver(_ context.Context, m outbox.Message) (outbox.Answer, error) {
	if m.OrderToken == fmt.Sprintf("%032x", 0) {
		return outbox.Answer{Status: 400}, errFar
	}
	return outbox.Answer{Status: 200}, nil
}

// startBench starts a server on a port and on disk, with all streams.
func startBench(b *testing.B) (url string, js jetstream.JetStream) {
	server, err := natsdev.Start(natsdev.Options{Dir: b.TempDir(), Port: -1})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = server.Shutdown() })
	js = dialBench(b, server.URL())
	if _, err := (topology.Topology{}).Ensure(b.Context(), js); err != nil {
		b.Fatal(err)
	}
	return server.URL(), js
}

// runBench runs workers until stop is called.
func runBench(b *testing.B, url string, far worker.Deliverer, workers int, observe func(worker.Event)) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	for range workers {
		w, err := worker.New(dialBench(b, url), far, worker.Config{Sources: []worker.Source{{Name: source}}, Observe: observe, DrainTimeout: -1})
		if err != nil {
			b.Fatal(err)
		}
		running.Go(func() { _ = w.Run(ctx) })
	}
	return func() {
		cancel()
		running.Wait()
	}
}

// deliveredBench is the state of the consumer, or an empty one before there is one.
func deliveredBench(b *testing.B, js jetstream.JetStream) *jetstream.ConsumerInfo {
	consumer, err := js.Consumer(b.Context(), "REDOX_OUT", source+"-send")
	if errors.Is(err, jetstream.ErrConsumerNotFound) {
		return &jetstream.ConsumerInfo{NumPending: 1}
	}
	if err != nil {
		b.Fatal(err)
	}
	return consumer.CachedInfo()
}

// dialBench connects over TCP, once for each worker as in processes of their own.
func dialBench(b *testing.B, url string) jetstream.JetStream {
	conn, err := nats.Connect(url)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(conn.Close)
	js, err := jetstream.New(conn, jetstream.WithPublishAsyncMaxPending(1000))
	if err != nil {
		b.Fatal(err)
	}
	return js
}

// publishBench stores b.N messages of 1 KB, of the tokens in turn.
func publishBench(b *testing.B, js jetstream.JetStream, tokens int) {
	body := fmt.Appendf(nil, `{"a":"%01000d"}`, 0)
	for n := range b.N {
		storeBench(b, js, outbox.Message{ID: fmt.Sprint(n), Source: source, OrderToken: fmt.Sprintf("%032x", n%tokens), Body: body})
	}
	<-js.PublishAsyncComplete()
}

func storeBench(b *testing.B, js jetstream.JetStream, m outbox.Message) {
	msg, err := m.Encode("")
	if err != nil {
		b.Fatal(err)
	}
	if _, err := js.PublishMsgAsync(msg, jetstream.WithStallWait(time.Minute)); err != nil {
		b.Fatal(err)
	}
}

// benchFar answers 200 after a time, and notes the order of what it gets.
type benchFar struct {
	latency time.Duration
	done    chan struct{} // closed when all have come

	mu    sync.Mutex
	left  int
	last  map[string]uint64
	wrong []string
}

// Deliver implements [worker.Deliverer].
func (f *benchFar) Deliver(_ context.Context, m outbox.Message) (outbox.Answer, error) {
	if f.latency > 0 {
		timer := time.NewTimer(f.latency)
		defer timer.Stop()
		<-timer.C
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.last == nil {
		f.last = make(map[string]uint64)
	}
	if f.last[m.OrderToken] >= m.Sequence {
		f.wrong = append(f.wrong, fmt.Sprintf("%d of %s was sent after %d", m.Sequence, m.OrderToken, f.last[m.OrderToken]))
	}
	f.last[m.OrderToken] = m.Sequence
	if f.left--; f.left == 0 {
		close(f.done)
	}
	return outbox.Answer{Status: 200}, nil
}

func (f *benchFar) check() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.wrong
}
