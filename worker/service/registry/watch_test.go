package registry

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/config"
)

// watched is a watch, and what a worker makes of it.
type watched struct {
	t    testing.TB
	told chan Snapshot
	last Snapshot
	set  *config.Set
}

func (r *rig) watch() *watched {
	r.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	w, ended := &watched{t: r.t, told: make(chan Snapshot, 1000)}, make(chan struct{})
	go func() {
		defer close(ended)
		r.Watch(ctx, func(s Snapshot) { w.told <- s })
	}()
	r.t.Cleanup(func() { cancel(); <-ended })
	return w
}

// until waits for a state in which these are the sources, with the first letters of their ids,
// and these the problems; "away" stands for Err.
func (w *watched) until(sources string, problems ...string) {
	w.t.Helper()
	main := &config.Config{Keys: map[string]config.Key{"main": {Type: config.KeyOAuth}}}
	got, found := "", []string{}
	for end := time.After(20 * time.Second); ; {
		select {
		case w.last = <-w.told:
		case <-end:
			w.t.Fatalf("sources %q, problems %q; want %q, %q", got, found, sources, problems)
		}
		w.set = config.Combine(main, w.last.Parts, w.set, nil)
		var names []string
		for name, s := range w.set.Config.Sources {
			names = append(names, name+"="+s.ID[:1])
		}
		slices.Sort(names)
		got, found = strings.Join(names, " "), []string{}
		for _, r := range w.set.Refused {
			for _, p := range r.Problems {
				found = append(found, p.String())
			}
		}
		if w.last.Err != nil {
			found = append(found, "away "+w.last.Err.Error())
		}
		if got == sources && slices.EqualFunc(found, problems, strings.HasPrefix) {
			return
		}
	}
}

func TestWatch_SeesEveryChange(t *testing.T) {
	t.Parallel()
	r, ctx := newRig(t), t.Context()
	a := r.put("clinic-a", config.Source{ID: idA, Key: "main"}, 0)
	w := r.watch()
	w.until("clinic-a=7")
	r.put("clinic-b", config.Source{ID: idB, Key: "main"}, 0)
	w.until("clinic-a=7 clinic-b=1")
	a = r.put("clinic-a", config.Source{ID: idB, Key: "main"}, a.Revision)
	w.until("clinic-a=1 clinic-b=1")
	if err := r.Delete(ctx, "clinic-a", a.Revision); err != nil {
		t.Fatal(err)
	}
	w.until("clinic-b=1")
	late := r.watch() // one that starts now knows what was removed
	late.until("clinic-b=1")
}

func TestWatch_ADamagedEntryKeepsItsLastState(t *testing.T) {
	t.Parallel()
	r, ctx := newRig(t), t.Context()
	r.put("clinic-a", config.Source{ID: idA, Key: "main"}, 0)
	b := r.put("clinic-b", config.Source{ID: idB, Key: "main"}, 0)
	w := r.watch()
	w.until("clinic-a=7 clinic-b=1")
	if _, err := r.kv().PutString(ctx, "source.clinic-a", "{"); err != nil {
		t.Fatal(err)
	}
	w.until("clinic-a=7 clinic-b=1", "sources.clinic-a: is damaged")
	if _, err := r.kv().PutString(ctx, "source.clinic-a", `{"id":"`+idB+`","key":"none"}`); err != nil {
		t.Fatal(err)
	}
	r.put("clinic-b", config.Source{ID: idA, Key: "main"}, b.Revision)
	w.until("clinic-a=7 clinic-b=7", "sources.clinic-a.key: no key is called")
	if _, err := r.kv().PutString(ctx, "other", "x"); err != nil {
		t.Fatal(err)
	}
	w.until("clinic-a=7 clinic-b=7", "other: is no key", "sources.clinic-a.key: no key is called")
}

