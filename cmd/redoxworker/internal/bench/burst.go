package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/redoxworker/redoxworker/cmd/redoxworker/internal/cli"
	"github.com/redoxworker/redoxworker/cmd/redoxworker/internal/devstack"
	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/worker/redoxsim"
)

// burstCommand has a fleet rest, then publishes a burst of SENDs, once without a quota and once
// under it. Meanwhile a REQUEST at a time is asked, by another source.
type burstCommand struct {
	sceneFleet
	Messages int               `default:"2000" placeholder:"N" help:"Messages of the burst: ${default}."`
	Sources  int               `default:"20" placeholder:"N" help:"Sources of the fleet: ${default}. The burst is of one of them."`
	Rest     time.Duration     `default:"10m" placeholder:"TIME" help:"How long nothing is sent before it: ${default}."`
	Quota    devstack.SimQuota `default:"7500/5m" placeholder:"N[/DURATION]" help:"The worker's quota, and the simulated Redox's: ${default}."`
	Requests int               `default:"200" placeholder:"N" help:"REQUESTs that are timed before the burst, one after the other: ${default}."`
}

// burstResult is what came of both bursts.
type burstResult struct {
	Messages int        `json:"messages"`
	Free     burstTimes `json:"free"` // without a quota
	Quota    burstTimes `json:"quota"`
	Ratio    float64    `json:"ratio"` // of the times that the bursts took
	// Window is the fullest window in the record of the simulated Redox, and Limit what it may hold.
	Window int `json:"window"`
	Limit  int `json:"limit"`
	// Refused counts the 429s.
	Refused int `json:"refused"`
}

// burstTimes are those of one burst.
type burstTimes struct {
	Took float64      `json:"took_seconds"` // from the first publish to the last reply
	Idle sceneLatency `json:"idle"`         // of REQUESTs before
	Busy sceneLatency `json:"busy"`         // of REQUESTs meanwhile
}

// Run measures.
func (b *burstCommand) Run(ctx context.Context, a *cli.App) error {
	if err := b.validate(); err != nil {
		return err
	}
	r, err := b.both(ctx, a)
	switch {
	case ctx.Err() != nil:
		return errors.New("interrupted")
	case err != nil:
		return err
	case a.Globals.JSON:
		return json.NewEncoder(a.Stdout).Encode(r)
	}
	show := func(name string, t burstTimes) {
		a.Printf("%-16s %d messages in %.2f s; REQUESTs: p99 %.1f ms idle (%d), %.1f ms during it (%d)\n",
			name, r.Messages, t.Took, t.Idle.P99, t.Idle.Messages, t.Busy.P99, t.Busy.Messages)
	}
	show("without a quota", r.Free)
	show("under the quota", r.Quota)
	a.Printf("ratio            %.2f\nfullest window   %d of %d; %d requests refused\n", r.Ratio, r.Window, r.Limit, r.Refused)
	return nil
}

func (b *burstCommand) validate() error {
	var mistakes mistakes
	mistakes.within("--messages", b.Messages, 1, harmMaxMany)
	mistakes.within("--sources", b.Sources, 3, harmMaxMany)
	mistakes.within("--requests", b.Requests, 1, harmMaxMany)
	mistakes.bad(b.Rest < 0 || b.Latency < 0, "--rest and --latency: use 0s or more")
	return errors.Join(mistakes...)
}

func (b *burstCommand) both(ctx context.Context, a *cli.App) (r burstResult, err error) {
	r = burstResult{Messages: b.Messages, Limit: b.Quota.Limit}
	if r.Free, err = b.burst(ctx, a, "{scope: none}", 0, nil); err != nil {
		return r, err
	}
	if r.Quota, err = b.burst(ctx, a, quotaLine(b.Quota), b.Rest, &r); err != nil {
		return r, err
	}
	r.Ratio = r.Quota.Took / r.Free.Took
	return r, nil
}

// burst runs a fleet for one burst. With into, the simulated Redox keeps to the limit too, and what it
// has seen goes there.
func (b *burstCommand) burst(ctx context.Context, a *cli.App, quota string, rest time.Duration, into *burstResult) (times burstTimes, err error) {
	s, err := b.open(ctx, a, b.Sources, quota)
	if err != nil {
		return times, err
	}
	defer func() { err = errors.Join(err, s.end()) }()
	if into != nil {
		if _, err := s.ask(ctx, http.MethodPost, "quota", redoxsim.Quota(b.Quota)); err != nil {
			return times, err
		}
	}
	if times.Idle, err = s.requests(ctx, b.Requests, nil); err != nil {
		return times, err
	}
	harmProgress(a, "resting for %v", rest)
	if err := pauseFor(ctx, rest); err != nil {
		return times, err
	}
	if err := b.rush(ctx, s, &times); err != nil || into == nil {
		return times, err
	}
	text, err := s.ask(ctx, http.MethodGet, "windows", nil)
	if err != nil {
		return times, err
	}
	var windows []redoxsim.Window
	if err := json.Unmarshal(text, &windows); err != nil {
		return times, err
	}
	for _, w := range windows {
		into.Window, into.Refused = max(into.Window, w.Requests), into.Refused+w.Limited
	}
	return times, nil
}

// rush publishes the burst, and asks REQUESTs meanwhile.
func (b *burstCommand) rush(ctx context.Context, s *scene, times *burstTimes) error {
	over := make(chan struct{})
	var asking sync.WaitGroup
	var asked error
	asking.Go(func() { times.Busy, asked = s.requests(ctx, 0, over) })
	began, from := time.Now(), s.traffic.count()
	err := s.traffic.many(ctx, b.Messages, sceneKind{source: sceneOne, lane: contract.LaneSend})
	if err == nil {
		times.Took, err = s.traffic.done(ctx, sceneOne, from, began)
	}
	close(over)
	asking.Wait()
	if err = errors.Join(err, asked); err != nil {
		return fmt.Errorf("bench: the burst: %w", err)
	}
	return nil
}

// requests asks a REQUEST each 10 ms, of one source after another, n in all or, with 0, until over.
func (s *scene) requests(ctx context.Context, n int, over <-chan struct{}) (sceneLatency, error) {
	from := s.traffic.count()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for i, asking := 0, true; asking && (n == 0 || i < n); i++ {
		if err := s.traffic.publish(ctx, sceneKind{source: sceneOne + 1 + i%(s.sources-2), lane: contract.LaneRequest}); err != nil {
			return sceneLatency{}, err
		}
		select {
		case <-tick.C:
		case <-over:
			asking = false
		case <-ctx.Done():
			return sceneLatency{}, context.Cause(ctx)
		}
	}
	to := s.traffic.count()
	s.traffic.settled(ctx, from, to, sceneOne, stepPatience)
	return s.traffic.latency(from, to, sceneOne, true), nil
}
