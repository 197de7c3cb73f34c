package main

import (
	"context"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/auth"
	"github.com/redoxworker/redoxworker/auth/filewatch"
	"github.com/redoxworker/redoxworker/auth/prom"
	"github.com/redoxworker/redoxworker/auth/xoauth2"
	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/dlq"
	"github.com/redoxworker/redoxworker/outbox/gateway"
	"github.com/redoxworker/redoxworker/outbox/topology"
	"github.com/redoxworker/redoxworker/outbox/uploads"
	"github.com/redoxworker/redoxworker/worker"
	"github.com/redoxworker/redoxworker/worker/audit"
	"github.com/redoxworker/redoxworker/worker/operate"
	"github.com/redoxworker/redoxworker/worker/order"
	"github.com/redoxworker/redoxworker/worker/quota"
	"github.com/redoxworker/redoxworker/worker/redox"
	"github.com/redoxworker/redoxworker/worker/redox/platform"
	"github.com/redoxworker/redoxworker/worker/redox/reconcile"
)

// noDeliverer is nil behind an interface.
type noDeliverer struct{}

func (*noDeliverer) Deliver(context.Context, outbox.Message) (outbox.Answer, error) {
	return outbox.Answer{}, nil
}

// withNil calls each function of the libraries that takes something that may be nil with
// nil: it must return an error, and not panic; where a constructor has no error, its
// product must at its first use.
var withNil = map[string]func(ctx context.Context) []error{
	"auth.NewCache": func(context.Context) []error {
		var none *auth.OAuth
		_, err := auth.NewCache(nil, auth.CacheConfig{})
		_, typed := auth.NewCache(none, auth.CacheConfig{})
		return []error{err, typed}
	},
	"auth.NewScopes": func(ctx context.Context) []error {
		_, err := auth.NewScopes(nil, auth.ScopesConfig{})
		s, _ := auth.NewScopes(func(string) auth.Minter { return nil }, auth.ScopesConfig{})
		_, none := s.Bearer(ctx)
		return []error{err, none}
	},
	"auth.NewKey": func(context.Context) []error {
		_, err := auth.NewKey(nil, "k", "")
		_, adapted := auth.NewKey(auth.CryptoSigner(nil), "k", "")
		return []error{err, adapted}
	},
	"auth.NewTransport": func(context.Context) []error {
		_, err := auth.NewTransport(nil, "https://h", auth.TransportConfig{})
		return []error{err}
	},
	"filewatch.New": func(context.Context) []error {
		_, err := filewatch.New(nil, nil, filewatch.Config{})
		return []error{err}
	},
	"prom.New": func(context.Context) []error {
		_, err := prom.New(nil)
		return []error{err}
	},
	"xoauth2.TokenSource": func(ctx context.Context) []error {
		_, err := xoauth2.TokenSource(ctx, nil).Token()
		return []error{err}
	},
	"outbox.NewPublisher": func(context.Context) []error {
		_, err := outbox.NewPublisher(nil, outbox.PublisherConfig{})
		return []error{err}
	},
	"outbox.NewReplies": func(context.Context) []error {
		_, err := outbox.NewReplies(nil, outbox.RepliesConfig{Source: "a"})
		return []error{err}
	},
	"dlq.New": func(context.Context) []error {
		_, err := dlq.New(nil, dlq.Config{})
		return []error{err}
	},
	"gateway.New": func(context.Context) []error {
		_, err := gateway.New(nil, nil, gateway.Config{})
		return []error{err}
	},
	"outbox.NewBodies": func(ctx context.Context) []error {
		b := outbox.NewBodies(nil, "")
		_, get := b.Get(ctx, "a/b", 1)
		_, open := b.Open(ctx, "a/b", 1)
		_, put := b.PutFrom(ctx, "a/b", strings.NewReader("x"))
		_, collect := b.Collect(ctx, time.Hour)
		return []error{get, open, put, collect, b.Put(ctx, "a/b", nil), b.Touch(ctx, "a/b"), b.Delete(ctx, "a/b"), b.DeleteUnlessDead(ctx, outbox.Message{Source: "a"})}
	},
	"uploads.New": func(ctx context.Context) []error {
		u := uploads.New(nil, "", time.Hour)
		_, err := u.Uploaded(ctx, "a", "b")
		return []error{err, u.Keep(ctx, "a", "b", "c")}
	},
	"dlq.NewHeldTokens": func(ctx context.Context) []error {
		_, err := dlq.NewHeldTokens(nil, "").Load(ctx, "a", strings.Repeat("0", 32))
		return []error{err}
	},
	"topology.Topology": func(ctx context.Context) []error {
		top := topology.Topology{}
		_, ensure := top.Ensure(ctx, nil)
		_, drift := top.Drift(ctx, nil)
		return []error{ensure, drift}
	},
	"dlq.NoteReplay": func(ctx context.Context) []error {
		return []error{dlq.NoteReplay(ctx, nil, "", outbox.Message{ReplayOf: "a", Source: "a"}, outbox.Delivered)}
	},
	"dlq.StoredBefore": func(ctx context.Context) []error {
		_, err := dlq.StoredBefore(ctx, nil, "", "redox.dlq.a.b.c", time.Now())
		return []error{err}
	},
	"worker.New": func(context.Context) []error {
		var none *noDeliverer
		js := struct{ jetstream.JetStream }{}
		_, err := worker.New(nil, worker.DelivererFunc(none.Deliver), worker.Config{})
		_, deliverer := worker.New(js, nil, worker.Config{})
		_, typed := worker.New(js, none, worker.Config{})
		_, function := worker.New(js, worker.DelivererFunc(nil), worker.Config{})
		var governor *quota.Governor
		_, limiter := worker.New(js, worker.DelivererFunc(none.Deliver), worker.Config{Limiter: governor})
		return []error{err, deliverer, typed, function, limiter}
	},
	"order.NewTokens": func(ctx context.Context) []error {
		t := order.NewTokens(nil, "")
		_, list := t.List(ctx, "a", 1, 0)
		_, hold := t.Hold(ctx, "a", "b")
		return []error{list, hold}
	},
	"worker.NewPauses": func(ctx context.Context) []error {
		p := worker.NewPauses(nil, "", "")
		_, list := p.List(ctx)
		_, resume := p.Resume(ctx, "a")
		return []error{list, resume, p.Pause(ctx, "a", time.Hour, "")}
	},
	"audit.NewStream": func(ctx context.Context) []error {
		s := audit.NewStream(nil, "")
		return []error{s.Append(ctx, audit.Entry{}), s.Deed(ctx, audit.Deed{})}
	},
	"audit.NewReader": func(ctx context.Context) (errs []error) {
		for _, err := range audit.NewReader(nil, "").List(ctx, audit.Query{}) {
			errs = append(errs, err)
		}
		return errs
	},
	"audit.NewRecorder": func(context.Context) []error {
		_, err := audit.NewRecorder(nil, "somebody")
		return []error{err}
	},
	"operate.New": func(context.Context) []error {
		_, err := operate.New(nil, "", nil, nil)
		return []error{err}
	},
	"quota.Read": func(ctx context.Context) []error {
		_, _, err := quota.Read(ctx, nil, "", "default")
		return []error{err}
	},
	"redox.New": func(context.Context) []error {
		sources := map[string]redox.Source{"a": {ID: "x", Key: "k", Environment: "development"}}
		var none *auth.Cache
		_, missing := redox.New(sources, nil, redox.Config{})
		_, null := redox.New(sources, map[string]redox.Credentials{"k": nil}, redox.Config{})
		_, typed := redox.New(sources, map[string]redox.Credentials{"k": none}, redox.Config{})
		var uploads *uploads.Store
		_, offload := redox.New(nil, nil, redox.Config{Offload: redox.Offload{Uploads: uploads}})
		return []error{missing, null, typed, offload}
	},
	"platform.Logs": func(ctx context.Context) []error {
		_, err := platform.Logs{Organization: "1"}.Look(ctx, "a")
		return []error{err}
	},
	"reconcile.New": func(context.Context) []error {
		_, err := reconcile.New(nil, nil, reconcile.Config{})
		return []error{err}
	},
}

