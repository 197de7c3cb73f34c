package main

import (
	"bytes"
	"context"
	"fmt"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/worker/redoxsim"
)

// inFlight is how many large messages are under way at the same time.
const inFlight = 16

// peakOf is the most memory that a process has had, in bytes.
func peakOf(t testing.TB, pid int) int64 {
	t.Helper()
	peak := highWater(pid)
	if peak == 0 {
		t.Fatalf("process %d is gone", pid)
	}
	return peak
}

// A NATS server with the usual max_payload of 1 MiB, a worker process, and sixteen large
// messages at once in Redox's hands: all arrive, their objects go, and the memory of the
// worker is bounded.
func TestClaims_SixteenInFlight(t *testing.T) {
	for name, tt := range map[string]struct {
		message       outbox.Message
		size          int
		redox, bodies string // configuration
		together      int
		bound         int64
	}{
		"files of 30 MB": {message: outbox.Message{Kind: outbox.KindFile, ContentType: "application/pdf"}, size: 30_000_000,
			together: inFlight, bound: inFlight * 30_000_000},
		"messages of 10 MB": {size: 10_000_000, redox: ", max_body: 11MB", together: inFlight, bound: 2 * inFlight * 30_000_000},
		"messages of 10 MB in 32 MB": {size: 10_000_000, redox: ", max_body: 11MB", bodies: "bodies: {memory: 32MB}",
			together: 2, bound: inFlight * 30_000_000}, // a source alone leaves others a quarter of it
	} {
		t.Run(name, func(t *testing.T) {
			far := &largeFar{sim: &redoxsim.Server{}, together: tt.together, sums: map[[32]byte]bool{}, all: make(chan struct{}),
				answer: []byte(`{"Meta":{"DataModel":"PatientAdmin","EventType":"NewPatient"}}`)}
			remote := httptest.NewServer(far)
			t.Cleanup(remote.Close)
			s := newStage(t, far.sim, tt.bodies)
			s.reconfigure("redox: {base_url: ", fmt.Sprintf("redox: {blob_url: %q%s, base_url: ", remote.URL, tt.redox))
			s.reconfigure(fmt.Sprintf("base_url: %q", s.far), fmt.Sprintf("base_url: %q", remote.URL))
			worker := s.start()
			s.sendLarge(tt.message, tt.size)
			s.drained()
			peak := peakOf(t, worker.Process.Pid)
			t.Logf("%d %s: the worker had at most %d MB", inFlight, name, peak/1_000_000)
			if peak > tt.bound {
				t.Errorf("that is over %d MB", tt.bound/1_000_000)
			}
			if n := len(far.sums); n != inFlight {
				t.Errorf("%d different bodies arrived", n)
			}
			s.eventually("all objects are gone", func() bool { return s.queued("OBJ_REDOX_BODIES") == 0 })
			if n := s.queued("REDOX_DLQ"); n != 0 {
				t.Errorf("%d dead letters", n)
			}
		})
	}
}

// sendLarge publishes inFlight messages of a size, each different.
func (s *stage) sendLarge(m outbox.Message, size int) {
	s.Helper()
	p, err := outbox.NewPublisher(s.js, outbox.PublisherConfig{ClaimCheck: true, Timeout: time.Minute})
	if err != nil {
		s.Fatal(err)
	}
	m.Source = "clinic-a"
	for i := range inFlight {
		head := fmt.Sprintf(`{"Meta":{"DataModel":"PatientAdmin","EventType":"NewPatient","Test":true,"Destinations":[{"ID":"af394f14-b34a-464f-8d24-895f370af4c9"}]},"Filler%d":"`, i)
		m.Body = append(append([]byte(head), bytes.Repeat([]byte("x"), size-len(head)-2)...), `"}`...)
		if _, err := p.Publish(context.Background(), m); err != nil {
			s.Fatal(err)
		}
	}
}
