package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/worker/redoxsim"
)

// tenMB is the size of the bodies of messages and of their answers.
const tenMB = 10_000_000

// busyFar is a Redox that takes large messages and always answers with one that is as large,
// and that it is busy: so they come again, and their objects stay.
type busyFar struct {
	sim      *redoxsim.Server
	answer   []byte
	answered atomic.Int32
}

func (f *busyFar) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != "/endpoint" {
		f.sim.ServeHTTP(w, r)
		return
	}
	_, _ = io.Copy(io.Discard, r.Body)
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusServiceUnavailable)
	_, _ = w.Write(f.answer)
	f.answered.Add(1)
}

// filled is a message of a size.
func filled(size int) []byte {
	const head = `{"Meta":{"DataModel":"PatientAdmin","EventType":"NewPatient","Test":true,"Destinations":[{"ID":"af394f14-b34a-464f-8d24-895f370af4c9"}]},"Filler":"`
	return append(append([]byte(head), bytes.Repeat([]byte("x"), size-len(head)-2)...), `"}`...)
}

// publishShared publishes messages of one large body, which is stored once under many names.
func (s *stage) publishShared(lane contract.Lane, count int, body []byte) {
	s.Helper()
	name := func(i int) string { return contract.BodyName("clinic-a", fmt.Sprint("shared-", i)) }
	subject := func(i int) string {
		return "$O.REDOX_BODIES.M." + base64.URLEncoding.EncodeToString([]byte(name(i)))
	}
	if err := outbox.NewBodies(s.js, "").Put(s.Context(), name(0), body); err != nil {
		s.Fatal(err)
	}
	stored, err := s.js.Stream(s.Context(), "OBJ_REDOX_BODIES")
	if err != nil {
		s.Fatal(err)
	}
	header, err := stored.GetLastMsgForSubject(s.Context(), subject(0))
	if err != nil {
		s.Fatal(err)
	}
	var info jetstream.ObjectInfo
	if err := json.Unmarshal(header.Data, &info); err != nil {
		s.Fatal(err)
	}
	for i := range count {
		info.Name = name(i)
		data, err := json.Marshal(&info)
		if err != nil {
			s.Fatal(err)
		}
		if _, err := s.js.PublishMsg(s.Context(), &nats.Msg{Subject: subject(i), Header: nats.Header{jetstream.MsgRollup: {jetstream.MsgRollupSubject}}, Data: data}); err != nil {
			s.Fatal(err)
		}
		msg := &nats.Msg{Subject: "redox.out.clinic-a." + string(lane), Header: nats.Header{contract.HeaderBodyObject: {name(i)}}}
		if _, err := s.js.PublishMsg(s.Context(), msg); err != nil {
			s.Fatal(err)
		}
	}
}

// BenchmarkMemory tells the most memory of a worker process with so many messages in hand, of
// 10 MB each, whose answers have 10 MB. What bounds it is bodies.memory, here its default of
// 256 MB, and one answer: messages wait for it, and of the answers to SENDs little is kept. It
// stops after so many answers that all of it was in use more than once.
func BenchmarkMemory(b *testing.B) {
	const enough = 30
	for _, lane := range []contract.Lane{contract.LaneRequest, contract.LaneSend} {
		for _, inFlight := range []int{64, 1000} {
			b.Run(fmt.Sprintf("%s/%d", lane, inFlight), func(b *testing.B) {
				var idle, most int64
				for b.Loop() {
					far := &busyFar{sim: &redoxsim.Server{}, answer: filled(tenMB)}
					remote := httptest.NewServer(far)
					s := newStage(b, far.sim, "")
					s.reconfigure("redox: {base_url: ", "redox: {max_body: 11MB, base_url: ")
					s.reconfigure(fmt.Sprintf("base_url: %q", s.far), fmt.Sprintf("base_url: %q", remote.URL))
					worker := s.start("--set", fmt.Sprint("worker.concurrency=", inFlight), "--set", "worker.breaker_after=0")
					idle = max(idle, peakOf(b, worker.Process.Pid))
					s.publishShared(lane, inFlight, filled(tenMB))
					s.eventually("all memory was in use", func() bool { return far.answered.Load() >= enough }, worker.err.String)
					most = max(most, peakOf(b, worker.Process.Pid))
					_ = worker.Process.Kill()
					_ = worker.Wait()
					remote.Close()
				}
				b.ReportMetric(float64(idle)/1e6, "idle-MB")
				b.ReportMetric(float64(most)/1e6, "peak-MB")
				b.ReportMetric(float64(inFlight*2*tenMB)/1e6, "both-ways-MB")
			})
		}
	}
}
