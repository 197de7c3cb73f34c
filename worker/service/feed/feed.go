// Package feed follows the places that sources come from: the main file, the files of
// sources_dir and the registry in NATS. It hands on the whole of it after each change. What
// cannot be used changes nothing and is named.
package feed

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/auth/filewatch"
	"github.com/redoxworker/redoxworker/config"
	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/worker/service/registry"
)

const (
	// filesPoll is how often files are read although no event came: network file systems send
	// none.
	filesPoll = 30 * time.Second
	// applyAgain is when what could not be applied is tried again.
	applyAgain = 5 * time.Second
	// firstTimeout bounds the wait for the registry at the start.
	firstTimeout = 5 * time.Second
)

// Options configures a [Feed].
type Options struct {
	// Settings are what the configuration was loaded with, so that its files can be read again.
	// nil means that they are not followed.
	Settings *config.Options
	// Apply puts a complete configuration to use, of which only sources and keys differ from the
	// one before. It is never called twice at once. After an error the one in use stays, and Apply
	// is called again. After an [outbox.ErrPermission] the new configuration is in use, and the
	// error is shown until the next one is. Required.
	Apply func(config.Config) error
	// Unusable returns, by key, why no credentials can be made of it: the file with such a key is
	// refused, and no other. nil means that it is not known.
	Unusable func(*config.Config) map[string]error
	// Level is called with the log.level of the main file when that changes. It must be quick. nil
	// means that the level is fixed.
	Level func(level string)
	// Logger; nil discards.
	Logger *slog.Logger
}

// Feed follows sources while Run runs. It is safe for concurrent use.
type Feed struct {
	options Options
	started *config.Config // what was in use first
	log     *slog.Logger

	mu       sync.Mutex
	main     *config.Config
	logLevel string   // as the main file has it
	mainErr  []string // why the main file cannot be used, or what of it is not taken over
	dir      *config.Dir
	registry registry.Snapshot
	set      *config.Set
	revision uint64
	applied  *config.Config
	failed   string // why the last set could not be applied
	partly   string // what was not permitted when the present one was
	said     map[string]bool
	changed  chan struct{} // closed when the files are others

	status atomic.Pointer[Status]
}

// Status is what a feed knows.
type Status struct {
	// Revision counts the sets that were put to use.
	Revision uint64 `json:"revision"`
	// Sources that are served, and how many parts were refused: files and entries.
	Sources int `json:"sources"`
	Refused int `json:"refused"`
	// Problems is one line for each thing that is wrong, with its place and what to do. It is
	// cut at 100.
	Problems []string `json:"-"`
}

const maxProblems = 100

// New returns a feed of the configuration c, which is in use: Apply is not called with it. c may
// already have what the files of sources_dir say.
func New(c *config.Config, o Options) *Feed {
	started := *c
	started.Keys, started.Sources = nil, nil
	f := &Feed{options: o, log: cmp.Or(o.Logger, slog.New(slog.DiscardHandler)), started: &started, main: c, applied: c, logLevel: c.Log.Level,
		said: make(map[string]bool), changed: make(chan struct{})}
	f.status.Store(&Status{Sources: len(c.Sources)})
	return f
}

// Needed reports whether there is anything to follow.
func (f *Feed) Needed() bool { return f.options.Settings != nil || f.started.Registry }

// Status returns what is served and what is wrong.
func (f *Feed) Status() Status { return *f.status.Load() }

// First applies what there is at present. It gives the registry some seconds to answer.
func (f *Feed) First(ctx context.Context, js jetstream.JetStream) {
	var first registry.Snapshot
	if f.started.Registry {
		ctx, cancel := context.WithTimeout(ctx, firstTimeout)
		defer cancel()
		var entries []registry.Entry
		entries, first.Err = f.registryOf(js).List(ctx)
		for _, e := range entries {
			first.Parts = append(first.Parts, e.Part)
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.registry = first
	f.read()
	f.update()
}

func (f *Feed) registryOf(js jetstream.JetStream) *registry.Registry {
	return registry.New(js, registry.Options{Prefix: contract.Prefix(f.started.NATS.Prefix)})
}

// Run follows files, and, where the configuration asks for it, the registry, until ctx ends.
func (f *Feed) Run(ctx context.Context, js jetstream.JetStream) {
	var all sync.WaitGroup
	defer all.Wait()
	if f.options.Settings != nil {
		all.Go(func() { f.followFiles(ctx) })
	}
	if f.started.Registry {
		all.Go(func() { f.registryOf(js).Watch(ctx, f.registered) })
	}
	all.Go(func() { f.retry(ctx) })
}

// Reread reads the files now, without waiting until they are quiet.
func (f *Feed) Reread() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.read()
	f.update()
}

// followFiles rereads files when they change. The files are others after that.
func (f *Feed) followFiles(ctx context.Context) {
	for ctx.Err() == nil {
		f.mu.Lock()
		files, changed := f.files(), f.changed
		f.mu.Unlock()
		watcher, err := filewatch.New(files, func() error { f.Reread(); return nil }, filewatch.Config{Poll: filesPoll})
		if err != nil {
			f.log.Error("sources: the files are not followed", "error", err)
			return
		}
		f.Reread() // for a change before the watch began
		watching, stop := context.WithCancel(ctx)
		ended := make(chan struct{})
		go func() { defer close(ended); _ = watcher.Run(watching) }()
		select {
		case <-ctx.Done():
		case <-changed:
		}
		stop()
		<-ended
	}
}

// files to watch: the main file, and those that the last look has read. The caller holds mu.
func (f *Feed) files() []string {
	files := f.main.Files()
	if f.main.SourcesDir != "" {
		files = append(files, f.main.SourcesDir)
	}
	if f.dir != nil {
		files = append(files, f.dir.Files...)
	}
	slices.Sort(files)
	return slices.Compact(files)
}

// registered takes a state of the registry. Where it cannot be read, what First has seen is as good
// as what the watch has.
func (f *Feed) registered(s registry.Snapshot) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if s.Err != nil {
		s.Parts = f.registry.Parts
	}
	f.registry = s
	f.update()
}

