package checkcmd

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/outbox/sqloutbox"
)

// serves is a server that does something about a request and answers 404.
func (w *world) serves(do func(*http.Request)) string {
	s := httptest.NewServer(http.HandlerFunc(func(answer http.ResponseWriter, r *http.Request) {
		do(r)
		http.NotFound(answer, r)
	}))
	w.Cleanup(s.Close)
	return s.URL
}

// monitored is a server with JetStream and monitoring.
func monitored(t *testing.T, edit func(*server.Options)) (monitor string, n *natsWorld) {
	t.Helper()
	opts := &server.Options{Host: "127.0.0.1", Port: -1, HTTPHost: "127.0.0.1", HTTPPort: -1, JetStream: true, StoreDir: t.TempDir(), NoLog: true, NoSigs: true}
	edit(opts)
	s, err := server.NewServer(opts)
	if err != nil {
		t.Fatal(err)
	}
	go s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	if !s.ReadyForConnections(time.Minute) {
		t.Fatal("the server is not ready")
	}
	conn, err := nats.Connect(s.ClientURL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	js, err := jetstream.New(conn)
	if err != nil {
		t.Fatal(err)
	}
	return "http://" + s.MonitorAddr().String(), &natsWorld{report: newReport(), conn: conn, probe: conn, js: js, config: defaults(), prefix: "redox"}
}

func TestCheckServer_LooksHowOftenTheDiskIsWritten(t *testing.T) {
	t.Parallel()
	monitor, n := monitored(t, func(*server.Options) {})
	n.checkServer(t.Context(), monitor)
	if got := n.result(0).found(statusWarning); len(got) != 1 || !strings.HasPrefix(got[0], "server sync_interval: is 2m: a power cut takes messages") || !strings.HasSuffix(got[0], "set jetstream.sync_interval to always in the server's configuration, and restart it") {
		t.Errorf("%q", got)
	}
	other, n := monitored(t, func(o *server.Options) { o.SyncAlways = true })
	n.checkServer(t.Context(), other)
	if got := n.result(0); got.Warnings != 0 || got.Unknown != 0 || !strings.Contains(got.Findings[0].Text, "is on its disk before it is confirmed") {
		t.Errorf("%v", got.Findings)
	}
	n.report = newReport()
	n.checkServer(t.Context(), monitor)
	if got := n.result(0).found(statusUnknown); len(got) != 1 || !strings.Contains(got[0], "answers another server than the one connected to; give --monitor") {
		t.Errorf("%q", got)
	}
}

func TestCheckServer_LooksAtTheRoom(t *testing.T) {
	t.Parallel()
	monitor, n := monitored(t, func(o *server.Options) { o.JetStreamMaxStore, o.SyncAlways = 1<<20, true })
	_, err := n.js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "X", Subjects: []string{"x"}, Storage: jetstream.FileStorage})
	for err == nil {
		_, err = n.js.Publish(t.Context(), "x", make([]byte, 60_000))
	}
	n.checkServer(t.Context(), monitor)
	if got := n.result(0).found(statusFault); len(got) != 1 || !strings.HasPrefix(got[0], "server disk of the server: ") || !strings.Contains(got[0], " % of it is used: what is published when it is full is refused; empty streams, or give the volume more room") {
		t.Errorf("%q", got)
	}
	n.report = newReport()
	n.room("it", 50, 100, "")
	n.room("it", 1, 0, "")
	n.room("it", 85, 100, "")
	if got := n.result(0); got.Faults != 0 || got.Warnings != 1 {
		t.Errorf("%v", got.Findings)
	}
}

func TestCheckServer_WhatIsNoMonitoring(t *testing.T) {
	t.Parallel()
	_, n := monitored(t, func(*server.Options) {})
	page := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(page.Close)
	for _, url := range []string{page.URL, "http://127.0.0.1:1", "::"} {
		n.report = newReport()
		n.checkServer(t.Context(), url)
		if got := n.result(0).found(statusUnknown); len(got) != 1 {
			t.Errorf("%s: %q", url, got)
		}
	}
}

