package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/dlq"
	"github.com/redoxworker/redoxworker/worker/redoxsim"
	"github.com/redoxworker/redoxworker/worker/service"
)

// survivor is a worker on a server of its own, one of whose streams meets every harm in turn.
type survivor struct {
	*stage
	what string // the stream
	log  func() string
	n    int
}

// harm is what becomes of a stream, and how that ends; nil: by itself.
type harm struct {
	how  string
	do   func(v *survivor)
	mend func(v *survivor)
	kind string // "": of every stream; "key": of a bucket; "queue": of the work queue
	told bool   // /readyz must say so
}

func harms() []harm {
	return []harm{
		{how: "deleted", told: true, do: func(v *survivor) { v.must(v.js.DeleteStream(v.Context(), v.what)) }},
		{how: "made anew", do: func(v *survivor) {
			cfg := v.stream().CachedInfo().Config
			v.must(v.js.DeleteStream(v.Context(), v.what))
			_, err := v.js.CreateStream(v.Context(), cfg)
			v.must(ignore(err, jetstream.ErrStreamNameAlreadyInUse))
		}},
		{how: "consumers deleted", kind: "queue", do: func(v *survivor) {
			names := v.stream().ConsumerNames(v.Context())
			for name := range names.Name() {
				v.must(v.js.DeleteConsumer(v.Context(), v.what, name))
			}
			v.must(names.Err())
		}},
		{how: "purged", do: func(v *survivor) { v.must(v.stream().Purge(v.Context())) }},
		{how: "full", told: true, do: func(v *survivor) { v.limit(1) }, mend: func(v *survivor) { v.limit(-1) }},
		{how: "key deleted", kind: "key", do: func(v *survivor) {
			v.each(func(kv jetstream.KeyValue, key string) error { return kv.Delete(v.Context(), key) })
		}},
		{how: "key damaged", kind: "key", do: func(v *survivor) {
			v.each(func(kv jetstream.KeyValue, key string) error {
				_, err := kv.Put(v.Context(), key, []byte("{\x00garbage"))
				return err
			})
		}},
		{how: "key expired", kind: "key", do: func(v *survivor) {
			v.each(func(kv jetstream.KeyValue, key string) error {
				if !v.stream().CachedInfo().Config.AllowMsgTTL {
					return kv.Purge(v.Context(), key)
				}
				_, err := v.js.Publish(v.Context(), "$KV."+kv.Bucket()+"."+key, []byte("{}"), jetstream.WithMsgTTL(time.Second))
				return err
			})
		}},
	}
}

func ignore(err, what error) error {
	if errors.Is(err, what) {
		return nil
	}
	return err
}

func (v *survivor) must(err error) {
	v.Helper()
	if err != nil {
		v.Fatalf("%s: %v", v.what, err)
	}
}

func (v *survivor) stream() jetstream.Stream {
	v.Helper()
	s, err := v.js.Stream(v.Context(), v.what)
	v.must(err)
	return s
}

// limit has a stream take nothing more, or with -1 whatever comes.
func (v *survivor) limit(n int64) {
	v.Helper()
	s := v.stream()
	cfg := s.CachedInfo().Config
	cfg.MaxMsgs, cfg.MaxBytes = n, -1
	switch has := int64(s.CachedInfo().State.Msgs); {
	case n < 0:
	case has == 0:
		cfg.MaxMsgs, cfg.MaxBytes = -1, 1
	default:
		cfg.MaxMsgs = has
	}
	_, err := v.js.UpdateStream(v.Context(), cfg)
	v.must(err)
}

func (v *survivor) each(do func(kv jetstream.KeyValue, key string) error) {
	v.Helper()
	kv, err := v.js.KeyValue(v.Context(), strings.TrimPrefix(v.what, "KV_"))
	v.must(err)
	keys, err := kv.Keys(v.Context())
	v.must(ignore(err, jetstream.ErrNoKeysFound))
	for _, key := range keys {
		v.must(do(kv, key))
	}
}

// row is one line of the table.
type row struct {
	what, how                              string
	sent, delivered, lost, doubled, buried int
	late                                   int // lost, although published after the harm
	said                                   string
	healed                                 bool
}

// round does one harm to the worker and says what came of it.
func (v *survivor) round(p *outbox.Publisher, h harm) row {
	r := row{what: v.what, how: h.how}
	names := v.send(p, true, &r)
	before := len(names)
	h.do(v)
	names = append(names, v.send(p, false, &r)...)
	if h.told && (v.what != "REDOX_OUT" || h.mend == nil) { // a queue that is worked off is full for a moment
		v.eventually(h.how+" is told", func() bool { r.said = v.problems(r.said); return r.said != "" }, v.log)
	}
	if h.mend != nil {
		h.mend(v)
	}
	v.eventually("healed after "+v.what+" "+h.how, func() bool {
		r.said = v.problems(r.said)
		state := v.readiness()
		return state.Ready && len(state.Problems) == 0 && v.whole()
	}, v.log)
	r.healed = true
	names = append(names, v.send(p, false, &r)...)
	v.drained(v.log)
	v.count(names[:before], &r)
	early := r.lost
	v.count(names[before:], &r)
	r.late = r.lost - early
	return r
}