// retry applies again what could not be applied.
func (f *Feed) retry(ctx context.Context) {
	tick := time.NewTicker(applyAgain)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		f.mu.Lock()
		if f.failed != "" {
			f.update()
		}
		f.mu.Unlock()
	}
}

// read reads main file and directory. The caller holds mu.
func (f *Feed) read() {
	if f.options.Settings == nil {
		return
	}
	before := f.files()
	f.mainErr = nil
	next, err := config.Load(*f.options.Settings)
	if err == nil {
		err = f.usable(next)
	}
	if err != nil {
		for line := range strings.Lines(err.Error()) {
			f.mainErr = append(f.mainErr, strings.TrimSpace(line))
		}
	} else {
		f.main = f.started.WithEntries(next)
		f.level(next.Log.Level)
		for _, key := range f.started.Fixed(next) {
			if key == "log.level" && f.options.Level != nil {
				continue
			}
			f.mainErr = append(f.mainErr, key+": is fixed while the worker runs; start it anew ("+next.Origin(key)+")")
		}
	}
	f.dir = config.ReadDir(f.main, *f.options.Settings, f.dir)
	if !slices.Equal(before, f.files()) {
		close(f.changed)
		f.changed = make(chan struct{})
	}
}

// level tells of another level of the log.
func (f *Feed) level(level string) {
	if f.options.Level == nil || level == f.logLevel {
		return
	}
	say := func() { f.log.Info("the level of the log is another now", "level", level, "before", f.logLevel) }
	if level == "debug" || level == "info" { // the line is seen under the new level
		f.options.Level(level)
		say()
	} else {
		say()
		f.options.Level(level)
	}
	f.logLevel = level
}

// usable fails where a key of the main file cannot be used.
func (f *Feed) usable(c *config.Config) error {
	if f.options.Unusable == nil {
		return nil
	}
	var errs []error
	why := f.options.Unusable(c)
	for _, name := range slices.Sorted(maps.Keys(why)) {
		errs = append(errs, fmt.Errorf("keys.%s: cannot be used: %w", name, why[name]))
	}
	return errors.Join(errs...)
}

// update combines what is known, and puts it to use where that is something new. The caller
// holds mu.
func (f *Feed) update() {
	var parts []config.Part
	if f.dir != nil {
		parts = append(parts, f.dir.Parts...)
	}
	f.set = config.Combine(f.main, append(parts, f.registry.Parts...), f.set, f.options.Unusable)
	next := f.set.Config
	switch f.failed = ""; {
	case sameSources(f.applied, next):
		f.applied = next // of what files hold it has what they hold now
	default:
		err := f.apply(*next)
		if err != nil && !errors.Is(err, outbox.ErrPermission) {
			f.failed = "sources: the last change could not be put to use: " + err.Error()
			break
		}
		f.applied, f.revision, f.partly = next, f.revision+1, ""
		if err != nil {
			f.partly = "sources: the last change is in use, and this was not permitted then: " + err.Error()
		}
	}
	f.say()
}

// apply calls Apply, whose panic is an error.
func (f *Feed) apply(c config.Config) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("Options.Apply panicked (%T)", p)
		}
	}()
	return f.options.Apply(c)
}

// sameSources reports whether sources and keys are the same in both.
func sameSources(a, b *config.Config) bool {
	if !reflect.DeepEqual(a.Sources, b.Sources) || len(a.Keys) != len(b.Keys) {
		return false
	}
	for name := range a.Keys {
		if _, there := b.Keys[name]; !there || !a.SameKey(b, name) {
			return false
		}
	}
	return true
}

// say notes what is wrong, and logs what is new. The caller holds mu.
func (f *Feed) say() {
	lines := slices.Clone(f.mainErr)
	if f.dir != nil && f.dir.Problem != nil {
		lines = append(lines, f.dir.Problem.String())
	}
	if f.registry.Err != nil {
		lines = append(lines, "registry: "+f.registry.Err.Error())
	}
	for _, r := range f.set.Refused {
		for _, p := range r.Problems {
			line := p.String()
			if r.Kept {
				line += ": what it said before is in use"
			}
			lines = append(lines, line)
		}
	}
	for _, line := range []string{f.partly, f.failed} {
		if line != "" {
			lines = append(lines, line)
		}
	}
	// Who reads of it in the log and asks then is told the same.
	f.status.Store(&Status{Revision: f.revision, Sources: len(f.applied.Sources), Refused: len(f.set.Refused), Problems: lines[:min(len(lines), maxProblems)]})
	now := make(map[string]bool, len(lines))
	for _, line := range lines {
		if now[line] = true; !f.said[line] {
			f.log.Warn("sources: something cannot be used", "problem", line)
		}
	}
	for line := range maps.Keys(f.said) {
		if !now[line] {
			f.log.Info("sources: a problem is gone", "problem", line)
		}
	}
	f.said = now
}
