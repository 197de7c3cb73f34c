package overview

import (
	"context"
	"slices"
	"time"

	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/worker/order"
)

// lookAtHeads reads the heads of the largest crowds.
func (x *gathering) lookAtHeads(ctx context.Context) error {
	if len(x.crowds) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, x.config.Timeout)
	defer cancel()
	states, err := x.tokens.Heads(ctx, x.crowds)
	for _, s := range states {
		x.view.Heads = append(x.view.Heads, x.head(s))
	}
	return err
}

// head says why a head waits. What the queue knows of it does not tell a message that is being
// sent from one that was handed back a moment ago, or that was left by a worker that is gone:
// workers do.
func (x *gathering) head(s order.State) Head {
	h := Head{State: s, Why: Why{State: Moving}}
	consumer := x.config.Prefix.SendConsumer(s.Source)
	for _, w := range x.view.Workers {
		if slices.Contains(w.InHand[consumer], s.Head.Sequence) {
			h.By, h.Head.State = w.ID, order.Sending
			return h
		}
	}
	x.counted = s.Head.State != order.Waiting // else it may wait for a destination
	if why := x.why(&Backlog{Source: s.Source, Lane: contract.LaneSend, Messages: s.Messages}); why.State != Moving && why.State != Paced {
		h.Why = why
	}
	switch {
	case s.Head.State == order.Waiting && !h.Why.Blocked() && h.Why.Scope == "":
		h.Why = Why{State: Retrying, Text: "tried again in " + rounded(time.Until(s.Head.Next))}
	case s.Head.State == order.Sending && x.askedAll:
		h.Head.State = order.Queued
	}
	return h
}

// Heads lists the order tokens of the source, or of all sources when it is "", with at least so
// many messages each, the largest first, no more than limit of them; 0 means all. Of each it tells
// why the first message waits.
func (g *Gatherer) Heads(ctx context.Context, source string, messages uint64, limit int) ([]Head, error) {
	states, err := g.tokens.List(ctx, source, messages, limit)
	if err != nil {
		return nil, err
	}
	x := &gathering{Gatherer: g}
	expected := make(chan int, 1)
	expected <- 0
	x.lookAtState(ctx)
	x.learn("workers", x.lookAtWorkers(ctx, expected), g.config.Prefix.WorkersSubject())
	x.sharePauses()
	heads := make([]Head, 0, len(states))
	for _, s := range states {
		heads = append(heads, x.head(s))
	}
	return heads, nil
}
