package bench

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/redoxworker/redoxworker/cmd/redoxworker/internal/cli"
)

// fleetRequests is which messages of a fleet are REQUESTs: one of so many.
const fleetRequests = 10

// busy measures the rate by the number of sources whose messages come in turn, round by round.
func (f *fleetRun) busy(ctx context.Context) error {
	rates, cpu := make(map[int][]float64), make(map[int][2][]float64)
	load := f.load()
	for range f.bench.Rounds {
		for _, n := range f.bench.Sources {
			load.sources = n
			before, err := f.uses(ctx)
			if err != nil {
				return err
			}
			rate, err := f.round(ctx, load)
			if err != nil {
				return err
			}
			after, err := f.uses(ctx)
			if err != nil {
				return err
			}
			each := func(d time.Duration) float64 {
				return float64(d.Microseconds()) / float64(f.bench.Messages)
			}
			rates[n] = append(rates[n], rate)
			of := cpu[n]
			of[0], of[1] = append(of[0], each(after.worker.cpu-before.worker.cpu)), append(of[1], each(after.server.cpu-before.server.cpu))
			cpu[n] = of
		}
	}
	for _, n := range f.bench.Sources {
		where := cli.Counted(n, "source") + " with messages"
		f.figure(where, "rate, median", "/s", median(slices.Clone(rates[n])))
		f.figure(where, "worker, of a message", "µs", median(cpu[n][0]))
		f.figure(where, "server, of a message", "µs", median(cpu[n][1]))
	}
	few, many := slices.Min(f.bench.Sources), slices.Max(f.bench.Sources)
	f.figure(fmt.Sprintf("%d against %d", many, few), fleetLoss, "%", 100*(1-median(rates[many])/median(rates[few])))
	return f.peaks(ctx, "after messages")
}

func (f *fleetRun) load() *loopLoad {
	return &loopLoad{conn: f.rig.conn, js: f.rig.js, body: messageBody(int(f.bench.Size[0])), keys: f.bench.Keys, requests: fleetRequests}
}

// round publishes messages and takes their answers.
func (f *fleetRun) round(ctx context.Context, load *loopLoad) (rate float64, err error) {
	replies, err := load.listen()
	if err != nil {
		return 0, err
	}
	defer replies.close()
	reached, from := replies.await(f.bench.Messages), time.Now()
	if err := load.store(ctx, replies, f.bench.Messages); err != nil {
		return 0, err
	}
	if err := within(ctx, reached, fleetPatience, "answers are missing"); err != nil {
		return 0, err
	}
	rate = float64(f.bench.Messages) / time.Since(from).Seconds()
	if n := replies.refused(); n > 0 {
		return 0, fmt.Errorf("%d messages were not delivered", n)
	}
	return rate, f.emptied(ctx)
}

// fleetPatience is how long one round may take.
const fleetPatience = 5 * time.Minute

// peaks notes memory and consumers.
func (f *fleetRun) peaks(ctx context.Context, where string) error {
	u, err := f.uses(ctx)
	if err != nil {
		return err
	}
	queue, err := f.queue(ctx)
	f.figure(where, fleetServerRSS, "MB", u.server.peak)
	f.figure(where, fleetWorkerRSS, "MB", u.worker.peak)
	f.figure(where, fleetConsumers, "", float64(queue.Consumers))
	return err
}

// restarted stops the server while a worker has its consumers and works on a backlog, starts it,
// and then the worker as well.
func (f *fleetRun) restarted(ctx context.Context) error {
	if err := f.cycle(ctx, "nothing waits"); err != nil {
		return err
	}
	load := f.load()
	load.sources = slices.Max(f.bench.Sources)
	replies, err := load.listen()
	if err != nil {
		return err
	}
	defer replies.close()
	if err := load.store(ctx, replies, f.bench.Backlog); err != nil {
		return err
	}
	queue, err := f.queue(ctx)
	if err != nil {
		return err
	}
	where := fmt.Sprintf("%d of %d wait", queue.Msgs, f.bench.Backlog)
	if err := f.cycle(ctx, where); err != nil {
		return err
	}
	if err := f.stopWorker(where); err != nil {
		return err
	}
	if queue, err = f.queue(ctx); err != nil {
		return err
	}
	where, from := fmt.Sprintf("%d still wait", queue.Msgs), time.Now()
	if err := f.startWorker(ctx, where); err != nil {
		return err
	}
	if err := f.emptied(ctx); err != nil {
		return err
	}
	f.figure(where, "rate to the last", "/s", float64(queue.Msgs)/time.Since(from).Seconds())
	return f.peaks(ctx, where)
}

// cycle stops and starts the server, and waits until the worker is ready again.
func (f *fleetRun) cycle(ctx context.Context, where string) error {
	if err := f.peaks(ctx, where); err != nil {
		return err
	}
	from := time.Now()
	if err := f.server.stop(); err != nil {
		return err
	}
	f.seconds(where, fleetStop, from)
	from = time.Now()
	if err := f.startServer(ctx); err != nil {
		return err
	}
	f.seconds(where, fleetRestart, from)
	from = time.Now()
	if err := f.workerReady(ctx); err != nil {
		return err
	}
	f.seconds(where, "then until the worker is ready", from)
	return f.server.until(ctx, func() error {
		if !f.rig.conn.IsConnected() {
			return nats.ErrDisconnected
		}
		return nil
	})
}
