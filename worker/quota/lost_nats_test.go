package quota

import (
	"context"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/outbox/natsdev"
	"github.com/redoxworker/redoxworker/outbox/topology"
)

// onServer is the bucket of a real server.
type onServer struct {
	*testing.T
	js jetstream.JetStream
}

func newOnServer(t *testing.T) onServer {
	t.Helper()
	server, err := natsdev.Start(natsdev.Options{Dir: t.TempDir(), Port: -1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Shutdown() })
	conn, err := server.Connect()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	s := onServer{T: t}
	if s.js, err = jetstream.New(conn); err != nil {
		t.Fatal(err)
	}
	s.provision()
	return s
}

func (s onServer) must(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

func (s onServer) provision() {
	s.Helper()
	_, err := (topology.Topology{}).Ensure(s.Context(), s.js)
	s.must(err)
}

func (s onServer) bucket() jetstream.KeyValue {
	s.Helper()
	kv, err := s.js.KeyValue(s.Context(), "REDOX_STATE")
	s.must(err)
	return kv
}

func (s onServer) update(change func(*jetstream.StreamConfig)) {
	s.Helper()
	stream, err := s.js.Stream(s.Context(), "KV_REDOX_STATE")
	s.must(err)
	cfg := stream.CachedInfo().Config
	change(&cfg)
	_, err = s.js.UpdateStream(s.Context(), cfg)
	s.must(err)
}

// until polls a governor's state for up to a minute.
func (s onServer) until(what string, g *Governor, cond func(Status) bool) {
	s.Helper()
	limit, ticker := time.After(time.Minute), time.NewTicker(5*time.Millisecond)
	defer ticker.Stop()
	for !cond(g.Status()) {
		select {
		case <-ticker.C:
		case <-limit:
			s.Fatalf("never %s: %+v", what, g.Status())
		}
	}
}

func (s onServer) send(g *Governor) {
	s.Helper()
	ctx, cancel := context.WithTimeout(s.Context(), time.Minute)
	defer cancel()
	done, err := g.Acquire(ctx, "a", contract.LaneSend)
	s.must(err)
	done(true)
}

// What a person or an accident may do to the bucket of a running worker.
func TestRun_SurvivesTheLossOfItsBucketOnNATS(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		lose, mend func(s onServer)
	}{
		"key deleted": {lose: func(s onServer) { s.must(s.bucket().Delete(s.Context(), Key("default"))) }},
		"key purged":  {lose: func(s onServer) { s.must(s.bucket().Purge(s.Context(), Key("default"))) }},
		"key damaged": {lose: func(s onServer) { _, err := s.bucket().Put(s.Context(), Key("default"), []byte("{\x00")); s.must(err) }},
		"bucket purged": {lose: func(s onServer) {
			stream, err := s.js.Stream(s.Context(), "KV_REDOX_STATE")
			s.must(err)
			s.must(stream.Purge(s.Context()))
		}},
		"bucket made anew": {lose: func(s onServer) { s.must(s.js.DeleteKeyValue(s.Context(), "REDOX_STATE")); s.provision() }},
		"bucket deleted": {
			lose: func(s onServer) { s.must(s.js.DeleteKeyValue(s.Context(), "REDOX_STATE")) },
			mend: func(s onServer) { s.provision() },
		},
		"bucket full": {
			lose: func(s onServer) { s.update(func(c *jetstream.StreamConfig) { c.MaxBytes = 1 }) },
			mend: func(s onServer) { s.update(func(c *jetstream.StreamConfig) { c.MaxBytes = -1 }) },
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newOnServer(t)
			g, err := New(Config{Requests: 100, Per: time.Second})
			s.must(err)
			ctx, cancel := context.WithCancel(t.Context())
			ended := make(chan struct{})
			go func() { defer close(ended); g.Run(ctx, s.js) }()
			defer func() { cancel(); <-ended }()
			s.send(g)
			c.lose(s)
			if c.mend != nil {
				s.until("alone", g, func(s Status) bool { return s.Share > 0 && s.Trouble != "" })
				for range 150 { // more than fit into one window
					s.send(g)
				}
				c.mend(s)
			}
			s.until("whole", g, func(st Status) bool {
				_, known, err := Read(t.Context(), s.js, "", "default")
				return st.Trouble == "" && st.Share == 0 && st.Allotted && known && err == nil
			})
			s.send(g)
		})
	}
}

// A worker that has never had a turn takes nothing at once where there was a book before, and
// all where there was none.
func TestRun_NewcomerKnowsALostBookOnNATS(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		before func(s onServer)
		lost   bool
	}{
		"the first one": {func(onServer) {}, false},
		"of a new group": {func(s onServer) {
			_, err := s.bucket().Put(s.Context(), Key("other"), []byte("x"))
			s.must(err)
		}, false},
		"deleted": {func(s onServer) {
			_, err := s.bucket().Put(s.Context(), Key("default"), []byte("x"))
			s.must(err)
			s.must(s.bucket().Delete(s.Context(), Key("default")))
		}, true},
		"purged": {func(s onServer) {
			_, err := s.bucket().Put(s.Context(), Key("default"), []byte("x"))
			s.must(err)
			stream, err := s.js.Stream(s.Context(), "KV_REDOX_STATE")
			s.must(err)
			s.must(stream.Purge(s.Context()))
		}, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newOnServer(t)
			c.before(s)
			g, err := New(Config{Requests: 100, Per: time.Hour})
			s.must(err)
			store := &bucketStore{js: s.js, bucket: "REDOX_STATE", key: Key("default"), queue: "REDOX_OUT", within: time.Hour}
			if _, err := g.takeTurn(t.Context(), store, true); err != nil {
				t.Fatal(err)
			}
			if next := g.Status().Fleet.Next; (next > 30*time.Minute) != c.lost {
				t.Errorf("the next grant is free in %v", next)
			}
		})
	}
}
