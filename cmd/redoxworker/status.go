package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"net/http"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/cmd/redoxworker/internal/cli"
	"github.com/redoxworker/redoxworker/config"
	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/worker"
	"github.com/redoxworker/redoxworker/worker/quota"
	"github.com/redoxworker/redoxworker/worker/service"
)

// statusCommand shows what waits and why.
type statusCommand struct{}

// status is everything that the command shows.
type status struct {
	Lanes []laneStatus `json:"lanes"`
	// Strays are stored under subjects that are no lane's: no worker will ever read them.
	Strays  uint64          `json:"strays,omitempty"`
	Backlog uint64          `json:"backlog"` // of all lanes, and the strays
	Dead    uint64          `json:"dead_letters"`
	Quota   *quotaStatus    `json:"quota,omitempty"` // absent when none is kept for the fleet
	Pauses  []worker.Paused `json:"pauses"`
	// Problems are what is missing or full at NATS, and what the worker of this configuration
	// says of that.
	Problems []string `json:"problems,omitempty"`
	// Tokens by key, and Breakers by host, as the worker of this configuration tells on
	// its admin listener; absent when none answers.
	Tokens   map[string]service.KeyStatus `json:"tokens,omitempty"`
	Breakers map[string]string            `json:"breakers,omitempty"`
	// Slow are sources with messages that the worker has been sending for long, and Unanswered
	// those whose replies cannot be stored, and why, as that worker tells.
	Slow       []worker.SlowSource `json:"slow,omitempty"`
	Unanswered map[string]string   `json:"unanswered,omitempty"`
	// DrainSeconds is how long the backlog takes at the rate of the quota, if no more
	// comes; absent without a quota.
	DrainSeconds *float64 `json:"drain_seconds,omitempty"`

	out     string // name of the work queue
	unknown bool   // whether workers pull
}

// laneStatus is the backlog of the SENDs or of the REQUESTs of a source that has any.
type laneStatus struct {
	Source string      `json:"source"`
	Lane   outbox.Lane `json:"lane"`
	// Waiting in the stream, in a worker's hand or for their next attempt, and those of
	// them that were delivered before.
	Waiting     uint64 `json:"waiting"`
	InHand      int    `json:"in_hand"`
	Redelivered int    `json:"redelivered"`
	// Ordered are those of them that have an order token.
	Ordered uint64 `json:"ordered,omitempty"`
	// Pulls are the workers' requests for more that wait at the server.
	Pulls int `json:"pulls"`

	served bool // there is a consumer
}

// quotaStatus is the use of one egress group's limit.
type quotaStatus struct {
	Group string `json:"group"`
	quota.Usage
	// Idle says that no worker has used it yet.
	Idle bool `json:"idle,omitempty"`
}

// Run looks, and changes nothing.
func (statusCommand) Run(ctx context.Context, a *cli.App) error {
	q, err := a.OpenSession(ctx, cli.NATSOnly)
	if err != nil {
		return err
	}
	defer q.Close()
	s, err := statusOf(ctx, q)
	if err != nil {
		return q.Explain(err)
	}
	if a.Globals.JSON {
		encoder := json.NewEncoder(a.Stdout)
		encoder.SetIndent("", "  ")
		return encoder.Encode(s)
	}
	s.print(a)
	return nil
}

// status of the whole queue, whatever sources the configuration at hand names.
func statusOf(ctx context.Context, q *cli.Session) (s status, err error) {
	c, js, prefix := q.Config, q.JS, q.Prefix
	s.out = prefix.OutStream()
	if s.Lanes, s.Strays, err = readLanes(ctx, prefix, js); err != nil {
		return s, err
	}
	s.Backlog = s.Strays
	for _, l := range s.Lanes {
		s.Backlog += l.Waiting
	}
	if len(s.Lanes) > 0 {
		if err := readInHand(ctx, prefix, js, s.Lanes); err != nil {
			s.unknown = true
			s.Problems = append(s.Problems, "what workers have in hand is not known: "+q.Explain(err).Error())
		}
	}
	missing, err := s.look(ctx, c, js)
	if err != nil {
		return s, err
	}
	if !missing[prefix.DeadStream()] {
		dead, err := js.Stream(ctx, prefix.DeadStream())
		if err != nil {
			return s, streamError(prefix.DeadStream(), err)
		}
		s.Dead = dead.CachedInfo().State.Msgs
	}
	if !missing[prefix.StateBucket()] {
		s.readState(ctx, c, js)
	}
	if c.Quota.Scope != config.ScopeNone {
		requests, per := c.Quota.Requests, c.Quota.Per
		if s.Quota != nil { // what the fleet keeps to
			requests, per = s.Quota.Requests, s.Quota.Per
		}
		drain := math.Ceil(float64(s.Backlog) * per.Seconds() / float64(requests))
		s.DrainSeconds = &drain
	}
	s.askWorker(ctx, c.Admin.Listen)
	return s, nil
}

// look notes what is missing or full, and answers the names of what is missing.
func (s *status) look(ctx context.Context, c *config.Config, js jetstream.JetStream) (missing map[string]bool, err error) {
	faults, _, err := service.Topology(c).Health(ctx, js, nil)
	missing = make(map[string]bool)
	for _, f := range faults {
		missing[f.Name] = f.Missing
		s.Problems = append(s.Problems, f.Detail)
	}
	return missing, err
}

