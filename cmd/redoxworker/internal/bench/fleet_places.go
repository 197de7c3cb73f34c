package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/redoxworker/redoxworker/cmd/redoxworker/internal/cli"
	"github.com/redoxworker/redoxworker/config"
	"github.com/redoxworker/redoxworker/worker/service/registry"
)

// all is the number of sources that are configured.
func (f *fleetRun) all() int { return slices.Max(f.bench.Sources) + f.bench.Idle }

// mainFile writes it with n sources and says what is in it.
func (f *fleetRun) mainFile(n int, further string) error {
	return f.rig.configure(f.natsURL(), f.rig.sim, sourceLines(n), workerLine(f.inFlight()), noQuota, fmt.Sprintf("admin: {listen: %q}", f.admin()), further)
}

// inFlight is the one that was asked for, else the worker's default.
func (f *fleetRun) inFlight() int {
	if len(f.bench.InFlight) == 1 {
		return f.bench.InFlight[0]
	}
	return 64
}

// inRegistry has all sources in the registry.
func (f *fleetRun) inRegistry(ctx context.Context) error {
	r := registry.New(f.rig.js, registry.Options{})
	put := func(n int) error {
		_, err := r.Put(ctx, sourceName(n), config.Source{ID: sourceID(n), Key: sharedKey}, 0)
		return err
	}
	for n := range f.all() {
		if err := put(n); err != nil {
			return err
		}
	}
	if err := f.mainFile(0, "registry: true"); err != nil {
		return err
	}
	return errors.Join(f.place(ctx, "in the registry", put), f.stopWorker("in the registry"))
}

// inDirectory has each source in a file of sources_dir.
func (f *fleetRun) inDirectory(ctx context.Context) error {
	dir := filepath.Join(f.rig.dir, "sources.d")
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	put := func(n int) error {
		return cli.ReplaceFile(filepath.Join(dir, sourceName(n)+".yaml"), []byte("sources:\n"+sourceLine(n, sharedKey)))
	}
	for n := range f.all() {
		if err := put(n); err != nil {
			return err
		}
	}
	if err := f.mainFile(0, fmt.Sprintf("sources_dir: %q", dir)); err != nil {
		return err
	}
	return errors.Join(f.place(ctx, "in sources_dir", put), f.stopWorker("in sources_dir"))
}

// inMainFile has all sources in the main file. The worker goes on.
func (f *fleetRun) inMainFile(ctx context.Context) error {
	if err := f.mainFile(f.all(), ""); err != nil {
		return err
	}
	return f.place(ctx, "in the main file", func(n int) error { return f.mainFile(n+1, "") })
}

// place measures a worker whose sources are in a place: its start, memory, what goes on when all
// is quiet, and one source more.
func (f *fleetRun) place(ctx context.Context, where string, put func(n int) error) error {
	if err := f.startWorker(ctx, where); err != nil {
		return err
	}
	if err := f.quiet(ctx, where); err != nil {
		return err
	}
	if err := f.oneMore(ctx, where, put); err != nil {
		return err
	}
	u, err := f.worker.use()
	f.figure(where, fleetWorkerRSS, "MB", u.peak)
	return err
}

// startWorker waits until the worker is ready.
func (f *fleetRun) startWorker(ctx context.Context, where string) (err error) {
	from := time.Now()
	if f.worker, err = startRole(ctx, f.rig.app, roleWorker, "--config", f.rig.config); err != nil {
		return err
	}
	if err := f.workerReady(ctx); err != nil {
		return err
	}
	f.seconds(where, fleetReady, from)
	return nil
}

func (f *fleetRun) workerReady(ctx context.Context) error {
	return f.worker.await(ctx, "http://"+f.admin()+"/readyz")
}

func (f *fleetRun) stopWorker(where string) error {
	from := time.Now()
	err := f.worker.stop()
	f.seconds(where, "worker stopped", from)
	return err
}

// oneMore adds a source of which a message waits, and measures how long its answer takes.
func (f *fleetRun) oneMore(ctx context.Context, where string, put func(n int) error) error {
	load := loopLoad{conn: f.rig.conn, js: f.rig.js, body: messageBody(1000), sources: 1, from: f.all()}
	replies, err := load.listen()
	if err != nil {
		return err
	}
	defer replies.close()
	reached := replies.await(1)
	if err := load.store(ctx, replies, 1); err != nil {
		return err
	}
	from := time.Now()
	if err := put(f.all()); err != nil {
		return err
	}
	if err := within(ctx, reached, stepPatience, "the new source's message was not answered"); err != nil {
		return err
	}
	f.seconds(where, fleetChange, from)
	return nil
}

// quiet watches what goes on when nothing is to be done.
func (f *fleetRun) quiet(ctx context.Context, where string) error {
	if err := pauseFor(ctx, f.bench.Quiet/4); err != nil { // until it is
		return err
	}
	before, err := f.uses(ctx)
	if err != nil {
		return err
	}
	from := time.Now()
	if err := pauseFor(ctx, f.bench.Quiet); err != nil {
		return err
	}
	after, err := f.uses(ctx)
	took := time.Since(from)
	ofCore := func(before, after processUse) float64 {
		return 100 * (after.cpu - before.cpu).Seconds() / took.Seconds()
	}
	f.figure(where, fleetServerCPU, "%", ofCore(before.server, after.server))
	f.figure(where, fleetWorkerCPU, "%", ofCore(before.worker, after.worker))
	f.figure(where, fleetMessages, "/s", float64(after.messages-before.messages)/took.Seconds())
	f.figure(where, "quiet: worker memory", "MB", after.worker.rss)
	f.figure(where, "quiet: server memory", "MB", after.server.rss)
	return err
}

// fleetUse is what all of a fleet have used.
type fleetUse struct {
	server, worker processUse
	messages       int64
}

func (f *fleetRun) uses(ctx context.Context) (u fleetUse, err error) {
	if u.server, err = f.server.use(); err != nil {
		return u, err
	}
	if u.worker, err = f.worker.use(); err != nil {
		return u, err
	}
	var varz struct {
		In  int64 `json:"in_msgs"`
		Out int64 `json:"out_msgs"`
	}
	err = readJSON(ctx, f.monitor("varz"), &varz)
	u.messages = varz.In + varz.Out
	return u, err
}