func TestConstructors_RefuseNil(t *testing.T) {
	for name, call := range withNil {
		func() {
			defer func() {
				if p := recover(); p != nil {
					t.Errorf("%s panics: %v", name, p)
				}
			}()
			for i, err := range call(t.Context()) {
				if err == nil {
					t.Errorf("%s: no error at %d", name, i)
				}
			}
		}()
	}
}

// takesNoNil are the constructors that take nothing whose nil is a mistake.
var takesNoNil = []string{
	"auth.NewJWKSHandler", // answers 500: see its test
	"auth.NewLegacy", "auth.NewOAuth", "auth.NewSecret", "auth.NewToken",
	"outbox.NewID", "audit.NewFile", "audit.NewTail", "quota.New", "redox.NewTransport",
}

// Every constructor of the libraries is in the table above.
func TestConstructors_AllAreTried(t *testing.T) {
	for pkg, dir := range map[string]string{
		"auth": "auth", "outbox": "outbox", "dlq": "outbox/dlq", "gateway": "outbox/gateway", "uploads": "outbox/uploads", "topology": "outbox/topology", "worker": "worker", "audit": "worker/audit", "order": "worker/order", "quota": "worker/quota", "redox": "worker/redox",
		"reconcile": "worker/redox/reconcile", "platform": "worker/redox/platform",
	} {
		for name := range constructors(t, filepath.Join("..", "..", dir)) {
			full := pkg + "." + name
			if _, tried := withNil[full]; !tried && !slices.Contains(takesNoNil, full) {
				t.Errorf("%s is not tried with nil; those that are: %v", full, slices.Sorted(maps.Keys(withNil)))
			}
		}
	}
}

// constructors are the exported functions of a package that begin with New.
func constructors(t *testing.T, dir string) map[string]bool {
	t.Helper()
	found := map[string]bool{}
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil || len(files) == 0 {
		t.Fatal(dir, err)
	}
	for _, path := range files {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, text, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil && strings.HasPrefix(f.Name.Name, "New") {
				found[f.Name.Name] = true
			}
		}
	}
	return found
}