// send publishes messages of every sort; some fail at their first attempt where slow is true,
// so that the ledger knows of them.
func (v *survivor) send(p *outbox.Publisher, slow bool, r *row) (names []string) {
	v.Helper()
	for i := range 5 {
		v.n++
		name := fmt.Sprintf("%s-%d", v.what, v.n)
		if slow && i < 2 {
			name += "-again"
		}
		m := outbox.Message{ID: name, Source: "clinic-a", Body: admit(name)}
		switch i {
		case 1, 2:
			m.OrderKey = "patient"
		case 3:
			m.ReplyTo = "redox.reply.clinic-a." + name
		case 4:
			if !slow { // it is dead-lettered
				m.Body = []byte("{}")
			}
		}
		ctx, cancel := context.WithTimeout(v.Context(), time.Minute)
		_, err := p.Publish(ctx, m)
		for ; errors.Is(err, outbox.ErrQueueFull) || errors.Is(err, outbox.ErrNoStream); _, err = p.Publish(ctx, m) {
			if v.what != "REDOX_OUT" {
				break
			}
			if errors.Is(err, outbox.ErrQueueFull) { // it says so clearly: that is all it can do
				r.said = err.Error()
				v.limit(-1)
			}
		}
		cancel()
		v.must(err)
		names = append(names, name)
	}
	r.sent += len(names)
	return names
}

func (v *survivor) readiness() (state service.Status) {
	v.Helper()
	request, err := http.NewRequestWithContext(v.Context(), http.MethodGet, "http://"+v.admin+"/readyz", nil)
	v.must(err)
	response, err := http.DefaultClient.Do(request)
	v.must(err)
	defer response.Body.Close()
	v.must(json.NewDecoder(response.Body).Decode(&state))
	return state
}

// problems is what /readyz says, or has said.
func (v *survivor) problems(said string) string {
	if said != "" {
		return said
	}
	return strings.Join(v.readiness().Problems, "; ")
}

// whole reports whether the stream is there.
func (v *survivor) whole() bool {
	_, err := v.js.Stream(v.Context(), v.what)
	return err == nil
}

// count compares what was sent with what came to the far side. What was in the queue when the
// queue itself was deleted or purged is gone by the hand that did so.
func (v *survivor) count(names []string, r *row) {
	v.Helper()
	arrived := map[string]int{}
	for _, a := range v.messages() {
		if a.Status == http.StatusOK {
			arrived[a.Key]++
		}
	}
	for _, name := range names {
		switch n := arrived[name]; {
		case n == 1:
			r.delivered++
		case n > 1:
			r.doubled++
		case v.buried(name):
			r.buried++
		default:
			r.lost++
		}
	}
}

// buried reports whether a dead letter of the message is there.
func (v *survivor) buried(name string) bool {
	letters, err := dlq.New(v.js, dlq.Config{})
	v.must(err)
	for _, err := range letters.List(v.Context(), dlq.Query{IDs: []string{name}}) {
		v.must(err)
		return true
	}
	return false
}

// Every stream and bucket that a worker uses meets everything that can become of it while the
// worker runs. Nothing is lost or sent twice, /readyz names what is wrong, and it heals by
// itself.
func TestRun_SurvivesEveryHarmToItsStreams(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var table []row
	var all sync.WaitGroup
	for _, what := range []string{"REDOX_OUT", "REDOX_DLQ", "REDOX_REPLIES", "REDOX_ADVISORIES", "REDOX_AUDIT", "KV_REDOX_STATE", "KV_REDOX_LEDGER", "OBJ_REDOX_BODIES"} {
		all.Go(func() {
			t.Run(what, func(t *testing.T) {
				v := &survivor{what: what}
				v.stage = newStage(t, &redoxsim.Server{}, "quota: {requests: 4000, per: 2s}\naudit: {stream: true}\nworker: {retry: {initial: 1s}}\n")
				v.sim.SetRules(redoxsim.Rule{Path: "/endpoint", Contains: "-again", Attempts: 1, Fault: redoxsim.Fault{Status: http.StatusServiceUnavailable}})
				run := v.run()
				v.log = run.err.String
				p := v.publisher()
				for _, h := range harms() {
					if h.kind == "key" && !strings.HasPrefix(what, "KV_") || h.kind == "queue" && what != "REDOX_OUT" {
						continue
					}
					r := v.round(p, h)
					mu.Lock()
					table = append(table, r)
					mu.Unlock()
				}
				if code := run.stop(); code != 0 || strings.Contains(run.err.String(), "panic") {
					t.Errorf("exit code %d:\n%s", code, run.err.String())
				}
			})
		})
	}
	all.Wait()
	printed := new(strings.Builder)
	w := tabwriter.NewWriter(printed, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, "what\thow\tsent\tdelivered\tlost\tdoubled\tdead letters\thealed\t/readyz or the publisher said")
	slices.SortStableFunc(table, func(a, b row) int { return strings.Compare(a.what, b.what) })
	for _, r := range table {
		_, _ = fmt.Fprintf(w, "%s\t%s\t%d\t%d\t%d\t%d\t%d\t%v\t%s\n", r.what, r.how, r.sent, r.delivered, r.lost, r.doubled, r.buried, r.healed, r.said)
		gone := r.what == "REDOX_OUT" && (r.how == "deleted" || r.how == "made anew" || r.how == "purged") // with the queue itself
		if r.doubled > 0 || r.late > 0 || r.lost > 0 && !gone || !r.healed {
			t.Errorf("%s %s: %+v", r.what, r.how, r)
		}
	}
	_ = w.Flush()
	t.Log("\n" + printed.String())
}
