package service

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/config"
	"github.com/redoxworker/redoxworker/outbox/logsample"
	"github.com/redoxworker/redoxworker/outbox/topology"
	"github.com/redoxworker/redoxworker/worker"
	"github.com/redoxworker/redoxworker/worker/internal/backoff"
)

// upkeepEvery is how often a worker looks whether its streams and buckets are there and have
// room.
const upkeepEvery = 2 * time.Second

// upkeep is what a running worker knows of its streams, buckets and consumers. Where it may
// provision, it makes anew what is missing.
type upkeep struct {
	mu       sync.Mutex
	problems []string

	// of run alone
	skip    []string // streams that may not be looked at
	bound   int      // consumers that the worker had bound at the last look
	unbound int      // looks in a row that found some missing, and none more bound
	failed  map[string]bool
	trouble *logsample.Trouble
}

// found are the problems of the last look; safe for concurrent use.
func (u *upkeep) found() []string {
	u.mu.Lock()
	defer u.mu.Unlock()
	return slices.Clone(u.problems)
}

// lookAfter keeps the topology whole until ctx ends.
func (s *Service) lookAfter(ctx context.Context, js jetstream.JetStream) {
	u := &s.upkeep
	u.failed = make(map[string]bool)
	u.trouble = logsample.NewTrouble(s.log, "all streams and buckets are there, and have room")
	for backoff.Sleep(ctx, upkeepEvery) {
		if !js.Conn().IsConnected() {
			s.fleet.lost()
			continue // what is missing then is NATS
		}
		s.inspect(ctx, js)
	}
}

func (s *Service) inspect(ctx context.Context, js jetstream.JetStream) {
	u, t := &s.upkeep, Topology(s.config)
	infos := make(map[string]*jetstream.StreamInfo)
	faults, unknown, err := t.Inspect(ctx, js, u.skip, func(i *jetstream.StreamInfo) { infos[i.Config.Name] = i })
	u.skip = append(u.skip, unknown...)
	if err != nil {
		s.fleet.lost()
		return // NATS does not answer; pullers and quota say so
	}
	s.fleet.look(ctx, js, t.Prefix, infos)
	missing := slices.ContainsFunc(faults, func(f topology.Fault) bool { return f.Missing })
	if w := s.worker.Load().Status(); u.stuck(w) && !missing {
		faults = append(faults, topology.Fault{Kind: "consumers", Name: t.Prefix.OutStream(), Missing: true, Detail: fmt.Sprintf(
			"%d of the %d consumers of %s that have messages for this worker are not there, or not for it to use: its log says why; the messages wait",
			w.Consumers-w.Bound, w.Consumers, t.Prefix.OutStream())})
	}
	if s.config.NATS.Provision == config.ProvisionAuto && missing {
		if err := s.restore(ctx, js, t); err != nil {
			faults = append(faults, topology.Fault{Kind: "provision", Name: "nats.provision", Detail: "what is missing could not be made anew: " + err.Error()})
		}
	}
	u.note(faults)
}

// stuck reports whether a worker cannot make or bind consumers. To bind those of thousands of
// sources takes a while, also after a reconnect, and is no trouble.
func (u *upkeep) stuck(s worker.Status) bool {
	if !s.Ready() || s.Bound >= s.Consumers || s.Bound > u.bound {
		u.unbound = 0
	} else {
		u.unbound++
	}
	u.bound = s.Bound
	return u.unbound > 1
}

// restore makes anew what is missing.
func (s *Service) restore(ctx context.Context, js jetstream.JetStream, t topology.Topology) error {
	made, err := t.Restore(ctx, js)
	for _, c := range made {
		s.log.Warn("provision: it was missing and is made anew, empty; what it held is lost", "kind", c.Kind, "name", c.Name)
	}
	return err
}

// note keeps what is wrong for /readyz, and tells the log what has changed.
func (u *upkeep) note(faults []topology.Fault) {
	problems, now := make([]string, 0, len(faults)), make(map[string]bool)
	for _, f := range faults {
		problems = append(problems, f.Detail)
	}
	u.mu.Lock()
	u.problems = problems
	u.mu.Unlock()
	for _, f := range faults {
		text := f.Kind + " " + f.Name + " is full: what cannot be written waits"
		switch {
		case f.Kind == "provision":
			text = "provision: what is missing could not be made anew"
		case f.Missing:
			text = f.Kind + " " + f.Name + " is missing: what needs it waits"
		}
		u.trouble.Failed(f.Name, text, errors.New(f.Detail))
		now[f.Name], u.failed[f.Name] = true, true
	}
	for name := range u.failed {
		if !now[name] {
			u.trouble.Worked(name)
			delete(u.failed, name)
		}
	}
}
