package feed

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"

	"github.com/redoxworker/redoxworker/config"
	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/natsdev"
	"github.com/redoxworker/redoxworker/outbox/topology"
	"github.com/redoxworker/redoxworker/worker/service/registry"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const mainFile = `
keys:
  main: {client_id: client-1, kid: kid-1, private_key_file: key.pem}
sources:
  clinic-a: {id: 7ce6f387-c33c-417d-8682-81e83628cbd9, key: main}
sources_dir: sources.d
`

func fileOf(name string) string {
	return fmt.Sprintf("sources:\n  %s: {id: 11111111-2222-3333-4444-555555555555, key: main}\n", name)
}

// rig is a feed of a main file with a directory, that runs.
type rig struct {
	*Feed
	t        testing.TB
	dir      string
	settings config.Options
	applied  atomic.Int64 // calls of Apply
	fail     atomic.Pointer[error]
	now      atomic.Pointer[config.Config]
}

func newRig(t testing.TB, more string) *rig {
	t.Helper()
	r := &rig{t: t, dir: t.TempDir()}
	key, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	r.write("key.pem", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})))
	r.write("redoxworker.yaml", mainFile+more)
	if err := os.Mkdir(filepath.Join(r.dir, "sources.d"), 0o700); err != nil {
		t.Fatal(err)
	}
	r.settings = config.Options{File: filepath.Join(r.dir, "redoxworker.yaml")}
	c, err := config.Load(r.settings)
	if err != nil {
		t.Fatal(err)
	}
	r.Feed = New(c, Options{Settings: &r.settings, Apply: r.apply})
	r.now.Store(c)
	return r
}

func (r *rig) apply(c config.Config) error {
	r.applied.Add(1)
	if err := r.fail.Load(); err != nil {
		return *err
	}
	r.now.Store(&c)
	return nil
}

// write replaces a file as a careful tool does.
func (r *rig) write(name, text string) {
	r.t.Helper()
	tmp := filepath.Join(r.dir, ".tmp")
	if err := errors.Join(os.WriteFile(tmp, []byte(text), 0o600), os.Rename(tmp, filepath.Join(r.dir, name))); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) run(js jetstream.JetStream) {
	ctx, cancel := context.WithCancel(context.Background())
	var all sync.WaitGroup
	all.Go(func() { r.Run(ctx, js) })
	r.t.Cleanup(func() { cancel(); all.Wait() })
}

// until waits until these are served, and the problems begin so.
func (r *rig) until(sources string, problems ...string) {
	r.t.Helper()
	poll := time.NewTicker(5 * time.Millisecond)
	defer poll.Stop()
	for end := time.Now().Add(30 * time.Second); ; <-poll.C {
		got := strings.Join(slices.Sorted(maps.Keys(r.now.Load().Sources)), " ")
		s := r.Status()
		if got == sources && s.Sources == len(strings.Fields(sources)) && slices.EqualFunc(s.Problems, problems, strings.Contains) {
			return
		}
		if time.Now().After(end) {
			r.t.Fatalf("sources %q, status %+v; want %q, %q", got, s, sources, problems)
		}
	}
}

func TestFeed_FollowsFiles(t *testing.T) {
	t.Parallel()
	r := newRig(t, "")
	r.write("sources.d/b.yaml", fileOf("clinic-b"))
	r.run(nil)
	r.until("clinic-a clinic-b")
	r.write("sources.d/c.yaml", fileOf("clinic-c"))
	r.until("clinic-a clinic-b clinic-c")
	r.write("sources.d/c.yaml", "sources: {clinic-c: {id: 1")
	r.until("clinic-a clinic-b clinic-c", "config: not valid YAML")
	r.write("sources.d/c.yaml", fileOf("clinic-d"))
	r.until("clinic-a clinic-b clinic-d")
	r.write("redoxworker.yaml", strings.ReplaceAll(mainFile, "clinic-a", "clinic-e"))
	r.until("clinic-b clinic-d clinic-e")
	r.write("redoxworker.yaml", "keys: [")
	r.until("clinic-b clinic-d clinic-e", "config: not valid YAML")
	r.write("redoxworker.yaml", mainFile+"worker: {concurrency: 3}\n")
	r.until("clinic-a clinic-b clinic-d", "worker.concurrency: is fixed while the worker runs")
	if err := os.Remove(filepath.Join(r.dir, "sources.d/b.yaml")); err != nil {
		t.Fatal(err)
	}
	r.write("redoxworker.yaml", mainFile)
	r.until("clinic-a clinic-d")
	before := r.applied.Load()
	pemText, err := os.ReadFile(filepath.Join(r.dir, "key.pem"))
	if err != nil {
		t.Fatal(err)
	}
	r.write("key.pem", string(pemText)+"\n") // a rotation is its follower's business
	r.Reread()
	if n := r.applied.Load() - before; n != 0 {
		t.Errorf("another content of a key's file was handed on %d times", n)
	}
	r.write("redoxworker.yaml", strings.ReplaceAll(mainFile, "kid-1", "kid-2"))
	r.Reread()
	if n := r.applied.Load() - before; n != 1 || r.now.Load().Keys["main"].KID != "kid-2" {
		t.Errorf("another kid was handed on %d times", n)
	}
}

