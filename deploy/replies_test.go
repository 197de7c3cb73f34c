package deploy_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/topology"
)

// A source reads its replies through the consumer that the operator has made, and can neither
// make one nor read through another's.
func TestReplies_OfOneSourceAlone(t *testing.T) {
	t.Parallel()
	srv := startSingle(t)
	op := provision(t, srv, topology.Topology{Replicas: 1})
	worker := stream(t, connect(t, srv, workerUser))
	for _, source := range []string{clinicA, clinicB} {
		r, err := outbox.NewReplies(op, outbox.RepliesConfig{Source: source})
		if err != nil {
			t.Fatal(err)
		}
		if err := r.Provision(t.Context()); err != nil {
			t.Fatal(err)
		}
		for _, id := range []string{source + "-1", source + "-2"} {
			reply := outbox.Reply{MessageID: id, Settlement: outbox.Delivered}
			if _, err := worker.PublishMsg(t.Context(), reply.Encode("redox.reply."+source+"."+id)); err != nil {
				t.Fatal(err)
			}
		}
	}
	a := stream(t, connect(t, srv, clinicA))
	read := func(ctx context.Context, cfg outbox.RepliesConfig) (ids []string, err error) {
		r, err := outbox.NewReplies(a, cfg)
		if err != nil {
			t.Fatal(err)
		}
		for reply, err := range r.All(ctx) {
			if err != nil {
				return ids, err
			}
			ids = append(ids, reply.MessageID)
		}
		return ids, nil
	}
	enough, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	if ids, err := read(enough, outbox.RepliesConfig{Source: clinicA}); err != nil || strings.Join(ids, " ") != "clinic-a-1 clinic-a-2" {
		t.Errorf("his own: %v %v", ids, err)
	}
	if c, err := op.Consumer(t.Context(), "REDOX_REPLIES", "clinic-a-replies"); err != nil || c.CachedInfo().NumAckPending != 0 || c.CachedInfo().NumPending != 0 {
		t.Errorf("they are not done: %v, %+v", err, c.CachedInfo())
	}
	for name, cfg := range map[string]outbox.RepliesConfig{"another's": {Source: clinicB}, "one that is not there": {Source: clinicA, Name: "more"}} {
		if ids, err := read(t.Context(), cfg); !errors.Is(err, outbox.ErrPermission) || len(ids) > 0 || !strings.Contains(err.Error(), "provision --replies") {
			t.Errorf("%s: %v %v", name, ids, err)
		}
	}
	// Nor does a question about his own say anything of another's.
	if _, err := a.Consumer(enough, "REDOX_OUT", "clinic-b-send"); err == nil {
		t.Error("a consumer of the queue was shown")
	}
}
