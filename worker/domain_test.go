package worker_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/natsdev"
	"github.com/redoxworker/redoxworker/outbox/topology"
	"github.com/redoxworker/redoxworker/worker"
	"github.com/redoxworker/redoxworker/worker/workertest"
)

// leafOf starts a hub with JetStream in the domain hub, and a leaf node with a JetStream of its own
// that is connected to it. It answers the address of the leaf.
func leafOf(t *testing.T) (url string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	at := listener.Addr().String()
	_ = listener.Close()
	for _, config := range []string{
		`jetstream { domain: hub }, leafnodes { listen: "` + at + `" }`,
		`jetstream { domain: leaf }, leafnodes { remotes: [ {url: "nats-leaf://` + at + `"} ] }`,
	} {
		file := filepath.Join(t.TempDir(), "nats.conf")
		if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
			t.Fatal(err)
		}
		server, err := natsdev.Start(natsdev.Options{Dir: t.TempDir(), Port: -1, ConfigFile: file})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = server.Shutdown() })
		url = server.URL()
	}
	return url
}

// Workers that reach JetStream in a domain ask for nothing outside of it: an order goes through
// three of them, messages are handed back, woken and handed on.
func TestWorker_InADomain(t *testing.T) {
	const n = 200
	url := leafOf(t)
	dial := func() jetstream.JetStream {
		conn, err := nats.Connect(url)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(conn.Close)
		js, err := jetstream.NewWithDomain(conn, "hub")
		if err != nil {
			t.Fatal(err)
		}
		return js
	}
	js := dial()
	for again := time.NewTicker(20 * time.Millisecond); ; <-again.C { // until the leaf is connected
		if _, err := js.AccountInfo(t.Context()); err == nil {
			break
		}
	}
	if _, err := (topology.Topology{}).Ensure(t.Context(), js); err != nil {
		t.Fatal(err)
	}
	for i := range n {
		msg, err := outbox.Message{ID: fmt.Sprint("t/", i), Source: source, OrderToken: strings.Repeat("0", 32), Body: []byte(`{}`)}.Encode("")
		if err == nil {
			_, err = js.PublishMsg(t.Context(), msg)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	far := &workertest.Far{}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var mu sync.Mutex
	left, all := n, make(chan struct{})
	observe := func(e worker.Event) {
		mu.Lock()
		defer mu.Unlock()
		if e.Kind == worker.EventSettled {
			if left--; left == 0 {
				close(all)
			}
		}
	}
	var running sync.WaitGroup
	for range 3 {
		w, err := worker.New(dial(), far, worker.Config{Sources: []worker.Source{{Name: source}}, Observe: observe})
		if err != nil {
			t.Fatal(err)
		}
		running.Go(func() {
			if err := w.Run(ctx); err != nil {
				t.Error(err)
			}
		})
	}
	<-all
	cancel()
	running.Wait()
	keptOrder(t, far.Calls())
}