// TestFeed_WhatIsFixedStaysSo: a directory or an address that the main file names from the next
// start on is not half in use before.
func TestFeed_WhatIsFixedStaysSo(t *testing.T) {
	t.Parallel()
	r := newRig(t, "")
	r.write("sources.d/b.yaml", fileOf("clinic-b"))
	if err := os.Mkdir(filepath.Join(r.dir, "other.d"), 0o700); err != nil {
		t.Fatal(err)
	}
	before := r.now.Load().Redox.TokenURL
	r.write("redoxworker.yaml", strings.NewReplacer("sources.d", "other.d", "clinic-a", "clinic-e").Replace(mainFile)+"redox: {token_url: https://other.test/token}\n")
	r.Reread()
	r.until("clinic-b clinic-e", "redox.token_url: is fixed", "sources_dir: is fixed")
	if now := r.now.Load().Redox.TokenURL; now != before {
		t.Errorf("keys are made with %s", now)
	}
}

func TestFeed_ConfigMapSwappedAndBack(t *testing.T) {
	t.Parallel()
	r := newRig(t, "")
	for revision, text := range map[string]string{"..1": fileOf("clinic-b"), "..2": "sources: [", "..3": fileOf("clinic-c")} {
		if err := os.Mkdir(filepath.Join(r.dir, "sources.d", revision), 0o700); err != nil {
			t.Fatal(err)
		}
		r.write("sources.d/"+revision+"/b.yaml", text)
	}
	swap := func(revision string) {
		t.Helper()
		tmp := filepath.Join(r.dir, "sources.d", "..tmp")
		if err := errors.Join(os.Symlink(revision, tmp), os.Rename(tmp, filepath.Join(r.dir, "sources.d", "..data"))); err != nil {
			t.Fatal(err)
		}
	}
	swap("..1")
	if err := os.Symlink("..data/b.yaml", filepath.Join(r.dir, "sources.d", "b.yaml")); err != nil {
		t.Fatal(err)
	}
	r.run(nil)
	r.until("clinic-a clinic-b")
	swap("..2")
	r.until("clinic-a clinic-b", "config: ")
	swap("..1")
	r.until("clinic-a clinic-b")
	swap("..3")
	r.until("clinic-a clinic-c")
	swap("..1")
	r.until("clinic-a clinic-b")
}

func TestFeed_WhatCannotBeAppliedIsTriedAgain(t *testing.T) {
	t.Parallel()
	r := newRig(t, "")
	refusal := errors.New("no room")
	r.fail.Store(&refusal)
	r.write("sources.d/b.yaml", fileOf("clinic-b"))
	r.run(nil)
	for r.applied.Load() < 2 { // as often as the files are read at first
		r.until("clinic-a", "could not be put to use: no room")
	}
	r.fail.Store(nil)
	r.until("clinic-a clinic-b")
	panics := New(r.now.Load(), Options{Settings: &r.settings, Apply: func(config.Config) error { panic("secret") }})
	r.write("sources.d/b.yaml", fileOf("clinic-c"))
	panics.Reread()
	if p := panics.Status().Problems; len(p) != 1 || !strings.Contains(p[0], "panicked (string)") {
		t.Errorf("%q", p)
	}
}

// TestFeed_WhatIsNotPermitted: the sources are served, and what the gateway may not take is named
// for as long as they are.
func TestFeed_WhatIsNotPermitted(t *testing.T) {
	t.Parallel()
	r := newRig(t, "")
	calls := 0
	f := New(r.now.Load(), Options{Settings: &r.settings, Apply: func(c config.Config) error {
		if calls++; calls == 1 {
			return fmt.Errorf("clinic-b: %w", outbox.ErrPermission)
		}
		return nil
	}})
	r.write("sources.d/b.yaml", fileOf("clinic-b"))
	for range 2 {
		f.Reread()
		if s := f.Status(); s.Sources != 2 || s.Revision != 1 || calls != 1 || len(s.Problems) != 1 || !strings.Contains(s.Problems[0], "not permitted then: clinic-b") {
			t.Errorf("%+v after %d calls", s, calls)
		}
	}
	r.write("sources.d/b.yaml", fileOf("clinic-c"))
	f.Reread()
	if s := f.Status(); s.Revision != 2 || len(s.Problems) != 0 {
		t.Errorf("%+v", s)
	}
}

