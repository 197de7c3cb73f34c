package worker_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/seal"
	"github.com/redoxworker/redoxworker/worker"
)

// What sealing costs at 64 in flight, with a server that stores on disk and one that answers over HTTP in the same process: rounds with and
// without a ring in turn, all in one run, each with as many messages published by 64 and then delivered. It
// reports the median of the ratios of throughput, to publish and to deliver, and that of processor time for both.
//
//	go test -run '^$' -bench BenchmarkSealed -benchtime 1x ./worker
func BenchmarkSealed(b *testing.B) {
	for _, size := range []struct {
		name         string
		bytes, count int
	}{{"1KB", 1 << 10, 5000}, {"20KB", 20 << 10, 2000}, {"10MB", 10 << 20, 12}} {
		b.Run(size.name, func(b *testing.B) {
			url, js := startBench(b)
			_ = url // the worker shares the connection
			ks, _ := seal.Keys{}.With(time.Now(), time.Now())
			body := append(bytes.Repeat([]byte("x"), size.bytes-2), "{}"...)
			far := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) }))
			defer far.Close()
			const rounds = 5
			var publish, deliver, cpu []float64
			sealBench(b, js, seal.NewRing(ks), far.URL, body, size.count/4+1) // to be warm
			for b.Loop() {
				for range rounds {
					plain := sealBench(b, js, nil, far.URL, body, size.count)
					sealed := sealBench(b, js, seal.NewRing(ks), far.URL, body, size.count)
					publish = append(publish, plain.publish.Seconds()/sealed.publish.Seconds())
					deliver = append(deliver, plain.deliver.Seconds()/sealed.deliver.Seconds())
					cpu = append(cpu, sealed.cpu.Seconds()/plain.cpu.Seconds())
					b.Logf("a message: published in %v and %v, delivered in %v and %v, processor %v and %v", plain.publish/time.Duration(size.count), sealed.publish/time.Duration(size.count),
						plain.deliver/time.Duration(size.count), sealed.deliver/time.Duration(size.count), plain.cpu/time.Duration(size.count), sealed.cpu/time.Duration(size.count))
				}
			}
			for name, all := range map[string][]float64{"publish-ratio": publish, "deliver-ratio": deliver, "cpu-ratio": cpu} {
				slices.Sort(all)
				b.ReportMetric(all[len(all)/2], name)
			}
		})
	}
}

// sealCost is what one round took.
type sealCost struct{ publish, deliver, cpu time.Duration }

// processorTime is that of this process.
func processorTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// sealBench publishes n messages and has them delivered over HTTP to far.
func sealBench(b *testing.B, js jetstream.JetStream, ring *seal.Ring, far string, body []byte, n int) (c sealCost) {
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}
	defer client.CloseIdleConnections()
	p, err := outbox.NewPublisher(js, outbox.PublisherConfig{Ring: ring, ClaimCheck: true})
	if err != nil {
		b.Fatal(err)
	}
	var next atomic.Int64
	var publishers sync.WaitGroup
	used, began := processorTime(b), time.Now()
	for range 64 {
		publishers.Go(func() {
			for next.Add(1) <= int64(n) {
				if _, err := p.Publish(b.Context(), outbox.Message{Source: source, Body: body}); err != nil {
					b.Error(err)
				}
			}
		})
	}
	publishers.Wait()
	c.publish = time.Since(began)
	var left atomic.Int64
	left.Store(int64(n))
	done := make(chan struct{})
	w, err := worker.New(js, worker.DelivererFunc(func(ctx context.Context, m outbox.Message) (outbox.Answer, error) {
		if len(m.Body) != len(body) {
			return outbox.Answer{}, fmt.Errorf("%d bytes", len(m.Body))
		}
		request, err := http.NewRequestWithContext(ctx, http.MethodPost, far, bytes.NewReader(m.Body))
		if err != nil {
			return outbox.Answer{}, err
		}
		answer, err := client.Do(request)
		if err != nil {
			return outbox.Answer{}, err
		}
		_ = answer.Body.Close() // it is empty
		return outbox.Answer{Status: answer.StatusCode}, nil
	}), worker.Config{Ring: ring, Sources: []worker.Source{{Name: source}}, Concurrency: 64, Observe: func(e worker.Event) {
		if e.Kind == worker.EventSettled && left.Add(-1) == 0 {
			close(done)
		}
	}})
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(b.Context())
	ended := make(chan error, 1)
	began = time.Now()
	go func() { ended <- w.Run(ctx) }()
	<-done
	c.deliver, c.cpu = time.Since(began), processorTime(b)-used
	cancel()
	if err := <-ended; err != nil {
		b.Error(err)
	}
	return c
}
