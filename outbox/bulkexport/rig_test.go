package bulkexport

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/redoxworker/redoxworker/worker/redoxsim"
	"github.com/redoxworker/redoxworker/worker/workertest"
)

const groupPath = "hospital/Development/Group/g-1/$export"

// rig is an application with a worker and a simulated Redox, in fake time.
type rig struct {
	*workertest.Rig
	t   *testing.T
	dir string
}

// inBubble runs f with a rig.
func inBubble(t *testing.T, o workertest.Options, f func(r *rig)) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "out")
	workertest.StartInBubble(t, o, func(t *testing.T, w *workertest.Rig) { f(&rig{w, t, dir}) })
}

// simulated is a Redox with these exports.
func simulated(e redoxsim.Export) workertest.Options {
	return workertest.Options{Redox: &redoxsim.Server{Export: e}}
}

// export is one to the directory of the rig.
func (r *rig) export(change func(*Config)) *Export {
	r.t.Helper()
	dir, err := OpenDir(r.dir)
	if err != nil {
		r.t.Fatal(err)
	}
	cfg := Config{Source: "clinic-a", Request: Request{Path: groupPath}, Store: dir, OrderSecret: []byte(workertest.OrderSecret)}
	if change != nil {
		change(&cfg)
	}
	e, err := New(r.JS, cfg)
	if err != nil {
		r.t.Fatal(err)
	}
	return e
}

// run gets an export that must become complete.
func (r *rig) run(change func(*Config)) Result {
	r.t.Helper()
	result, err := r.export(change).Run(r.t.Context())
	if err != nil || !result.Complete {
		r.t.Fatalf("%+v, %v", result, err)
	}
	return result
}

// harm has the simulator behave as a profile or a rule says.
func (r *rig) harm(profile string, rule redoxsim.Rule) {
	r.t.Helper()
	if profile == "" {
		r.Redox.SetRules(rule)
		return
	}
	if err := r.Redox.SetProfile(profile); err != nil {
		r.t.Fatal(err)
	}
}

// asked counts the requests whose paths end so, or begin with an address of exports.
func (r *rig) asked(method, end string) (n int) {
	for _, a := range r.Redox.Arrivals() {
		if a.Method == method && strings.HasSuffix(a.Path, end) {
			n++
		}
	}
	return n
}

// resources reads the ids of the resources of a type, and how often each is there.
func (r *rig) resources(kind string) map[string]int {
	r.t.Helper()
	found := map[string]int{}
	names, err := filepath.Glob(filepath.Join(r.dir, kind+"-*.ndjson"))
	if err != nil {
		r.t.Fatal(err)
	}
	for _, name := range names {
		f, err := os.Open(name)
		if err != nil {
			r.t.Fatal(err)
		}
		for lines := bufio.NewScanner(f); lines.Scan(); {
			var of struct{ ResourceType, ID string }
			if err := json.Unmarshal(lines.Bytes(), &of); err != nil || of.ResourceType != kind {
				r.t.Fatalf("%s: %v", name, err)
			}
			found[of.ID]++
		}
		if err := f.Close(); err != nil {
			r.t.Fatal(err)
		}
	}
	return found
}

// whole checks that each of so many resources of each type is there once.
func (r *rig) whole(n int, kinds ...string) {
	r.t.Helper()
	for _, kind := range kinds {
		found := r.resources(kind)
		for id, times := range found {
			if times != 1 {
				r.t.Errorf("%s is there %d times", id, times)
			}
		}
		if len(found) != n {
			r.t.Errorf("%d of %d resources of type %s", len(found), n, kind)
		}
	}
}

var errKilled = errors.New("killed")

// killing is a store whose process ends at the n-th change, before it was made, just after, or within
// the writing of a file.
type killing struct {
	Store
	kill  context.CancelCauseFunc
	at    int
	after bool
	half  bool
	made  *int
}

func (k killing) change(do func() error) error {
	*k.made++
	if *k.made != k.at {
		return do()
	}
	defer k.kill(errKilled)
	if k.after {
		return errors.Join(do(), errKilled)
	}
	return errKilled
}

func (k killing) save(ctx context.Context, name string, data []byte) error {
	return k.change(func() error { return k.Store.save(ctx, name, data) })
}

func (k killing) note(ctx context.Context, name string, f Figures) error {
	return k.change(func() error { return k.Store.note(ctx, name, f) })
}

func (k killing) write(ctx context.Context, name string, r io.Reader, figures func() Figures) error {
	if k.half && *k.made+1 == k.at {
		r = io.MultiReader(io.LimitReader(r, 100_000), iotest.ErrReader(errKilled))
		k.after = true
	}
	return k.change(func() error { return k.Store.write(ctx, name, r, figures) })
}

// taking is how long something took by the clock of the bubble.
func taking(f func()) time.Duration {
	begun := time.Now()
	f()
	return time.Since(begun)
}