// queue is a server with the registry.
func queue(t testing.TB) (*natsdev.Server, jetstream.JetStream) {
	t.Helper()
	s, err := natsdev.Start(natsdev.Options{Dir: t.TempDir(), Port: -1})
	if err != nil {
		t.Fatal(err)
	}
	nc, err := s.Connect()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		nc.Close()
		if err := s.Shutdown(); err != nil {
			t.Error(err)
		}
	})
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := (topology.Topology{Registry: true}).Ensure(context.Background(), js); err != nil {
		t.Fatal(err)
	}
	return s, js
}

func TestFeed_FollowsTheRegistryBesideFiles(t *testing.T) {
	t.Parallel()
	_, js := queue(t)
	r := newRig(t, "registry: true\n")
	r.run(js)
	ops := registry.New(js, registry.Options{})
	put := func(name, key string, revision uint64) uint64 {
		t.Helper()
		e, err := ops.Put(t.Context(), name, config.Source{ID: "11111111-2222-3333-4444-555555555555", Key: key}, revision)
		if err != nil {
			t.Fatal(err)
		}
		return e.Revision
	}
	b := put("clinic-b", "main", 0)
	r.until("clinic-a clinic-b")
	put("clinic-a", "main", 0)
	r.until("clinic-a clinic-b", "sources.clinic-a: is also in the main file, which wins")
	b = put("clinic-b", "none", b)
	r.until("clinic-a clinic-b", "wins", `sources.clinic-b.key: no key is called "none"`)
	r.write("sources.d/b.yaml", strings.ReplaceAll(fileOf("clinic-b"), "1111", "9999"))
	r.until("clinic-a clinic-b", "wins", "sources.clinic-b: is also in")
	if id := r.now.Load().Sources["clinic-b"].ID; id[0] != '9' {
		t.Errorf("clinic-b is %s: the file does not win", id)
	}
	if err := os.Remove(filepath.Join(r.dir, "sources.d/b.yaml")); err != nil {
		t.Fatal(err)
	}
	r.until("clinic-a clinic-b", "wins", `no key is called "none"`)
	put("clinic-b", "main", b)
	r.until("clinic-a clinic-b", "wins")
	if err := js.DeleteKeyValue(t.Context(), "REDOX_SOURCES"); err != nil {
		t.Fatal(err)
	}
	r.until("clinic-a clinic-b", "registry: the registry of sources does not exist", "wins")
}

// TestFeed_First: what there is at the start is in use before anything runs.
func TestFeed_First(t *testing.T) {
	t.Parallel()
	_, js := queue(t)
	r := newRig(t, "registry: true\n")
	r.write("sources.d/b.yaml", fileOf("clinic-b"))
	if _, err := registry.New(js, registry.Options{}).Put(t.Context(), "clinic-c", config.Source{ID: "11111111-2222-3333-4444-555555555555", Key: "main"}, 0); err != nil {
		t.Fatal(err)
	}
	r.First(t.Context(), js)
	if n := r.applied.Load(); len(r.now.Load().Sources) != 3 || n != 1 {
		t.Errorf("%v, applied %d times", r.now.Load().Sources, n)
	}
	r.run(js)
	r.until("clinic-a clinic-b clinic-c")
	if n := r.applied.Load(); n != 1 {
		t.Errorf("applied %d times", n)
	}
}

// TestFeed_TheRegistryGoesAwayAfterTheFirstLook: the watch has read nothing yet, and takes nothing
// away that First has found.
func TestFeed_TheRegistryGoesAwayAfterTheFirstLook(t *testing.T) {
	t.Parallel()
	_, js := queue(t)
	r := newRig(t, "registry: true\n")
	if _, err := registry.New(js, registry.Options{}).Put(t.Context(), "clinic-b", config.Source{ID: "11111111-2222-3333-4444-555555555555", Key: "main"}, 0); err != nil {
		t.Fatal(err)
	}
	r.First(t.Context(), js)
	r.until("clinic-a clinic-b")
	if err := js.DeleteKeyValue(t.Context(), "REDOX_SOURCES"); err != nil {
		t.Fatal(err)
	}
	r.run(js)
	r.until("clinic-a clinic-b", "registry: the registry of sources does not exist")
	if n := r.applied.Load(); n != 1 {
		t.Errorf("applied %d times", n)
	}
}

// The program gives a configuration that is in no file; the registry is followed all the same.
func TestFeed_WithoutSettings(t *testing.T) {
	t.Parallel()
	_, js := queue(t)
	c := config.Defaults()
	c.Registry, c.Keys = true, map[string]config.Key{"main": {Type: config.KeyLegacy}}
	r := &rig{t: t}
	r.Feed = New(&c, Options{Apply: r.apply})
	r.now.Store(&c)
	if !r.Needed() || New(&config.Config{}, Options{Apply: r.apply}).Needed() {
		t.Error("whether there is anything to follow is not known")
	}
	r.run(js)
	if _, err := registry.New(js, registry.Options{}).Put(t.Context(), "clinic-b", config.Source{Key: "main"}, 0); err != nil {
		t.Fatal(err)
	}
	r.until("clinic-b")
}
