package bulkexport

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/redoxworker/redoxworker/worker/redox"
	"github.com/redoxworker/redoxworker/worker/redoxsim"
)

var usual = []string{"Patient", "Encounter", "Observation"}

// An export of each form comes whole, into files for their owner alone, and once it is there nothing
// more is asked for.
func TestRun(t *testing.T) {
	for name, change := range map[string]func(*Config){
		"group":    nil,
		"patients": func(c *Config) { c.Request.Path = "hospital/Development/Patient/$export" },
		"system":   func(c *Config) { c.Request.Path = "hospital/Development/$export?_outputFormat=ndjson" },
		"POST":     func(c *Config) { c.Request.Post = true },
		"narrowed": func(c *Config) {
			c.Request = Request{Path: groupPath, Types: usual, Filters: []string{"Patient?active=true", "Observation?code=a|b"}, Elements: []string{"id"}, OutputFormat: asLines}
		},
		"one by one": func(c *Config) { c.Parallel = 1 },
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, simulated(redoxsim.Export{Resources: 25, FileLines: 10}), func(r *rig) {
				result := r.run(change)
				r.whole(25, usual...)
				if len(result.Files) != 9 || !result.OK() || result.TransactionTime == "" || len(result.Warnings) != 0 {
					r.t.Errorf("%+v", result)
				}
				before := len(r.Redox.Arrivals())
				if again := r.run(change); len(again.Files) != 9 || !again.OK() || len(r.Redox.Arrivals()) != before {
					r.t.Errorf("the second time: %+v", again)
				}
				entries, err := os.ReadDir(r.dir)
				if err != nil || len(entries) != 9+3 { // state, journal and manifest
					r.t.Fatalf("%d files, %v", len(entries), err)
				}
				for _, entry := range entries {
					if info, err := entry.Info(); err != nil || info.Mode() != 0o600 {
						r.t.Errorf("%s: %v, %v", entry.Name(), info.Mode(), err)
					}
				}
				if info, err := os.Stat(r.dir); err != nil || info.Mode().Perm() != 0o700 {
					r.t.Errorf("%v, %v", info.Mode(), err)
				}
			})
		})
	}
}

// Files of what could not be exported and of what was deleted come too, and the former tell of errors.
func TestRun_ErrorsAndDeletions(t *testing.T) {
	inBubble(t, simulated(redoxsim.Export{Resources: 3, Issues: 2, Deleted: 4}), func(r *rig) {
		result := r.run(func(c *Config) {
			c.Request.Types, c.Request.Since = []string{"Patient"}, time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
		})
		lines := map[Kind]int64{}
		for _, f := range result.Files {
			lines[f.Kind] += f.Lines
		}
		if lines[Output] != 3 || lines[Errors] != 2 || lines[Deleted] != 4 || result.Issues != 2 || result.OK() || len(result.Warnings) != 1 {
			r.t.Errorf("%+v", result)
		}
	})
}

// Killed before or after whatever it writes down, the next one goes on: the export is begun once, each
// resource is there once, and no file that was there comes again.
func TestRun_KilledAtEveryStep(t *testing.T) {
	const files = 3
	steps := 0
	for at := 1; ; at++ {
		made := 0
		for _, after := range []bool{false, true} {
			inBubble(t, simulated(redoxsim.Export{Resources: 5}), func(r *rig) {
				ctx, kill := context.WithCancelCause(r.t.Context())
				defer kill(nil)
				made = 0
				_, err := r.export(func(c *Config) {
					c.Store, c.Parallel = killing{Store: c.Store, kill: kill, at: at, after: after, made: &made}, 1
				}).Run(ctx)
				if at <= made && !errors.Is(err, errKilled) {
					r.t.Fatalf("at %d: %v", at, err)
				}
				there, err := filepath.Glob(filepath.Join(r.dir, "*.ndjson"))
				if err != nil {
					r.t.Fatal(err)
				}
				before := r.asked("GET", ".ndjson")
				r.run(nil)
				r.whole(5, usual...)
				if n := r.asked("GET", "/$export"); n != 1 {
					r.t.Errorf("at %d, after %v: it was begun %d times", at, after, n)
				}
				if n := r.asked("GET", ".ndjson") - before; n != files-len(there) {
					r.t.Errorf("at %d, after %v: %d files were there, and %d came", at, after, len(there), n)
				}
			})
		}
		steps = max(steps, made)
		if at > made {
			break
		}
	}
	if steps < 9 { // asked, running, 3 polls, manifest, 3 files, complete
		t.Errorf("%d steps", steps)
	}
}

