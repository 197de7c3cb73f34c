package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/auth"
	"github.com/redoxworker/redoxworker/cmd/redoxworker/internal/cli"
	"github.com/redoxworker/redoxworker/outbox/topology"
)

// drive measures every setting.
func (b *loopCommand) drive(ctx context.Context, a *cli.App) (results []loopResult, err error) {
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
	progress := newLoopProgress(a, len(b.InFlight)*len(b.Size)*len(b.Sources)*b.Rounds*2)
	defer progress.end()
	for _, n := range b.InFlight {
		for _, size := range b.Size {
			for _, sources := range b.Sources {
				r, err := b.measureSetting(ctx, a, dir, loopSetting{n, int(size), sources}, progress)
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
func (b *loopCommand) measureSetting(ctx context.Context, a *cli.App, dir string, s loopSetting, progress *loopProgress) (_ loopResult, err error) {
	stand, err := startChild(ctx, a, roleStand, "--latency", b.Latency.String())
	if err != nil {
		return loopResult{}, err
	}
	defer func() { err = errors.Join(err, stand.stop()) }()
	var at standAddresses
	if err := stand.line(&at); err != nil {
		return loopResult{}, err
	}
	conn, err := nats.Connect(at.NATS)
	if err != nil {
		return loopResult{}, err
	}
	defer conn.Close()
	js, err := jetstream.New(conn, jetstream.WithPublishAsyncMaxPending(1000))
	if err != nil {
		return loopResult{}, err
	}
	if _, err := (topology.Topology{}).Ensure(ctx, js); err != nil {
		return loopResult{}, err
	}
	file := filepath.Join(dir, "redoxworker.yaml")
	if err := os.WriteFile(file, []byte(loopConfig(at, dir, s.inFlight, s.sources+b.Idle)), 0o600); err != nil {
		return loopResult{}, err
	}
	rounds := newLoopRounds(s)
	load := loopLoad{conn: conn, js: js, body: messageBody(s.size), sources: s.sources, keys: b.Keys}
	for range b.Rounds {
		for _, role := range []processRole{roleWorker, roleRaw} {
			progress.step(s, role)
			m, err := b.measure(ctx, a, &load, role, file, s)
			if err != nil {
				return loopResult{}, err
			}
			rounds.add(role, m)
		}
	}
	return rounds.result(), nil
}

// measure starts the worker or the raw loop, lets it work, and ends it.
func (b *loopCommand) measure(ctx context.Context, a *cli.App, load *loopLoad, role processRole, file string, s loopSetting) (m measurement, err error) {
	args := []string{"--config", file}
	if b.Profile != "" {
		args = append(args, "--profile", b.Profile)
	}
	child, err := startChild(ctx, a, role, args...)
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

// maxBacklog bounds what one measurement stores, in bytes.
const maxBacklog = 256 << 20

func (b *loopCommand) amount(s loopSetting) loopAmount {
	spare := 2*s.inFlight + 200
	published := min(b.Messages+spare, max(maxBacklog/s.size, spare+1))
	return loopAmount{published: published, measured: published - spare/2, limit: b.Duration}
}

// loopConfig is what a user would write, but for the quota, which the raw loop does not
// keep either; everything else is at its default.
func loopConfig(at standAddresses, dir string, inFlight, sources int) string {
	var list strings.Builder
	for n := range sources {
		fmt.Fprintf(&list, "  %s: {id: %s, key: main}\n", sourceName(n), sourceID(n))
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
