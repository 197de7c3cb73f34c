package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/auth"
	"github.com/redoxworker/redoxworker/cmd/redoxworker/internal/cli"
	"github.com/redoxworker/redoxworker/outbox/topology"
)

// benchSource is the name of a source of the benchmark.
func benchSource(n int) string { return "bench-" + strconv.Itoa(n) }

// benchSetting is one combination of the flags.
type benchSetting struct {
	inFlight, size, sources int
}

// drive measures every setting.
func (b *benchCommand) drive(ctx context.Context, a *cli.App) (results []benchResult, err error) {
	dir, err := os.MkdirTemp("", "redoxworker-bench-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	key, err := auth.GenerateKey(auth.ES384, "bench")
	if err != nil {
		return nil, err
	}
	if err := auth.WriteKeyFile(filepath.Join(dir, "key.pem"), key); err != nil {
		return nil, err
	}
	progress := newBenchProgress(a, len(b.InFlight)*len(b.Size)*len(b.Sources)*b.Rounds*2)
	defer progress.end()
	for _, n := range b.InFlight {
		for _, size := range b.Size {
			for _, sources := range b.Sources {
				r, err := b.measureSetting(ctx, a, dir, benchSetting{n, int(size), sources}, progress)
				if err != nil {
					return nil, err
				}
				results = append(results, r)
			}
		}
	}
	return results, nil
}

// measureSetting runs all rounds of one setting against a fresh stand.
func (b *benchCommand) measureSetting(ctx context.Context, a *cli.App, dir string, s benchSetting, progress *benchProgress) (_ benchResult, err error) {
	stand, err := startBenchChild(ctx, a, benchStand, "--latency", b.Latency.String())
	if err != nil {
		return benchResult{}, err
	}
	defer func() { err = errors.Join(err, stand.stop()) }()
	var at benchAddresses
	if err := stand.line(&at); err != nil {
		return benchResult{}, err
	}
	conn, err := nats.Connect(at.NATS)
	if err != nil {
		return benchResult{}, err
	}
	defer conn.Close()
	js, err := jetstream.New(conn, jetstream.WithPublishAsyncMaxPending(1000))
	if err != nil {
		return benchResult{}, err
	}
	if _, err := (topology.Topology{}).Ensure(ctx, js); err != nil {
		return benchResult{}, err
	}
	file := filepath.Join(dir, "redoxworker.yaml")
	if err := os.WriteFile(file, []byte(benchConfig(at, dir, s.inFlight, s.sources+b.Idle)), 0o600); err != nil {
		return benchResult{}, err
	}
	rounds := newBenchRounds(s)
	load := benchLoad{conn: conn, js: js, body: benchBody(s.size), sources: s.sources, keys: b.Keys}
	for range b.Rounds {
		for _, role := range []benchRole{benchWorker, benchRaw} {
			progress.step(s, role)
			m, err := b.measure(ctx, a, &load, role, file, s)
			if err != nil {
				return benchResult{}, err
			}
			rounds.add(role, m)
		}
	}
	return rounds.result(), nil
}

// measure starts the worker or the raw loop, lets it work, and ends it.
func (b *benchCommand) measure(ctx context.Context, a *cli.App, load *benchLoad, role benchRole, file string, s benchSetting) (m measurement, err error) {
	args := []string{"--config", file}
	if b.Profile != "" {
		args = append(args, "--profile", b.Profile)
	}
	child, err := startBenchChild(ctx, a, role, args...)
	if err != nil {
		return m, err
	}
	defer func() { err = errors.Join(err, child.stop()) }()
	replies, err := load.listen()
	if err != nil {
		return m, err
	}
	defer replies.close()
	if err := load.first(ctx, replies); err != nil {
		return m, child.failed(err)
	}
	latency, err := load.paced(ctx, replies, b.Rate, b.Duration/2)
	if err != nil {
		return m, err
	}
	if m, err = load.full(ctx, replies, child, b.amount(s)); err != nil {
		return m, err
	}
	m.latency = latency
	if replies.refused() > 0 {
		return m, fmt.Errorf("bench: the %s did not deliver %d messages\n%s", role, replies.refused(), child.stderr.String())
	}
	return m, load.purge(ctx)
}

// benchMaxBacklog bounds what one measurement stores, in bytes.
const benchMaxBacklog = 256 << 20

// benchAmount bounds one measurement at full load.
type benchAmount struct {
	published int           // messages
	measured  int           // replies after which the clock stops; fewer, so that there is work to the last moment
	limit     time.Duration // after which it stops anyway
}

func (b *benchCommand) amount(s benchSetting) benchAmount {
	spare := 2*s.inFlight + 200
	published := min(b.Messages+spare, max(benchMaxBacklog/s.size, spare+1))
	return benchAmount{published: published, measured: published - spare/2, limit: b.Duration}
}

// benchConfig is what a user would write, but for the quota, which the raw loop does not
// keep either; everything else is at its default.
func benchConfig(at benchAddresses, dir string, inFlight, sources int) string {
	var list strings.Builder
	for n := range sources {
		fmt.Fprintf(&list, "  %s: {id: 7ce6f387-c33c-417d-8682-81e83628cbd9, key: main}\n", benchSource(n))
	}
	return fmt.Sprintf(`
nats: {url: %q}
redox: {base_url: %q}
keys:
  main: {client_id: bench, kid: bench, private_key_file: %q}
sources:
%sworker: {concurrency: %d}
quota: {scope: none}
admin: {listen: "127.0.0.1:0"}
log: {format: json}
`, at.NATS, at.API, filepath.Join(dir, "key.pem"), list.String(), inFlight)
}

// benchProgress shows on a terminal what is being measured.
type benchProgress struct {
	show        func(format string, args ...any)
	done, total int
}

func newBenchProgress(a *cli.App, total int) *benchProgress {
	p := &benchProgress{total: total, show: func(string, ...any) {}}
	if cli.IsTerminal(a.Stderr) {
		p.show = func(format string, args ...any) { fmt.Fprintf(a.Stderr, "\r\x1b[K"+format, args...) }
	}
	return p
}

func (p *benchProgress) step(s benchSetting, role benchRole) {
	p.show("%3d %%  %d in flight, %s, %s: %s", 100*p.done/p.total, s.inFlight, benchSize(s.size), cli.Counted(s.sources, "source"), role)
	p.done++
}

func (p *benchProgress) end() { p.show("") }

// benchID names a message of one measurement.
func benchID(inbox string, n int) string { return inbox + "." + strconv.Itoa(n) }
