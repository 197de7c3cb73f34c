package worker

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/outbox/logsample"
)

// troubles are conditions that the log reports when they begin, change and end, not for each lane
// or message that meets them.
type troubles struct {
	pulls       *logsample.Trouble // members are consumers
	settlements *logsample.Trouble // messages, by source and id
	probes      *logsample.Trouble // scopes
	ledger      *logsample.Trouble
	advisories  *logsample.Trouble
	ring        *logsample.Trouble
}

// itself is the name of the only member of a trouble that has one.
const itself = ""

func newTroubles(log *slog.Logger) troubles {
	return troubles{
		pulls:       logsample.NewTrouble(log, "messages are pulled again"),
		settlements: logsample.NewTrouble(log, "settlements are confirmed again"),
		probes:      logsample.NewTrouble(log, "what was paused is open again"),
		ledger:      logsample.NewTrouble(log, "the state of messages can be read and written again"),
		advisories:  logsample.NewTrouble(log, "advisories are read again"),
		ring:        logsample.NewTrouble(log, "the ring of keys is there again"),
	}
}

// steady is how long a lane must not fail before it counts as working again, unless a pull of it
// succeeds before.
const steady = 10 * time.Second

// unpulled notes that a lane could not pull or be bound.
func (w *Worker) unpulled(l *lane, err error) {
	w.troubles.pulls.Failed(l.consumer, w.pullText(err), err, "stream", w.config.Prefix.OutStream(), "consumer", l.consumer)
	l.failed.Lock()
	defer l.failed.Unlock()
	if l.recovery == nil {
		l.recovery = time.AfterFunc(steady, func() { w.recovered(l) })
		return
	}
	l.recovery.Reset(steady)
}

// recovered checks whether a lane that has not failed for a while works again.
func (w *Worker) recovered(l *lane) {
	switch {
	case w.pulling.Err() != nil:
	case l.ctx.Err() != nil: // its source has left
		w.troubles.pulls.Gone(l.consumer)
	case l.bound.Load() && w.conn.IsConnected():
		w.troubles.pulls.Worked(l.consumer)
	default:
		l.failed.Lock()
		defer l.failed.Unlock()
		l.recovery.Reset(steady)
	}
}

// pullText describes an error of a pull, for the log.
func (w *Worker) pullText(err error) string {
	switch {
	case !w.conn.IsConnected():
		return "nothing is pulled: there is no connection to NATS"
	case errors.Is(err, jetstream.ErrStreamNotFound):
		return "nothing is pulled: the queue is missing; trying again (is it provisioned?)"
	case errors.Is(err, jetstream.ErrConsumerNotFound), errors.Is(err, jetstream.ErrConsumerDeleted):
		return "a consumer is missing: its messages are not pulled; trying again (is it provisioned?)"
	case errors.Is(err, nats.ErrNoResponders):
		return "nobody answers for a consumer: its messages are not pulled; trying again (is JetStream enabled, and the queue provisioned?)"
	case errors.Is(err, nats.ErrTimeout), errors.Is(err, context.DeadlineExceeded):
		return "NATS does not answer: nothing is pulled; trying again"
	}
	return "pulling failed; trying again"
}
