package worker_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/worker"
	"github.com/redoxworker/redoxworker/worker/workertest"
	"github.com/redoxworker/redoxworker/worker/workertest/bubble"
)

// refusedSource is an answer that refuses the source, whatever it sends.
type refusedSource struct{ error }

func (e refusedSource) Unwrap() error     { return e.error }
func (refusedSource) SourceRefused() bool { return true }

// harm is what the far side does to one source of many, or to one of its destinations.
type harm struct {
	answer func(ctx context.Context) (outbox.Answer, error)
	dest   bool   // it is only one destination of the source
	pauses string // the scope that is paused, of source s000
}

var harms = map[string]harm{
	"500": {answer: func(context.Context) (outbox.Answer, error) { return outbox.Answer{Status: 500}, errFar }, pauses: "source:s000"},
	"503": {answer: func(context.Context) (outbox.Answer, error) { return outbox.Answer{Status: 503}, errFar }, pauses: "source:s000"},
	"401": {answer: func(context.Context) (outbox.Answer, error) {
		return outbox.Answer{Status: 401}, refusedSource{worker.NotAttempted(errFar, "key:main")}
	}, pauses: "source:s000"},
	"403": {answer: func(context.Context) (outbox.Answer, error) {
		return outbox.Answer{Status: 403}, refusedSource{worker.Permanent(errFar)}
	}, pauses: "source:s000"},
	"hangs": {answer: func(ctx context.Context) (outbox.Answer, error) {
		select {
		case <-time.After(30 * time.Second):
		case <-ctx.Done():
		}
		return outbox.Answer{}, worker.UnknownOutcome(errFar)
	}, pauses: "source:s000"},
	"its destination is down": {dest: true, answer: func(context.Context) (outbox.Answer, error) { return outbox.Answer{Status: 502}, errFar },
		pauses: "dest:s000:big-clinic"},
}

// fleet is many sources of one key and host, the first of which is in trouble while harmed.
type fleet struct {
	*rig
	sources []string
	harm    harm
	harmed  atomic.Bool
	worker  *worker.Worker

	mu   sync.Mutex
	took map[string]time.Duration // message → from being stored to its settlement
}

func (f *fleet) answer(ctx context.Context, m outbox.Message, _ int) (outbox.Answer, error) {
	if f.harmed.Load() && m.Source == f.sources[0] && (!f.harm.dest || m.Kind == outbox.KindFHIR) {
		return f.harm.answer(ctx)
	}
	bubble.Sleep(20 * time.Millisecond)
	return outbox.Answer{Status: 200}, nil
}

// inFleet runs f with a worker for so many sources.
func inFleet(t *testing.T, n int, h harm, run func(f *fleet)) {
	t.Helper()
	f := &fleet{harm: h, took: make(map[string]time.Duration)}
	for i := range n {
		f.sources = append(f.sources, fmt.Sprintf("s%03d", i))
	}
	workertest.Bubble(t, func(t *testing.T, js jetstream.JetStream) {
		f.rig = &rig{T: t, js: js, far: &workertest.Far{Answer: f.answer}}
		defer f.stop()
		f.provision()
		config := worker.Config{Observe: func(e worker.Event) {
			f.mu.Lock()
			defer f.mu.Unlock()
			if e.Kind == worker.EventSettled && e.Settlement == outbox.Delivered {
				f.took[e.MessageID] = e.Duration
			}
		}}
		for _, name := range f.sources {
			config.Sources = append(config.Sources, worker.Source{Name: name, Scopes: []string{"key:main", "host:far", "group:default"},
				MessageScopes: func(m outbox.Message) []string {
					if m.Kind == outbox.KindFHIR {
						return []string{"dest:" + m.Source + ":big-clinic"}
					}
					return nil
				}})
		}
		var err error
		if f.worker, err = worker.New(js, f.far, config); err != nil {
			t.Fatal(err)
		}
		f.serve(f.worker)
		run(f)
	})
}

