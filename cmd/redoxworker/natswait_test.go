package main

import (
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/redoxworker/redoxworker/outbox/natsdev"
	"github.com/redoxworker/redoxworker/worker/redoxsim"
)

// While there is no NATS no token is asked for, and the endpoint is not blamed: the worker
// says what it waits for. It starts when the server does.
func TestRun_WaitsForNATSAndSaysSo(t *testing.T) {
	t.Parallel()
	s := newStage(t, &redoxsim.Server{}, "quota: {requests: 1000, per: 10s}")
	port := s.port()
	if err := s.nats.Shutdown(); err != nil {
		t.Fatal(err)
	}
	r := s.launch()
	log := func() string { return r.err.String() }
	s.eventually("said", func() bool { return strings.Contains(r.err.String(), "nats: cannot connect; trying again") }, log)
	status, body := s.readyz()
	if status != http.StatusServiceUnavailable || body.NATS != "never connected" || !strings.HasPrefix(body.WaitsFor, "NATS at nats://127.0.0.1:") {
		t.Errorf("/readyz: %d %+v", status, body)
	}
	if body.Quota == nil || body.Quota.Waiting != 0 || len(s.sim.Arrivals()) != 0 {
		t.Errorf("a token is asked for: %+v", body.Quota)
	}
	server, err := natsdev.Start(natsdev.Options{Dir: t.TempDir(), Port: port})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.stop(); _ = server.Shutdown() })
	s.awaitReady(log)
	if _, body = s.readyz(); body.WaitsFor != "" {
		t.Errorf("a worker that is ready waits for %s", body.WaitsFor)
	}
	s.eventually("there is a token", func() bool { _, body := s.readyz(); return body.Keys["main"].Usable }, log)
	if log := r.err.String(); strings.Contains(log, "there is no token") {
		t.Errorf("the endpoint is blamed: %s", log)
	}
}

func (s *stage) port() int {
	s.Helper()
	_, text, err := net.SplitHostPort(strings.TrimPrefix(s.nats.URL(), "nats://"))
	if err != nil {
		s.Fatal(err)
	}
	port, err := strconv.Atoi(text)
	if err != nil {
		s.Fatal(err)
	}
	return port
}
