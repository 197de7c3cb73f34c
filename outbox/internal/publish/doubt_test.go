package publish

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/outbox/internal/jsapi"
	"github.com/redoxworker/redoxworker/outbox/natsdev"
)

// unconnected has a connection to no server.
type unconnected struct{ jetstream.JetStream }

func (unconnected) Conn() *nats.Conn { return &nats.Conn{} }

// A query may be asked for as long as somebody waits; a SEND only while its id is known.
func TestPublish_HowLongAWriteInDoubtIsRepeated(t *testing.T) {
	t.Parallel()
	long := time.Now().Add(-RepeatFor - time.Minute)
	for query, want := range map[bool]error{false: errForgotten, true: nil} {
		s := Message{Queue: Queue{JS: unconnected{}}, doubt: true, Query: query}
		if err := s.unrepeatable(t.Context(), long); !errors.Is(err, want) {
			t.Errorf("query %v: %v, want %v", query, err, want)
		}
	}
}

// One try is one try.
func TestPublish_UnconfirmedCountsItsTries(t *testing.T) {
	t.Parallel()
	for tries, want := range map[int]string{1: "after 1 try, and", 2: "after 2 tries, and"} {
		s := &Message{doubt: true, cluster: true, tries: tries}
		if err := s.unconfirmed(context.DeadlineExceeded); !strings.Contains(err.Error(), want) {
			t.Errorf("%d tries: %v", tries, err)
		}
	}
}

// Whoever may not look at the stream is refused at once, and waits for no answer: a message in doubt goes on
// when the next server answers.
func TestPublish_AsksAClusterForItsCopiesNoLongerThanItIsRefused(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "nats.conf")
	if err := os.WriteFile(file, []byte(`accounts { A { jetstream: enabled, users: [{user: a, password: p, permissions: {publish: "redox.out.>", subscribe: "_INBOX.>"}}] } }
		jetstream: enabled`), 0o600); err != nil {
		t.Fatal(err)
	}
	srv, err := natsdev.Start(natsdev.Options{Dir: t.TempDir(), Port: -1, ConfigFile: file})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = srv.Shutdown() }()
	conn, err := nats.Connect(srv.URL(), nats.UserInfo("a", "p"), nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	js, err := jetstream.New(conn)
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	for range 3 {
		m := Message{Queue: Queue{JS: js, Stream: "REDOX_OUT"}, doubt: true, cluster: true, server: "another"}
		if err := m.unrepeatable(t.Context(), time.Now()); err != nil {
			t.Error(err)
		}
	}
	if took := time.Since(began); took > jsapi.Timeout/2 {
		t.Errorf("three messages waited %v for an answer that does not come", took)
	}
	if asked := conn.Stats().OutMsgs; asked > 1 {
		t.Errorf("it was asked %d times, and refused each time", asked)
	}
}
