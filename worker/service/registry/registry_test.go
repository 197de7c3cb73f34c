package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"

	"github.com/redoxworker/redoxworker/config"
	"github.com/redoxworker/redoxworker/outbox/natsdev"
	"github.com/redoxworker/redoxworker/outbox/topology"
	"github.com/redoxworker/redoxworker/worker/audit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	idA = "7ce6f387-c33c-417d-8682-81e83628cbd9"
	idB = "11111111-2222-3333-4444-555555555555"
)

// rig is a server with the bucket and the audit stream.
type rig struct {
	*Registry
	t      testing.TB
	server *natsdev.Server
	js     jetstream.JetStream
}

func newRig(t testing.TB) *rig {
	t.Helper()
	s, err := natsdev.Start(natsdev.Options{Dir: t.TempDir(), Port: -1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Shutdown(); err != nil {
			t.Error(err)
		}
	})
	nc, err := s.Connect(nats.MaxReconnects(-1), nats.ReconnectWait(20*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	record, err := audit.NewRecorder(audit.NewStream(js, "").Deed, "op@host")
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t, server: s, js: js, Registry: New(js, Options{Audit: record, Reason: "because"})}
	r.provision()
	return r
}

func (r *rig) provision() {
	r.t.Helper()
	if _, err := (topology.Topology{Registry: true}).Ensure(context.Background(), r.js); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) put(name string, s config.Source, revision uint64) Entry {
	r.t.Helper()
	e, err := r.Put(context.Background(), name, s, revision)
	if err != nil {
		r.t.Fatal(err)
	}
	return e
}

func (r *rig) kv() jetstream.KeyValue {
	r.t.Helper()
	kv, err := r.js.KeyValue(context.Background(), "REDOX_SOURCES")
	if err != nil {
		r.t.Fatal(err)
	}
	return kv
}

func TestRegistry_ChangesSayWhatTheyFollow(t *testing.T) {
	t.Parallel()
	r, ctx := newRig(t), t.Context()
	first := r.put("clinic-a", config.Source{ID: strings.ToUpper(idA), Key: "main"}, 0)
	if s := first.Source(); s.ID != idA || s.Environment != config.EnvironmentDevelopment || s.OnUnknown != config.OnUnknownResend {
		t.Errorf("stored %+v", s)
	}
	if _, err := r.Put(ctx, "clinic-a", config.Source{ID: idB, Key: "main"}, 0); !errors.Is(err, ErrExists) {
		t.Errorf("added twice: %v", err)
	}
	second := r.put("clinic-a", config.Source{ID: idB, Key: "main", Hold: []string{"Order.*"}}, first.Revision)
	if _, err := r.Put(ctx, "clinic-a", config.Source{ID: idA, Key: "main"}, first.Revision); !errors.Is(err, ErrChanged) {
		t.Errorf("set on an old state: %v", err)
	}
	if err := r.Delete(ctx, "clinic-a", first.Revision); !errors.Is(err, ErrChanged) {
		t.Errorf("removed in an old state: %v", err)
	}
	got, err := r.Get(ctx, "clinic-a")
	if err != nil || got.Revision != second.Revision || got.Source().ID != idB || len(got.Source().Hold) != 1 {
		t.Errorf("%+v, %v", got, err)
	}
	if err := r.Delete(ctx, "clinic-a", second.Revision); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Get(ctx, "clinic-a"); !errors.Is(err, ErrNotFound) {
		t.Errorf("after its removal: %v", err)
	}
	r.put("clinic-a", config.Source{ID: idA, Key: "main"}, 0) // again
	list, err := r.List(ctx)
	if err != nil || len(list) != 1 || list[0].Source().ID != idA {
		t.Errorf("%+v, %v", list, err)
	}
	r.auditTrail(`source.add clinic-a op@host  {"id":"`+idA+`"`, `source.set clinic-a op@host {"id":"`+idA+`" {"id":"`+idB+`"`,
		`source.rm clinic-a op@host {"id":"`+idB+`" `, `source.add clinic-a op@host  {"id":"`+idA+`"`)
}

// auditTrail fails unless these are the entries: what, whom, who, the begin of before and after. Each is
// followed by its outcome.
func (r *rig) auditTrail(want ...string) {
	r.t.Helper()
	stream, err := r.js.Stream(context.Background(), "REDOX_AUDIT")
	if err != nil {
		r.t.Fatal(err)
	}
	for i, one := range want {
		m, err := stream.GetMsg(context.Background(), uint64(2*i+1))
		if err != nil {
			r.t.Fatal(err)
		}
		var e, outcome audit.Deed
		if m, err := stream.GetMsg(context.Background(), uint64(2*i+2)); err != nil || json.Unmarshal(m.Data, &outcome) != nil || outcome.Outcome != audit.Done {
			r.t.Errorf("the outcome: %+v, %v", outcome, err)
		}
		if err := json.Unmarshal(m.Data, &e); err != nil || time.Since(e.Time) > time.Minute || m.Subject != "redox.audit.clinic-a.deed" || e.Reason != "because" {
			r.t.Errorf("%s %s: %v", m.Subject, m.Data, err)
		}
		before, _, _ := strings.Cut(string(e.Before), ",")
		after, _, _ := strings.Cut(string(e.After), ",")
		if got := strings.Join([]string{string(e.Action), e.Source, e.By, before, after}, " "); got != one {
			r.t.Errorf("entry %q, want %q", got, one)
		}
	}
	if n := stream.CachedInfo().State.Msgs; n != uint64(2*len(want)) {
		r.t.Errorf("%d entries, want %d", n, 2*len(want))
	}
}

func TestRegistry_Refusals(t *testing.T) {
	t.Parallel()
	r, ctx := newRig(t), t.Context()
	var problems config.Problems
	if _, err := r.Put(ctx, "clinic-a", config.Source{ID: "x", Key: "main", Environment: "prod"}, 0); !errors.As(err, &problems) || len(problems) != 2 {
		t.Errorf("%v", err)
	}
	if _, err := r.Put(ctx, "Clinic.*", config.Source{ID: idA, Key: "main"}, 0); !errors.As(err, &problems) {
		t.Errorf("%v", err)
	}
	if err := r.js.DeleteStream(ctx, "REDOX_AUDIT"); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Put(ctx, "clinic-a", config.Source{ID: idA, Key: "main"}, 0); !errors.Is(err, audit.ErrNotKept) {
		t.Errorf("no entry could be stored: %v", err)
	}
	if _, err := r.Get(ctx, "clinic-a"); !errors.Is(err, ErrNotFound) {
		t.Errorf("it was changed without an entry: %v", err)
	}
	if err := r.js.DeleteKeyValue(ctx, "REDOX_SOURCES"); err != nil {
		t.Fatal(err)
	}
	_, put := r.Put(ctx, "clinic-a", config.Source{ID: idA, Key: "main"}, 0)
	_, get := r.Get(ctx, "clinic-a")
	_, list := r.List(ctx)
	for _, err := range []error{put, get, list, r.Delete(ctx, "clinic-a", 1), r.Forget(ctx, "clinic-a")} {
		if !errors.Is(err, ErrNoRegistry) {
			t.Errorf("%v", err)
		}
	}
}

func TestRegistry_ListNamesWhatIsDamaged(t *testing.T) {
	t.Parallel()
	r, ctx := newRig(t), t.Context()
	for key, text := range map[string]string{
		"source.clinic-1": `{"id":"` + idA + `","key":"main"}`,
		"source.clinic-2": `{"id":"` + idA + `","key":"main","enviroment":"production"}`,
		"source.clinic-3": `not JSON`,
		"source.clinic-4": ``,
		"source.clinic-5": `{"id":"x","key":"main"}`,
		"source.Clinic":   `{"id":"` + idA + `","key":"main"}`,
		"clinic-6":        `{"id":"` + idA + `","key":"main"}`,
	} {
		if _, err := r.kv().PutString(ctx, key, text); err != nil {
			t.Fatal(err)
		}
	}
	list, err := r.List(ctx)
	if err != nil || len(list) != 7 {
		t.Fatalf("%+v, %v", list, err)
	}
	for _, e := range list {
		if damaged := len(e.Part.Problems) > 0; damaged == (e.Name == "clinic-1") {
			t.Errorf("%s: %v", e.Name, e.Part.Problems)
		}
	}
}

// BenchmarkRegistry reads 5,000 entries.
func BenchmarkRegistry(b *testing.B) {
	r := newRig(b)
	kv := r.kv()
	for i := range 5_000 {
		if _, err := kv.PutString(b.Context(), fmt.Sprintf("source.clinic-%04d", i), `{"id":"`+idA+`","key":"main"}`); err != nil {
			b.Fatal(err)
		}
	}
	for b.Loop() {
		if list, err := r.List(b.Context()); err != nil || len(list) != 5_000 {
			b.Fatal(len(list), err)
		}
	}
}
