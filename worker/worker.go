package worker

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/outbox/dlq"
	"github.com/redoxworker/redoxworker/outbox/logsample"
	"github.com/redoxworker/redoxworker/outbox/servertime"
	"github.com/redoxworker/redoxworker/worker/internal/breaker"
	"github.com/redoxworker/redoxworker/worker/internal/deadline"
	"github.com/redoxworker/redoxworker/worker/internal/guard"
	"github.com/redoxworker/redoxworker/worker/internal/heads"
	"github.com/redoxworker/redoxworker/worker/internal/lease"
	"github.com/redoxworker/redoxworker/worker/internal/ledger"
	"github.com/redoxworker/redoxworker/worker/internal/limit"
	"github.com/redoxworker/redoxworker/worker/internal/meter"
	"github.com/redoxworker/redoxworker/worker/internal/pull"
	"github.com/redoxworker/redoxworker/worker/internal/replies"
	"github.com/redoxworker/redoxworker/worker/internal/suspects"
)

// Worker consumes messages and settles them. Any number of workers, in any number of processes,
// share the work. Make one with [New].
type Worker struct {
	js        jetstream.JetStream
	conn      *nats.Conn
	deliverer Deliverer
	config    Config
	log       *slog.Logger
	troubles  troubles
	metrics   *meter.Meter
	trace     tracing
	observed  bool
	bodies    *outbox.Bodies
	memory    *limit.Memory // of claim-checked bodies and of answers

	started    atomic.Bool
	replies    outbox.ReplyPolicy
	ledger     *ledger.Ledger
	tokens     *dlq.HeldTokens
	clock      *servertime.Clock
	replyStore *replies.Store // of durable replies
	aside      *limit.Slots   // settlements that go on without a slot
	guards     *guard.Panics
	heads      heads.Stream // of the queue
	notes      heads.Stream // of the ledger

	serving        sync.Mutex // held while the sources are replaced
	mu             sync.Mutex
	sources        map[string]*served
	begun, running bool          // Run has begun to serve the sources, and does
	look           chan struct{} // has the worker look at the queue

	queue      atomic.Pointer[jetstream.Stream]
	decided    atomic.Pointer[ledger.Decisions] // of operators; see mayBeDecided
	deciding   sync.Mutex
	decidedAt  time.Time   // when a puller looked last, under deciding; see decidedMeanwhile
	queueThere atomic.Bool // when it was looked at last
	ranked     time.Time   // when sources were ranked for the metrics; the survey's own
	aged       time.Time   // when the oldest messages were asked for; the survey's own
	// set by Run
	breaker   *breaker.Breaker
	pauses    *breaker.Sync
	slots     *limit.Slots
	adaptive  *limit.Adaptive
	pool      *limit.Pool[*delivery]
	pulls     sync.WaitGroup // of pullers
	suspects  *suspects.Turns
	alibis    sync.WaitGroup // of messages whose lease was lost
	keeper    *lease.Keeper
	restarts  *lease.Restarts
	fetcher   *pull.Fetcher
	lines     *heads.Lines[*delivery]
	pulling   context.Context  // Run's own: what has not begun to be sent by its end is handed back
	work      context.Context  // of attempts: outlives Run's by the drain timeout
	deadlines *deadline.Shared // of the steps of settlements
	settling  context.Context  // of settlements: outlives work by settleGrace
}

// troubles are conditions that the log reports when they begin, change and end, not for each puller
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

// served is a source that this worker serves.
type served struct {
	Source
	pullers [2]*puller // SENDs and REQUESTs
}

// keep gives a source its pullers, whose messages go by its settings from now on. Those of a source that
// has left go by the settings that it had.
func (s *served) keep(pullers [2]*puller) {
	s.pullers = pullers
	for _, p := range pullers {
		if p != nil { // the worker runs
			p.settings.Store(&s.Source)
		}
	}
}

// puller returns the puller of a lane; nil if the source is not served, or not yet.
func (s *served) puller(lane contract.Lane) *puller {
	switch {
	case s == nil:
		return nil
	case lane == contract.LaneRequest:
		return s.pullers[1]
	}
	return s.pullers[0]
}

// puller brings what a source has to send, or to request: it has one durable consumer and, while
// there is something, the goroutine that pulls from it.
type puller struct {
	source   string
	lane     contract.Lane // LaneSend, which has the ordered messages too, or LaneRequest
	consumer string
	counts   *meter.Source
	ctx      context.Context // ends when the source is given up
	cancel   context.CancelFunc

	// settings are those of the source, or the last that it had; nil where it was never served.
	settings atomic.Pointer[Source]
	// bound: the consumer was there when it was looked at last.
	bound atomic.Bool
	// replicated: several servers keep the consumer's state.
	replicated atomic.Bool
	// created is when the consumer was made, in Unix nanoseconds.
	created atomic.Int64
	// stored is how many messages the queue held when it was looked at last.
	stored atomic.Int64
	// heard is when the server said last that a message is stored, in Unix nanoseconds.
	heard atomic.Int64
	// reason wakes the goroutine; see notify.
	reason chan struct{}
	// remade is when the consumer was found to have been deleted and made anew, in Unix nanoseconds.
	remade atomic.Int64
	// used is when it was asked for messages last; the goroutine's own.
	used time.Time
	// batch is how many messages are asked for at once; the goroutine's own.
	batch int
	// hand is what was pulled ahead; the goroutine's own.
	hand pull.Ahead[delivery]

	mu      sync.Mutex
	running bool
	empty   int       // pulls in a row that brought nothing
	polled  time.Time // when it was asked for messages without knowing of any
	// recovery is when the puller is looked at again that has failed; under failed.
	failed   sync.Mutex
	recovery *time.Timer
}

// notify has the puller pull when it can.
func (p *puller) notify() {
	select {
	case p.reason <- struct{}{}:
	default:
	}
}

// leave ends the goroutine of a puller unless there is a reason to go on.
func (p *puller) leave() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.reason) > 0 && p.ctx.Err() == nil {
		return false
	}
	p.running = false
	return true
}

// found notes whether a pull brought something. It reports whether there was none, and no
// reason came up meanwhile to pull again.
func (p *puller) found(some bool) (idle bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if some {
		p.empty = 0
		return false
	}
	p.empty++
	return len(p.reason) == 0
}

// replicated reports whether several servers keep the state of a stream or consumer.
func replicated(c *jetstream.ClusterInfo) bool { return c != nil && len(c.Replicas) > 0 }

// class is the kind of slots that a puller's messages take.
func (p *puller) class() limit.Class {
	if p.lane == contract.LaneRequest {
		return limit.Request
	}
	return limit.Send
}
