package redox

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/worker/redox/internal/answer"
)

// sized is an event of about n bytes, in the shape of a real one: small values in nested
// objects.
func sized(n int) string {
	const item = `{"ID":"e167267c-16c9-4fe3-96ae-9cff5703e90a","IDType":"EHRID","Value":12.5,"Flag":null},`
	count := max(0, (n-len(event))/len(item))
	return strings.Replace(event, `"Patient":{`, `"Patient":{"Items":[`+strings.Repeat(item, count)+`0],`, 1)
}

// cpu is the processor time of this process in microseconds.
func cpu() float64 {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return float64(u.Utime.Sec+u.Stime.Sec)*1e6 + float64(u.Utime.Usec+u.Stime.Usec)
}

func BenchmarkGuardAndInsert(b *testing.B) {
	c := client(b, "http://127.0.0.1:1", &keyring{})
	s := c.sender("clinic-a")
	for _, size := range []int{1_000, 20_000} {
		m := message(contract.LaneSend, sized(size))
		b.Run(fmt.Sprintf("%dKB", size/1000), func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(m.Body)))
			var sent int64
			for b.Loop() {
				e, err := c.guard(s, &m)
				if err != nil {
					b.Fatal(err)
				}
				all := s.insert.fill(m.Body, e.gap)
				sent += all.Size()
			}
		})
	}
}

func BenchmarkFind(b *testing.B) {
	for _, size := range []int{0, 20_000} {
		body := []byte(strings.Replace(accepted, `{"Meta"`, `{"Patient":{"Text":"`+strings.Repeat("x", size)+`"},"Meta"`, 1))
		b.Run(fmt.Sprintf("%dKB", size/1000), func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(body)))
			for b.Loop() {
				if f := answer.Find(body); f.Broken {
					b.Fatal("broken")
				}
			}
		})
	}
}

// BenchmarkDeliver compares an attempt with a bare loop over the same transport, in
// turns, server included in both: the difference is what this package costs. One
// operation is 320 requests of each, 32 at a time.
func BenchmarkDeliver(b *testing.B) {
	r := serve(b, nil)
	r.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		_, _ = io.Copy(io.Discard, q.Body)
		_, _ = io.WriteString(w, accepted)
	})
	c := client(b, r.URL, fixed("token"), using(transport(b, TransportConfig{})))
	for _, size := range []int{1_000, 20_000} {
		m := message(contract.LaneSend, sized(size))
		ways := [2]func() error{
			func() error { return raw(c.transport, r.URL+"/endpoint", m.Body) },
			func() error { _, err := c.Deliver(b.Context(), m); return err },
		}
		b.Run(fmt.Sprintf("%dKB", size/1000), func(b *testing.B) {
			const workers, each = 32, 10
			var used [2]float64
			for b.Loop() {
				for way, once := range ways {
					start := cpu()
					var all sync.WaitGroup
					for range workers {
						all.Go(func() {
							for range each {
								if err := once(); err != nil {
									b.Error(err)
								}
							}
						})
					}
					all.Wait()
					used[way] += cpu() - start
				}
			}
			requests := float64(b.N * workers * each)
			b.ReportMetric(used[0]/requests, "raw-cpu-us")
			b.ReportMetric(used[1]/requests, "deliver-cpu-us")
		})
	}
}

// raw posts body as a program without guards would.
func raw(t http.RoundTripper, url string, body []byte) error {
	q, err := http.NewRequest(http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	for name, value := range map[string]string{
		"Content-Type": "application/json", "Accept": "application/json", "Authorization": "Bearer token", "Redox-Source-Id": sourceID,
	} {
		q.Header.Set(name, value)
	}
	response, err := (&http.Client{Transport: t}).Do(q)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	_, err = io.ReadAll(response.Body)
	return err
}
