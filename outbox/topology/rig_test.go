package topology

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/redoxworker/redoxworker/outbox/internal/jsapi"
	"github.com/redoxworker/redoxworker/outbox/internal/outboxtest"
)

// rig compares what its server has with a topology.
type rig struct{ outboxtest.Rig }

func newRig(t *testing.T) rig {
	t.Helper()
	return rig{outboxtest.New(t)}
}

// configured runs a server with this configuration file.
func configured(t *testing.T, conf string, opts ...nats.Option) rig {
	t.Helper()
	return rig{outboxtest.Configured(t, conf, opts...)}
}

// ensure fails the test on an error. A leader that was elected just now may not have heard
// of all servers of its cluster yet.
func (r rig) ensure(t Topology) (all []Change) {
	r.T.Helper()
	ctx, cancel := context.WithTimeout(r.Ctx(), time.Minute)
	defer cancel()
	for {
		changes, err := t.Ensure(ctx, r.JS)
		all = append(all, changes...)
		if err == nil {
			return all
		}
		if !strings.Contains(err.Error(), "peer offline") || !jsapi.Sleep(ctx, 100*time.Millisecond) {
			r.T.Fatal(err)
		}
	}
}

// settled fails the test if anything differs from the topology.
func (r rig) settled(t Topology) {
	r.T.Helper()
	changes, err := t.Drift(r.Ctx(), r.JS)
	if err != nil {
		r.T.Fatal(err)
	}
	for _, c := range changes {
		r.T.Errorf("still differs: %s", c)
	}
}

// withAction returns the changes of one action.
func withAction(changes []Change, a Action) []Change {
	var some []Change
	for _, c := range changes {
		if c.Action == a {
			some = append(some, c)
		}
	}
	return some
}
