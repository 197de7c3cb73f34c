package quota

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/outbox/contract"
)

// Usage is what the book of a group says about all its workers.
type Usage struct {
	// Requests allowed in each window of Per.
	Requests int           `json:"requests"`
	Per      time.Duration `json:"per_ns"`
	// Used is how many grants of the window are noted as used. Held are those that workers have, for
	// requests that they may make at once, that are under way or that ended a moment ago. Left are
	// free.
	Used int `json:"used"`
	Held int `json:"held"`
	Left int `json:"left"`
	// Workers that have an allotment.
	Workers int `json:"workers"`
	// Next is when the next grant is free, from now; 0 when one is.
	Next time.Duration `json:"next_ns"`
	// Pace is how many SENDs are granted a second, as more of them wait than could be sent at
	// once; 0 when SENDs are not paced.
	Pace float64 `json:"pace,omitempty"`
}

// fleet is what this worker last saw of all, and whether it ever had a turn.
type fleet struct {
	known bool
	usage Usage
	// room and lendable are how many grants SENDs of this worker could have at once, and those
	// of sources without a backlog.
	room, lendable int
}

func (b *book) usage(now moment) Usage {
	u := Usage{Requests: b.Requests, Per: time.Duration(b.Per), Left: b.free(now.lo), Workers: len(b.Allotments)}
	for _, l := range b.Allotments {
		u.Held += l.Grants
	}
	u.Used = u.Requests - u.Left - u.Held
	if b.Paced.holds(now) {
		u.Pace = b.Paced.Rate
	}
	if u.Left == 0 && len(b.Free) > 0 {
		u.Next = time.Duration(b.Free[0].at - now.lo)
	}
	return u
}

// Read answers how much of a group's limit is used. known is false when no worker has
// used it yet. It changes nothing.
func Read(ctx context.Context, js jetstream.JetStream, prefix contract.Prefix, group string) (u Usage, known bool, err error) {
	s := &bucketStore{js: js, bucket: prefix.StateBucket(), key: Key(group)}
	server, err := s.time(ctx)
	if err != nil {
		return Usage{}, false, err
	}
	data, _, err := s.load(ctx)
	if err != nil || data == nil {
		return Usage{}, false, err
	}
	b, err := decodeBook(data)
	if err != nil {
		return Usage{}, false, fmt.Errorf("key %s of bucket %s: %w", s.key, s.bucket, err)
	}
	now := moment{server.UnixNano(), server.UnixNano()}
	b.expire(newLimits(b.Requests, time.Duration(b.Per), 0), now)
	return b.usage(now), true, nil
}

// Status is a Governor's state at one moment.
type Status struct {
	// Group and its limit.
	Group string `json:"group"`
	// Allotted reports that this worker has an allotment that holds; without one nothing is sent.
	Allotted bool `json:"leased"`
	// Ready is how many requests this worker may make at once, InFlight how many are under
	// way, Waiting how many wait for their turn.
	Ready    int `json:"ready"`
	InFlight int `json:"in_flight"`
	Waiting  int `json:"waiting"`
	// Fleet is what all workers of the group use, as last read.
	Fleet Usage `json:"fleet"`
	// Trouble says why the limit is not shared with the others at present; "" when it is.
	Trouble string `json:"trouble,omitempty"`
	// Share of the limit that this worker keeps to by itself meanwhile; 0 when it does not.
	Share int `json:"share,omitempty"`
}

// Status answers the state. It is safe for concurrent use.
func (g *Governor) Status() Status {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := g.clock.now()
	s := Status{Group: g.cfg.Group, InFlight: g.tenure.flight, Fleet: g.fleet.usage, Allotted: now.hi < g.tenure.until,
		Trouble: g.lone.trouble, Share: g.lone.share}
	for c := range classes {
		s.Waiting += g.waiters.count(c)
	}
	if s.Allotted {
		s.Ready = g.held.usable(now.lo, false)
	}
	return s
}
