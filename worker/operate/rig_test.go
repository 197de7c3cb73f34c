package operate_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/dlq"
	"github.com/redoxworker/redoxworker/outbox/topology"
	"github.com/redoxworker/redoxworker/worker"
	"github.com/redoxworker/redoxworker/worker/audit"
	"github.com/redoxworker/redoxworker/worker/operate"
	"github.com/redoxworker/redoxworker/worker/workertest"
	"github.com/redoxworker/redoxworker/worker/workertest/bubble"
)

const source = "clinic-a"

// rig is a provisioned JetStream in fake time, an operator's desk, and a worker once started.
type rig struct {
	*testing.T
	js   jetstream.JetStream
	desk *operate.Desk
	dead *dlq.Store
	pub  *outbox.Publisher
	stop func()
	hang context.Context // ends what hangs
	end  func()

	mu      sync.Mutex
	answers map[string]error // by message id; nil is delivered
	sent    []string
}

var errHang = errors.New("it hangs")

func inBubble(t *testing.T, f func(r *rig)) {
	t.Helper()
	workertest.Bubble(t, func(t *testing.T, js jetstream.JetStream) {
		hang, end := context.WithCancel(t.Context())
		r := &rig{T: t, js: js, stop: func() {}, answers: map[string]error{}, hang: hang, end: end}
		_, err := topology.Topology{}.Ensure(t.Context(), js)
		r.must(err)
		r.dead, err = dlq.New(js, dlq.Config{})
		r.must(err)
		record, err := audit.NewRecorder(audit.NewStream(js, "").Deed, "ann@ops")
		r.must(err)
		r.desk, err = operate.New(js, "", r.dead, record)
		r.must(err)
		r.pub, err = outbox.NewPublisher(js, outbox.PublisherConfig{OrderSecret: []byte("0123456789abcdef0123456789abcdef")})
		r.must(err)
		defer func() { end(); r.stop() }()
		f(r)
	})
}

func (r *rig) must(err error) {
	r.Helper()
	if err != nil {
		r.Fatal(err)
	}
}

// Deliver answers as the test says.
func (r *rig) Deliver(ctx context.Context, m outbox.Message) (outbox.Answer, error) {
	r.mu.Lock()
	err, known := r.answers[m.ID]
	r.sent = append(r.sent, m.ID)
	r.mu.Unlock()
	if known && errors.Is(err, errHang) {
		select {
		case <-r.hang.Done():
		case <-ctx.Done():
		}
	}
	return outbox.Answer{Status: 200}, err
}

// delivered are the ids of what was sent.
func (r *rig) delivered() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.sent)
}

func (r *rig) answer(id string, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.answers[id] = err
}

func (r *rig) start() {
	r.Helper()
	w, err := worker.New(r.js, worker.DelivererFunc(r.Deliver), worker.Config{Sources: []worker.Source{{Name: source}}})
	r.must(err)
	ctx, cancel := context.WithCancel(r.Context())
	ended := make(chan error, 1)
	go func() { ended <- w.Run(ctx) }()
	r.stop = func() {
		cancel()
		if err := <-ended; err != nil {
			r.Error(err)
		}
		r.stop = func() {}
	}
	bubble.Sleep(5 * time.Second)
}

func (r *rig) publish(m outbox.Message) {
	r.Helper()
	m.Source = source
	if m.Body == nil {
		m.Body = []byte(`{"Meta":{"DataModel":"Order","EventType":"New"}}`)
	}
	_, err := r.pub.Publish(r.Context(), m)
	r.must(err)
}

// find is where the message of the source is.
func (r *rig) find(id string) operate.Place {
	r.Helper()
	f, err := operate.Find(r.Context(), r.js, "", id, operate.FindOptions{})
	r.must(err)
	if len(f.Places) != 1 {
		r.Fatalf("%s: %+v", id, f)
	}
	return f.Places[0]
}

// choose selects dead letters by their ids; all without any.
func (r *rig) choose(ids ...string) dlq.Selection {
	r.Helper()
	s, err := r.dead.Select(r.Context(), dlq.Query{IDs: ids})
	r.must(err)
	return s
}

// deeds are the entries of the audit trail, without the outcomes.
func (r *rig) deeds(q audit.Query) (all []audit.Deed) {
	r.Helper()
	return slices.DeleteFunc(r.entries(q), func(d audit.Deed) bool { return d.Outcome != "" })
}

// entries are all of them.
func (r *rig) entries(q audit.Query) (all []audit.Deed) {
	r.Helper()
	for record, err := range audit.NewReader(r.js, "").List(r.Context(), q) {
		r.must(err)
		all = append(all, *record.Deed)
	}
	return all
}
