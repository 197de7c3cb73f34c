package deploy_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/config"
	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/gateway"
	"github.com/redoxworker/redoxworker/outbox/topology"
	"github.com/redoxworker/redoxworker/worker"
)

// floor is a deployment at work: nats/single.conf provisioned by the operator, and a
// worker with its gateway, as the user worker, with the settings of redoxworker.yaml.
type floor struct {
	srv  *server.Server
	op   jetstream.JetStream
	conf *config.Config

	mu    sync.Mutex
	sent  map[string]int // deliveries to the far side, by message id
	first map[string]bool
	wrong []error // what NATS refused the worker
}

func newFloor(t *testing.T) *floor {
	t.Helper()
	f := &floor{srv: startSingle(t), conf: loadSample(t, nil), sent: map[string]int{}, first: map[string]bool{}}
	f.op = provision(t, f.srv, topology.Topology{})
	f.run(t)
	return f
}

// run starts worker and gateway and stops them with the test. It fails the test when
// NATS refused the worker anything.
func (f *floor) run(t *testing.T) {
	t.Helper()
	nc, err := nats.Connect(f.srv.ClientURL(), nats.UserInfo(f.conf.NATS.User, passwords[workerUser]),
		nats.CustomInboxPrefix(f.conf.NATS.InboxPrefix), nats.ErrorHandler(f.refused))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = nc.FlushTimeout(10 * time.Second) // what it refused so far is known after this
		if last := nc.LastError(); last != nil {
			f.refused(nc, nil, last)
		}
		nc.Close()
		f.mu.Lock()
		defer f.mu.Unlock()
		if err := errors.Join(f.wrong...); err != nil {
			t.Errorf("the worker lacks a right: %v", err)
		}
	})
	js := stream(t, nc)
	w, err := worker.New(js, worker.DelivererFunc(f.deliver), worker.Config{
		Sources:    []worker.Source{{Name: clinicA}, {Name: clinicB, Hold: func(outbox.Message) bool { return true }}},
		ReplyAllow: f.conf.Reply.Allow, Retry: worker.Retry{Initial: 10 * time.Millisecond}, DrainTimeout: 10 * time.Second,
	})
	if err != nil {
		t.Fatal(err)
	}
	g, err := gateway.New(nc, js, gateway.Config{Sources: []string{clinicA, clinicB}, OrderSecret: orderSecret, ReplyAllow: f.conf.Reply.Allow})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		if err := w.Run(ctx); err != nil {
			t.Errorf("worker: %v", err)
		}
	})
	running.Go(func() {
		if err := g.Run(ctx); err != nil {
			t.Errorf("gateway: %v", err)
		}
	})
	t.Cleanup(func() {
		cancel()
		running.Wait()
	})
	eventually(t, "worker ready", func() bool { return w.Status().Ready() })
	probe := connect(t, f.srv, operator)
	eventually(t, "gateway ready", func() bool {
		_, err := probe.Request("$SRV.PING.redox-gateway", nil, time.Second)
		return err == nil
	})
}

func (f *floor) refused(_ *nats.Conn, _ *nats.Subscription, err error) {
	if errors.Is(err, nats.ErrPermissionViolation) {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.wrong = append(f.wrong, err)
	}
}

// errRefused is the far side's no.
var errRefused = worker.Permanent(errors.New("the far side refused it"))

// deliver is the far side. The body says what it does.
func (f *floor) deliver(_ context.Context, m outbox.Message) (outbox.Answer, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.sent[m.ID]++
	body := string(m.Body)
	if strings.Contains(body, "flaky") && !f.first[m.ID] {
		f.first[m.ID] = true
		return outbox.Answer{Status: 503}, errors.New("not now")
	}
	if strings.Contains(body, "refuse") {
		return outbox.Answer{Status: 400}, errRefused
	}
	answer := fmt.Sprintf(`{"to":%q,"id":%q}`, m.Source, m.ID)
	if strings.Contains(body, "large") {
		answer = `"` + strings.Repeat("x", server.MAX_PAYLOAD_MAX_SIZE) + `"`
	}
	return outbox.Answer{Status: 200, ContentType: "application/json", Body: []byte(answer)}, nil
}

// deliveries of one message to the far side.
func (f *floor) deliveries(id string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.sent[id]
}

// drained waits until the queue is empty.
func (f *floor) drained(t *testing.T) {
	t.Helper()
	eventually(t, "the queue is empty", func() bool { return messages(t, f.op, "REDOX_OUT") == 0 })
}

var orderSecret = []byte(strings.Repeat("s", 32))

// publisher of a source, with the rights of a publisher.
func (f *floor) publisher(t *testing.T, source string) *outbox.Publisher {
	t.Helper()
	p, err := outbox.NewPublisher(stream(t, connect(t, f.srv, source)), outbox.PublisherConfig{OrderSecret: orderSecret})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// loadSample loads redoxworker.yaml from a folder that holds what it names.
func loadSample(t *testing.T, edit func(text string) string) *config.Config {
	t.Helper()
	c, err := config.Load(config.Options{File: sampleIn(t, edit)})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// sampleIn copies redoxworker.yaml, edited, beside the files it names.
func sampleIn(t *testing.T, edit func(text string) string) string {
	t.Helper()
	text := read(t, "redoxworker.yaml")
	if edit != nil {
		text = edit(text)
	}
	dir := t.TempDir()
	write(t, filepath.Join(dir, "nats-password"), passwords[workerUser]+"\n")
	write(t, filepath.Join(dir, "redox-main-key"), privateKey(t))
	file := filepath.Join(dir, "redoxworker.yaml")
	write(t, file, text)
	return file
}
