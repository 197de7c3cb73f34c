package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/cmd/redoxworker/internal/cli"
	"github.com/redoxworker/redoxworker/config"
	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/worker/service/registry"
)

// all is the number of sources that are configured.
func (f *fleetRun) all() int { return slices.Max(f.bench.Sources) + f.bench.Idle }

// fleetLine configures a source.
func fleetLine(n int) string {
	return fmt.Sprintf("  %s: {id: %s, key: main}\n", sourceName(n), sourceID(n))
}

// mainFile writes it with n sources and says what is in it.
func (f *fleetRun) mainFile(n int, more string) error {
	var list strings.Builder
	for i := range n {
		list.WriteString(fleetLine(i))
	}
	if n > 0 {
		more += "sources:\n" + list.String()
	}
	return cli.ReplaceFile(f.config(), fmt.Appendf(nil, `
nats: {url: %q}
redox: {base_url: %q, blob_url: %q}
keys:
  main: {client_id: bench, kid: bench, private_key_file: %q}
worker: {concurrency: %d}
quota: {scope: none}
admin: {listen: "127.0.0.1:0"}
log: {format: json}
%s`, f.natsURL(), f.simURL, f.simURL, f.key, f.inFlight(), more))
}

func (f *fleetRun) config() string { return filepath.Join(f.dir, "redoxworker.yaml") }

// inFlight is the one that was asked for, else the worker's default.
func (f *fleetRun) inFlight() int {
	if len(f.bench.InFlight) == 1 {
		return f.bench.InFlight[0]
	}
	return 64
}

// inRegistry has all sources in the registry.
func (f *fleetRun) inRegistry(ctx context.Context) error {
	r := registry.New(f.conn.js, registry.Options{})
	put := func(n int) error {
		_, err := r.Put(ctx, sourceName(n), config.Source{ID: sourceID(n), Key: "main"}, 0)
		return err
	}
	for n := range f.all() {
		if err := put(n); err != nil {
			return err
		}
	}
	if err := f.mainFile(0, "registry: true\n"); err != nil {
		return err
	}
	return errors.Join(f.place(ctx, "in the registry", put), f.stopWorker("in the registry"))
}

// inDirectory has each source in a file of sources_dir.
func (f *fleetRun) inDirectory(ctx context.Context) error {
	dir := filepath.Join(f.dir, "sources.d")
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	put := func(n int) error {
		return cli.ReplaceFile(filepath.Join(dir, sourceName(n)+".yaml"), []byte("sources:\n"+fleetLine(n)))
	}
	for n := range f.all() {
		if err := put(n); err != nil {
			return err
		}
	}
	if err := f.mainFile(0, fmt.Sprintf("sources_dir: %q\n", dir)); err != nil {
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
	took, err := f.oneMore(ctx, put)
	if err != nil {
		return err
	}
	f.seconds(where, fleetChange, took)
	u, err := f.worker.use()
	f.figure(where, fleetWorkerRSS, "MB", u.peak)
	return err
}

// startWorker waits until the worker is ready.
func (f *fleetRun) startWorker(ctx context.Context, where string) (err error) {
	from := time.Now()
	if f.worker, err = startProcess(ctx, f.app, f.dir, "worker", "", "run", "--config", f.config()); err != nil {
		return err
	}
	address, err := f.worker.says(ctx, "address")
	if err != nil {
		return err
	}
	f.admin = "http://" + address
	if err := f.worker.await(ctx, f.admin+"/readyz"); err != nil {
		return err
	}
	f.seconds(where, fleetReady, time.Since(from))
	return nil
}

func (f *fleetRun) stopWorker(where string) error {
	took, err := f.worker.stop()
	f.seconds(where, "worker stopped", took)
	return err
}

// oneMore adds a source of which a message waits, and returns how long its answer took.
func (f *fleetRun) oneMore(ctx context.Context, put func(n int) error) (time.Duration, error) {
	load := loopLoad{conn: f.conn.conn, js: f.conn.js, body: messageBody(1000), sources: 1, from: f.all()}
	replies, err := load.listen()
	if err != nil {
		return 0, err
	}
	defer replies.close()
	reached := replies.await(1)
	if _, err := f.conn.js.PublishMsg(ctx, load.message(replies)); err != nil {
		return 0, err
	}
	from := time.Now()
	if err := put(f.all()); err != nil {
		return 0, err
	}
	err = within(ctx, reached, stepPatience, "the new source's message was not answered")
	return time.Since(from), err
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
	err = readJSON(ctx, fmt.Sprintf("http://127.0.0.1:%d/varz", f.ports[1]), &varz)
	u.messages = varz.In + varz.Out
	return u, err
}

// fleetConn is the driver's connection, which outlives a restart of the server.
type fleetConn struct {
	conn *nats.Conn
	js   jetstream.JetStream
}

func openFleetConn(url string) (*fleetConn, error) {
	conn, err := nats.Connect(url, nats.MaxReconnects(-1), nats.ReconnectWait(10*time.Millisecond), nats.ReconnectJitter(0, 0))
	if err != nil {
		return nil, err
	}
	js, err := jetstream.New(conn, jetstream.WithPublishAsyncMaxPending(1000))
	return &fleetConn{conn, js}, err
}

func (c *fleetConn) close() { c.conn.Close() }

// stored is how many messages the queue holds.
func (c *fleetConn) stored(ctx context.Context) (uint64, error) {
	stream, err := c.js.Stream(ctx, contract.Prefix("").OutStream())
	if err != nil {
		return 0, err
	}
	return stream.CachedInfo().State.Msgs, nil
}