// readState reads what the workers share. What cannot be read is a problem, and no reason not
// to show the rest.
func (s *status) readState(ctx context.Context, c *config.Config, js jetstream.JetStream) {
	var err error
	if s.Pauses, err = worker.NewPauses(js, outbox.Prefix(c.NATS.Prefix), "").List(ctx); err != nil {
		s.Problems = append(s.Problems, "pauses are not known: "+err.Error())
	}
	if c.Quota.Scope != config.ScopeFleet {
		return
	}
	if s.Quota, err = readQuota(ctx, c, js); err != nil {
		s.Problems = append(s.Problems, "the use of the quota is not known: "+err.Error())
	}
}

// streamError says what to do about a stream that cannot be looked at.
func streamError(name string, err error) error {
	switch {
	case errors.Is(err, jetstream.ErrStreamNotFound):
		return fmt.Errorf("stream %s: %w: run `redoxworker provision`", name, err)
	case cli.NoJetStream(err):
		return fmt.Errorf("stream %s: %w: %s", name, err, cli.EnableJetStream)
	default:
		return fmt.Errorf("stream %s: %w", name, err)
	}
}

func readQuota(ctx context.Context, c *config.Config, js jetstream.JetStream) (*quotaStatus, error) {
	q := &quotaStatus{Group: c.Quota.Group}
	usage, known, err := quota.Read(ctx, js, outbox.Prefix(c.NATS.Prefix), c.Quota.Group)
	if err != nil {
		return nil, err
	}
	if q.Usage = usage; !known {
		q.Usage = quota.Usage{Requests: c.Quota.Requests, Per: c.Quota.Per, Left: c.Quota.Requests}
		q.Idle = true
	}
	return q, nil
}

// readLanes counts what is stored by its subject, since an idle source has no consumer.
func readLanes(ctx context.Context, prefix outbox.Prefix, js jetstream.JetStream) (lanes []laneStatus, strays uint64, err error) {
	stream, err := js.Stream(ctx, prefix.OutStream())
	if err != nil {
		return nil, 0, streamError(prefix.OutStream(), err)
	}
	info, err := stream.Info(ctx, jetstream.WithSubjectFilter(prefix.OutSubjects()))
	if err != nil {
		return nil, 0, fmt.Errorf("stream %s: %w", prefix.OutStream(), err)
	}
	byConsumer := map[string]*laneStatus{}
	for subject, n := range info.State.Subjects {
		source, lane, _, _ := prefix.ParseOut(subject)
		if lane == "" {
			strays += n
			continue
		}
		name := prefix.LaneConsumer(source, lane)
		l := byConsumer[name]
		if l == nil {
			l = &laneStatus{Source: source, Lane: outbox.LaneSend}
			if lane == outbox.LaneRequest {
				l.Lane = lane
			}
			byConsumer[name] = l
		}
		l.Waiting += n
		if lane == outbox.LaneOrdered {
			l.Ordered += n
		}
	}
	for _, name := range slices.Sorted(maps.Keys(byConsumer)) {
		lanes = append(lanes, *byConsumer[name])
	}
	return lanes, strays, nil
}

// readInHand splits what is stored into what waits and what workers have, as the consumers
// that there are tell it.
func readInHand(ctx context.Context, prefix outbox.Prefix, js jetstream.JetStream, lanes []laneStatus) error {
	stream, err := js.Stream(ctx, prefix.OutStream())
	if err != nil {
		return streamError(prefix.OutStream(), err)
	}
	list := stream.ListConsumers(ctx)
	found := map[string]*jetstream.ConsumerInfo{}
	for info := range list.Info() { // always to its end: the lister sends on
		found[info.Name] = info
	}
	if err := list.Err(); err != nil && !errors.Is(err, jetstream.ErrEndOfData) {
		return fmt.Errorf("consumers of stream %s: %w", prefix.OutStream(), err)
	}
	for i := range lanes {
		l := &lanes[i]
		if info := found[prefix.LaneConsumer(l.Source, l.Lane)]; info != nil {
			inHand := min(l.Waiting, uint64(max(info.NumAckPending, 0)))
			l.InHand, l.Waiting = int(inHand), l.Waiting-inHand
			l.Redelivered, l.Pulls, l.served = info.NumRedelivered, info.NumWaiting, true
		}
	}
	return nil
}

// askWorker asks the worker of this configuration, if one answers, what only it knows.
func (s *status) askWorker(ctx context.Context, listen string) {
	if listen == "" {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+cli.Reachable(listen)+"/readyz", nil)
	if err != nil {
		return
	}
	response, err := http.DefaultTransport.RoundTrip(request)
	if err != nil {
		return // no worker here
	}
	defer func() { _ = response.Body.Close() }()
	var r service.Status
	if err := json.NewDecoder(http.MaxBytesReader(nil, response.Body, 1<<20)).Decode(&r); err == nil {
		s.Tokens, s.Breakers = r.Keys, r.Worker.Breakers
		s.Slow, s.Unanswered = r.Worker.Slow, r.Worker.Unanswered
		for _, p := range r.Worker.Pauses { // what it does not share, such as pauses of keys
			if !slices.ContainsFunc(s.Pauses, func(known worker.Paused) bool { return known.Scope == p.Scope }) {
				s.Pauses = append(s.Pauses, p)
			}
		}
		for _, problem := range r.Problems {
			if !slices.Contains(s.Problems, problem) {
				s.Problems = append(s.Problems, problem)
			}
		}
	}
}
