package service

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/outbox/dlq"
	"github.com/redoxworker/redoxworker/worker/internal/backoff"
)

const (
	// collectEvery is how often a fleet removes bodies that nothing names.
	collectEvery = time.Hour
	// collectKey is whose turn it is, in the ledger; keys of messages end in 32 hex digits.
	collectKey = "collect.bodies"
)

// collect removes bodies that nothing names until ctx ends. The workers of a fleet take
// turns: whoever comes first after an hour does it for all.
func (s *Service) collect(ctx context.Context, js jetstream.JetStream) {
	for wait := rand.N(collectEvery / 10); backoff.Sleep(ctx, wait); wait = collectEvery/2 + rand.N(collectEvery/2) {
		if err := s.collectInTurn(ctx, js); err != nil && ctx.Err() == nil {
			s.log.Warn("bodies that nothing names were not all removed; trying again later", "error", err)
		}
	}
}

func (s *Service) collectInTurn(ctx context.Context, js jetstream.JetStream) error {
	prefix := contract.Prefix(s.config.NATS.Prefix)
	ledger, err := js.KeyValue(ctx, prefix.LedgerBucket())
	if err != nil {
		return err
	}
	_, err = ledger.Create(ctx, collectKey, []byte(time.Now().UTC().Format(time.RFC3339)), jetstream.KeyTTL(collectEvery))
	if errors.Is(err, jetstream.ErrKeyExists) || dlq.IsAlreadyStored(err) {
		return nil
	}
	if err != nil {
		return err
	}
	done, err := outbox.NewBodies(js, prefix).Collect(ctx, s.config.Bodies.OrphanAfter)
	s.counts.bodiesRemoved.Add(int64(done.Removed))
	log := s.log.Debug
	if done.Removed+done.Parts > 0 {
		log = s.log.Info
	}
	log("bodies that nothing names were removed", "removed", done.Removed, "unfinished", done.Parts, "stored", done.Objects, "old_and_named", done.Kept, "foreign", done.Foreign)
	return err
}
