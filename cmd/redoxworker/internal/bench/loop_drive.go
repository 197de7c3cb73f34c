package bench

import (
	"context"
	"errors"
	"fmt"

	"github.com/redoxworker/redoxworker/cmd/redoxworker/internal/cli"
	"github.com/redoxworker/redoxworker/outbox/topology"
)

// drive measures every setting.
func (b *loopCommand) drive(ctx context.Context, a *cli.App) (results []loopResult, err error) {
	progress := newLoopProgress(a, len(b.InFlight)*len(b.Size)*len(b.Sources)*b.Rounds*2)
	defer progress.end()
	for _, n := range b.InFlight {
		for _, size := range b.Size {
			for _, sources := range b.Sources {
				r, err := b.measureSetting(ctx, a, loopSetting{n, int(size), sources}, progress)
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
func (b *loopCommand) measureSetting(ctx context.Context, a *cli.App, s loopSetting, progress *loopProgress) (_ loopResult, err error) {
	r, err := newRig(a, sharedKey)
	if err != nil {
		return loopResult{}, err
	}
	defer func() { err = errors.Join(err, r.end()) }()
	at, err := r.startStand(ctx, b.Latency)
	if err != nil {
		return loopResult{}, err
	}
	if err := errors.Join(r.connect(ctx, at.NATS, topology.Topology{}), r.configureLoop(at, s.inFlight, s.sources+b.Idle)); err != nil {
		return loopResult{}, err
	}
	rounds := newLoopRounds(s)
	load := loopLoad{conn: r.conn, js: r.js, body: messageBody(s.size), sources: s.sources, keys: b.Keys}
	for range b.Rounds {
		for _, role := range []processRole{roleWorker, roleRaw} {
			progress.step(s, role)
			m, err := b.measure(ctx, a, &load, role, r.config, s)
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
	child, err := startRole(ctx, a, role, args...)
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

// configureLoop writes the configuration of worker and raw loop.
func (r *rig) configureLoop(at standAddresses, inFlight, sources int) error {
	return r.configure(at.NATS, at.API, sourceLines(sources), workerLine(inFlight), noQuota, `admin: {listen: "127.0.0.1:0"}`)
}

// workerLine is a line of the configuration.
func workerLine(inFlight int) string { return fmt.Sprintf("worker: {concurrency: %d}", inFlight) }