// send publishes messages of all sources in turn, a SEND and a REQUEST each, for so long; the first
// source has a destination besides. It returns the ids of those that are no part of the harm.
func (f *fleet) send(d time.Duration) (ids []string) {
	const perSecond = 20
	for i := range int(d/time.Second) * perSecond {
		name := f.sources[i%len(f.sources)]
		lane := []contract.Lane{contract.LaneSend, contract.LaneRequest}[i/len(f.sources)%2]
		id := f.publish(outbox.Message{Source: name, Lane: lane})
		if name != f.sources[0] || f.harm.dest {
			ids = append(ids, id)
		}
		if i%perSecond == 0 {
			f.publish(outbox.Message{Source: f.sources[0]})
			f.publish(outbox.Message{Source: f.sources[0], Kind: outbox.KindFHIR, Path: "big-clinic/Production/Patient"})
		}
		bubble.Sleep(time.Second / perSecond)
	}
	return ids
}

// p99 of what settled of these messages, and how many did not.
func (f *fleet) p99(ids []string) (took time.Duration, missing int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var list []time.Duration
	for _, id := range ids {
		if d, ok := f.took[id]; ok {
			list = append(list, d)
		} else {
			missing++
		}
	}
	if len(list) == 0 {
		return 0, missing
	}
	slices.Sort(list)
	return list[len(list)*99/100], missing
}

// What one source meets is not felt by any other, however many there are, and status tells whose
// trouble it is; afterwards everything is delivered.
func TestNeighbours_DoNotFeelTheTroubleOfOne(t *testing.T) {
	for name, h := range harms {
		for _, n := range []int{1, 2, 33, 500} {
			// The others differ in nothing that the number of sources changes, but where there is one alone.
			if alone := n == 1 && (name == "401" || h.dest); n != 33 && !alone && name != "hangs" && name != "503" {
				continue
			}
			t.Run(fmt.Sprintf("%s/%d", name, n), func(t *testing.T) {
				inFleet(t, n, h, func(f *fleet) {
					quiet, trouble := 5*time.Second, 20*time.Second
					if name == "hangs" { // for 30s each
						trouble = time.Minute
					}
					before, _ := f.p99(f.send(quiet))
					f.harmed.Store(true)
					for range 100 { // and a backlog besides
						f.publish(outbox.Message{Source: f.sources[0], Kind: outbox.KindFHIR, Path: "big-clinic/Production/Patient"})
					}
					ids := f.send(trouble)
					bubble.Sleep(time.Second)
					during, missing := f.p99(ids)
					t.Logf("p99 of the others: %v before, %v while one is met by: %s", before, during, name)
					if during > before*11/10 || missing > 0 {
						t.Errorf("p99 %v before and %v after; %d of %d not delivered", before, during, missing, len(ids))
					}
					f.paused(h.pauses, name)
					f.harmed.Store(false)
					f.until("everything is settled", func() bool { return f.stored("REDOX_OUT") == 0 })
					if s := f.worker.Status(); len(s.Pauses) > 0 {
						t.Errorf("still paused: %+v", s.Pauses)
					}
				})
			})
		}
	}
}

// paused checks that this scope alone is paused, and that status and the shared state say why.
func (f *fleet) paused(scope, name string) {
	f.Helper()
	shared, err := worker.NewPauses(f.js, "", "").List(f.Context())
	if err != nil {
		f.Fatal(err)
	}
	for what, list := range map[string][]worker.Paused{"status": f.worker.Status().Pauses, "shared": shared} {
		if len(f.sources) == 1 && name == "401" { // for all that is known it is the key
			continue
		}
		// Its destination may be paused too: the backlog may have met the trouble first.
		list = slices.DeleteFunc(slices.Clone(list), func(p worker.Paused) bool { return p.Scope == "dest:s000:big-clinic" && p.Scope != scope })
		if len(list) == 0 && name == "hangs" { // where it was met there alone, so far
			continue
		}
		if len(list) != 1 || list[0].Scope != scope || list[0].Reason == "" || time.Since(list[0].Since) < 5*time.Second ||
			list[0].Refused != (name == "401" || name == "403") || list[0].Left > time.Minute {
			f.Errorf("%s: paused %+v, want %s", what, list, scope)
		}
	}
}