// Killed within a file: what there is of it is under no name of the export, and the file comes whole.
func TestRun_KilledWithinAFile(t *testing.T) {
	inBubble(t, simulated(redoxsim.Export{Resources: 50, LineBytes: 4000, Polls: -1}), func(r *rig) {
		ctx, kill := context.WithCancelCause(r.t.Context())
		defer kill(nil)
		made := 0
		_, err := r.export(func(c *Config) {
			c.Store, c.Parallel = killing{Store: c.Store, kill: kill, at: 5, half: true, made: &made}, 1
		}).Run(ctx)
		if !errors.Is(err, errKilled) {
			r.t.Fatal(err)
		}
		if there, err := filepath.Glob(filepath.Join(r.dir, "*"+partSuffix)); err != nil || len(there) != 1 {
			r.t.Fatalf("%d parts, %v", len(there), err)
		}
		result := r.run(nil)
		r.whole(50, usual...)
		if there, err := filepath.Glob(filepath.Join(r.dir, "*"+partSuffix)); err != nil || len(there) != 0 || !result.OK() {
			r.t.Errorf("%d parts, %v", len(there), err)
		}
	})
}

// Between two questions is what the server asks for, and where it asks for nothing more and more time.
func TestRun_WaitsAsTold(t *testing.T) {
	for name, tt := range map[string]struct {
		export      redoxsim.Export
		least, most time.Duration
	}{
		"seconds":    {redoxsim.Export{Polls: 3, RetryAfter: "20", Every: 20 * time.Second}, 60 * time.Second, 65 * time.Second},
		"a fraction": {redoxsim.Export{Polls: 3, RetryAfter: "0.5"}, 1500 * time.Millisecond, 4 * time.Second},
		"nothing":    {redoxsim.Export{Polls: 8, RetryAfter: "-"}, 140 * time.Second, 250 * time.Second},
		"nonsense":   {redoxsim.Export{Polls: 2, RetryAfter: "soon"}, 4 * time.Second, 10 * time.Second},
		"for ever":   {redoxsim.Export{Polls: 1, RetryAfter: "1e300"}, time.Hour, time.Hour + time.Minute},
		"slow work":  {redoxsim.Export{Takes: 45 * time.Minute, RetryAfter: "600"}, 45 * time.Minute, 51 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, simulated(tt.export), func(r *rig) {
				if d := taking(func() { r.run(nil) }); d < tt.least || d > tt.most {
					r.t.Errorf("it took %s", d)
				}
				for _, a := range r.Redox.Arrivals() {
					if a.Status == 429 {
						r.t.Error("it was asked about too soon")
					}
				}
			})
		})
	}
}

// Who goes on keeps to what the server has asked of whoever was there before.
func TestRun_WaitsAsItsPredecessorWasTold(t *testing.T) {
	inBubble(t, simulated(redoxsim.Export{Polls: 1, RetryAfter: "300", Every: 299 * time.Second}), func(r *rig) {
		ctx, kill := context.WithTimeoutCause(r.t.Context(), 10*time.Second, errKilled)
		defer kill()
		if _, err := r.export(nil).Run(ctx); !errors.Is(err, errKilled) {
			r.t.Fatal(err)
		}
		if d := taking(func() { r.run(nil) }); d < 280*time.Second {
			r.t.Errorf("after %s", d)
		}
	})
}

// Another export in the same place is refused, and that one goes on.
func TestRun_OtherExport(t *testing.T) {
	inBubble(t, simulated(redoxsim.Export{}), func(r *rig) {
		r.run(nil)
		for _, change := range []func(*Config){
			func(c *Config) { c.Source = "clinic-b" },
			func(c *Config) { c.Request.Path = "hospital/Development/$export" },
			func(c *Config) { c.Request.Types = usual },
			func(c *Config) { c.Request.Post = true },
		} {
			if _, err := r.export(change).Run(r.t.Context()); !errors.Is(err, ErrOther) {
				r.t.Error(err)
			}
		}
		r.run(nil)
	})
}

// A file over redox.max_answer.request ends with an error that names the key. What is there stays, and
// once the key is raised the rest comes.
func TestRun_FileOverTheLimit(t *testing.T) {
	o := simulated(redoxsim.Export{Resources: 10, LineBytes: 1000})
	o.Client = func(c *redox.Config) { c.MaxAnswer = 9_000 }
	inBubble(t, o, func(r *rig) {
		result, err := r.export(func(c *Config) { c.Parallel = 1 }).Run(r.t.Context())
		if err == nil || !strings.Contains(err.Error(), "redox.max_answer.request") || result.Complete {
			r.t.Fatalf("%+v, %v", result, err)
		}
		if n := r.asked("GET", "Patient-1.ndjson"); n != 1 {
			r.t.Errorf("it was asked for %d times", n)
		}
		if names, err := filepath.Glob(filepath.Join(r.dir, "*.ndjson")); err != nil || len(names) != 0 {
			r.t.Errorf("%v, %v", names, err)
		}
	})
}