func TestOlder(t *testing.T) {
	t.Parallel()
	for version, want := range map[string]bool{"2.13.9": true, "1.99.0": true, "2.14.0": false, "2.15.2": false, "3.0.0": false, "2.14.0-RC.1": false, "devel": false, "": false} {
		if got := older(version); got != want {
			t.Errorf("%q: %v", version, got)
		}
	}
}

func TestCheckPeers(t *testing.T) {
	t.Parallel()
	n := &natsWorld{report: newReport()}
	info := &jetstream.StreamInfo{Config: jetstream.StreamConfig{Name: "X"}}
	n.checkPeers(info)
	info.Cluster = &jetstream.ClusterInfo{Replicas: []*jetstream.PeerInfo{{Name: "n1", Offline: true}, {Name: "n2", Lag: 7}, {Name: "n3", Current: true}}}
	n.checkPeers(info)
	got := n.result(0)
	if got.Faults != 2 || got.Warnings != 1 || !strings.Contains(strings.Join(got.found(statusWarning), ""), "its copy on n2 is 7 operations behind") {
		t.Errorf("%v", got.Findings)
	}
}

// What holds back PostgreSQL's cleaning is named, with what ends it.
func TestWaits(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		status sqloutbox.Status
		as     status
		want   string
	}{
		"a part":        {sqloutbox.Status{HorizonPartial: true}, statusUnknown, "GRANT pg_read_all_stats"},
		"failed rows":   {sqloutbox.Status{FailedRows: 2}, statusWarning, "outbox : 2 rows cannot be published; see redoxworker outbox failed ls"},
		"a slot":        {sqloutbox.Status{Horizon: &sqloutbox.Horizon{Slot: "old"}}, statusWarning, "SELECT pg_drop_replication_slot('old')"},
		"a transaction": {sqloutbox.Status{Horizon: &sqloutbox.Horizon{PID: 7, AgeSeconds: 90}}, statusWarning, "outbox process 7: its transaction, 1m30s old, keeps the database from cleaning up"},
		"an old one":    {sqloutbox.Status{Horizon: &sqloutbox.Horizon{PID: 7, AgeSeconds: 7200}}, statusFault, "end it: SELECT pg_terminate_backend(7)"},
	} {
		r := newReport()
		waits(tt.status, r)
		if got := r.result(0).found(tt.as); len(got) != 1 || !strings.Contains(got[0], tt.want) {
			t.Errorf("%s: %q", name, r.result(0).Findings)
		}
	}
}

func TestSplitMend(t *testing.T) {
	t.Parallel()
	for problem, want := range map[string][2]string{
		"t is missing; run `redoxworker outbox migrate`: no such table":                 {"t is missing: no such table", "run `redoxworker outbox migrate`"},
		"t is missing; run `redoxworker outbox migrate`: permission denied for table t": {"t is missing: permission denied for table t", mendGrant},
		"version 0 of 1: run `redoxworker outbox migrate`":                              {"version 0 of 1", "run `redoxworker outbox migrate`"},
		"order is lost: run `ALTER TABLE t` and connect anew":                           {"order is lost", "run `ALTER TABLE t` and connect anew"},
		"the server is too old": {"the server is too old", ""},
	} {
		if text, mend := splitMend(problem); text != want[0] || mend != want[1] {
			t.Errorf("%q: %q, %q", problem, text, mend)
		}
	}
}

// Names that others gave do nothing to a terminal.
func TestReport_WhatOthersNamedIsOneLineOfText(t *testing.T) {
	t.Parallel()
	r := newReport()
	r.fault(checkConsumers, "consumer \x1b[2Jx", "two\nlines\r", "\x07")
	out := screen{}.finding(r.result(0).Findings[0])
	if strings.ContainsAny(strings.TrimSuffix(out, "\n"), "\x1b\n\r\x07") {
		t.Errorf("%q", out)
	}
}