func TestWatch_TheBucketIsLostAndMadeAnew(t *testing.T) {
	t.Parallel()
	r, ctx := newRig(t), t.Context()
	for _, name := range []string{"clinic-a", "clinic-b", "clinic-c"} {
		r.put(name, config.Source{ID: idA, Key: "main"}, 0)
	}
	w := r.watch()
	w.until("clinic-a=7 clinic-b=7 clinic-c=7")
	if err := r.js.DeleteKeyValue(ctx, "REDOX_SOURCES"); err != nil {
		t.Fatal(err)
	}
	w.until("clinic-a=7 clinic-b=7 clinic-c=7", "away the registry of sources does not exist")
	if !errors.Is(w.last.Err, ErrNoRegistry) {
		t.Errorf("%v", w.last.Err)
	}
	r.provision()
	lost := func(name string) string { return "sources." + name + ": is not in the registry any more" }
	w.until("clinic-a=7 clinic-b=7 clinic-c=7", lost("clinic-a"), lost("clinic-b"), lost("clinic-c"))
	r.put("clinic-a", config.Source{ID: idB, Key: "main"}, 0)
	w.until("clinic-a=1 clinic-b=7 clinic-c=7", lost("clinic-b"), lost("clinic-c"))
	if err := r.Forget(ctx, "clinic-b"); err != nil {
		t.Fatal(err)
	}
	w.until("clinic-a=1 clinic-c=7", lost("clinic-c"))
	r.put("clinic-b", config.Source{ID: idB, Key: "main"}, 0)
	w.until("clinic-a=1 clinic-b=1 clinic-c=7", lost("clinic-c"))
	s, err := r.js.Stream(ctx, "KV_REDOX_SOURCES") // emptied, not made anew
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Purge(ctx, jetstream.WithPurgeSubject("$KV.REDOX_SOURCES.source.clinic-b")); err != nil {
		t.Fatal(err)
	}
	w.until("clinic-a=1 clinic-b=1 clinic-c=7", lost("clinic-b"), lost("clinic-c"))
}

func TestWatch_NATSIsAway(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.put("clinic-a", config.Source{ID: idA, Key: "main"}, 0)
	w := r.watch()
	w.until("clinic-a=7")
	if err := r.server.Restart(); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(20 * time.Second); ; { // the connection comes back by itself
		if _, err := r.Put(t.Context(), "clinic-b", config.Source{ID: idB, Key: "main"}, 0); err == nil || errors.Is(err, ErrExists) {
			break
		} else if time.Now().After(end) {
			t.Fatal(err)
		}
	}
	w.until("clinic-a=7 clinic-b=1")
}

// TestWatch_BeforeTheBucketIsThere: a worker that may not make it waits, and says for what.
func TestWatch_BeforeTheBucketIsThere(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	if err := r.js.DeleteKeyValue(t.Context(), "REDOX_SOURCES"); err != nil {
		t.Fatal(err)
	}
	w := r.watch()
	w.until("", "away the registry of sources does not exist")
	r.provision()
	w.until("")
	r.put("clinic-a", config.Source{ID: idA, Key: "main"}, 0)
	w.until("clinic-a=7")
}

// TestWatch_Thousands: what is known after the start, and one change beside 3,000 entries.
func TestWatch_Thousands(t *testing.T) {
	t.Parallel()
	r, n := newRig(t), 3_000
	for i := range n {
		if _, err := r.kv().PutString(t.Context(), fmt.Sprintf("source.clinic-%04d", i), `{"id":"`+idA+`","key":"main"}`); err != nil {
			t.Fatal(err)
		}
	}
	w, began := r.watch(), time.Now()
	s := <-w.told
	t.Logf("%d sources after %v", len(s.Parts), time.Since(began))
	r.put("clinic-new", config.Source{ID: idB, Key: "main"}, 0)
	began = time.Now()
	for len(s.Parts) <= n {
		s = <-w.told
	}
	t.Logf("one more after %v", time.Since(began))
}
