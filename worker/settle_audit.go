package worker

import (
	"time"

	"github.com/redoxworker/redoxworker/worker/audit"
)

// entry is the audit entry of the settlement.
func (s *settlement) entry() audit.Entry {
	d, now := s.delivery, time.Now()
	v := &d.verdict
	return audit.Entry{
		Time: now.UTC(), Worker: s.worker.config.ID, Message: d.message.ID, Source: d.message.Source, Lane: d.message.Lane, Kind: d.message.Kind,
		Settlement: v.settlement, Status: v.answer.Status, Attempts: d.attempts(), Deliveries: d.delivered, LogIDs: v.answer.LogIDs, Error: v.err,
		PossibleDuplicate: d.possibleDuplicate(), DeadLetter: d.needsDeadLetter(), Answered: d.message.ReplyTo != "", ReplayOf: d.message.ReplayOf,
		Stored: d.message.Stored.UTC(), Sequence: d.message.Sequence, AttemptSeconds: d.took.Seconds(), AgeSeconds: now.Sub(d.message.Stored).Seconds(),
	}
}
