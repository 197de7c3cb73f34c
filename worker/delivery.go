package worker

import (
	"cmp"
	"context"
	"errors"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"go.opentelemetry.io/otel/trace"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/outbox/seal"
	"github.com/redoxworker/redoxworker/worker/internal/breaker"
	"github.com/redoxworker/redoxworker/worker/internal/lease"
	"github.com/redoxworker/redoxworker/worker/internal/ledger"
	"github.com/redoxworker/redoxworker/worker/internal/suspects"
	"github.com/redoxworker/redoxworker/worker/internal/verdict"
)

// delivery is one message on its way through the worker.
type delivery struct {
	puller  *puller
	msg     inbound
	permit  *breaker.Permit
	leased  leasedContext
	lease   *lease.Lease    // the one in leased; nil when there is none
	ctx     context.Context // of the attempt; ends with a cause
	cancel  context.CancelCauseFunc
	message outbox.Message
	// contract is why the message breaks the wire contract; nil when it does not.
	contract  error
	sealed    bool           // the message came sealed
	closed    error          // why it does not open; nil when it was not sealed, or is open
	opening   outbox.Opening // of its body in the object store
	delivered uint64         // deliveries by JetStream, this one included
	consumed  uint64         // the number of this one among those of its consumer
	older     bool           // than its consumer, which may not be the first to deliver it
	unnoted   bool           // the ledger holds nothing of the source, as of when the message was pulled
	hold      bool           // an unknown outcome is settled held
	unsure    bool           // whether hold applies, the body has yet to tell
	record    ledger.Record  // what the ledger knew when the message arrived
	revision  uint64         // of that
	blind     bool           // the ledger could not be read
	noted     bool           // the ledger holds the start of this attempt, or may hold it
	aside     bool           // it has given up its slot
	over      bool           // it is settled, and the server confirmed that
	turn      suspects.Turn  // of a suspect, while it has it
	alone     bool           // it is the only suspect
	marked    bool           // its order token waits for this very message
	asked     bool           // the Deliverer was asked to send it
	began     time.Time
	took      time.Duration   // of the attempt
	verdict   verdict.Verdict // what is to be done; before that is decided, only its answer is set
	room      func()          // gives the memory of a claim-checked body back; nil: it has none
	stream    *stream         // such a body, if it is not in memory
	grant     grant           // of the attempt's request
	traced    *traced         // nil: nothing traces
}

// inbound is the worker's copy of a message that JetStream delivered. The client's own message
// points to the one behind it for as long as it is kept (nats.go 1.55, Conn.waitForMsgs): a
// message whose answer takes minutes would keep everything that came in behind it in memory,
// bodies included, long after that was settled.
type inbound struct {
	subject string
	reply   string // where it is acknowledged
	header  nats.Header
	body    []byte
}

func newInbound(msg *nats.Msg) inbound {
	return inbound{subject: msg.Subject, reply: msg.Reply, header: msg.Header, body: msg.Data}
}

// decide stores the verdict in the delivery and returns true. On the stack a verdict would exist
// once for every call on the way down, for each message in flight.
func (d *delivery) decide(v verdict.Verdict) (decided bool) {
	d.verdict = v
	return true
}

// first reports whether no worker can have had the message before.
func (d *delivery) first() bool { return d.delivered <= 1 && !d.older }

// wayOf is the lane of the message; of one that cannot be read that of its consumer.
func (d *delivery) wayOf() contract.Lane { return cmp.Or(d.message.Lane, d.puller.lane) }

// possibleDuplicate reports whether this attempt or an earlier one had an unknown outcome, or the
// message may be in the queue twice.
func (d *delivery) possibleDuplicate() bool {
	return d.mayRepeat() || d.verdict.Unknown
}

// mayRepeat reports whether the far side may have the message before this attempt: from an earlier
// attempt, or since its publisher may have published it before.
func (d *delivery) mayRepeat() bool { return d.record.Unknown || d.message.PossibleDuplicate }

// attempts returns the number of counted attempts, those of this delivery included.
func (d *delivery) attempts() int {
	n := d.record.Attempts + d.verdict.Lost
	if d.verdict.Counted {
		n++
	}
	return n
}

// ordered reports whether a message may go only while it is the first of its subject.
func (d *delivery) ordered() bool { return d.message.Lane == contract.LaneOrdered }

// traced is what a delivery has of tracing.
type traced struct {
	pulled time.Time
	span   trace.Span // of the delivery; nil: there is none
	part   trace.Span // under way; nil: none is
}

// stepTimeout is the least time that a step of a settlement has before the unconfirmed steps are
// repeated.
const stepTimeout = 2 * time.Second

// objectTimeout bounds the storing or removing of one object. It is longer than stepTimeout
// because an object of 64 MiB takes a while.
const objectTimeout = time.Minute

var errUnconfirmed = errors.New("NATS did not confirm within 2s")

// settlement is the progress of one message through the steps of its settlement.
type settlement struct {
	worker   *Worker
	delivery *delivery
	dead     bool         // dead letter confirmed, or none needed
	replied  bool         // durable reply confirmed, or none needed
	audited  bool         // audit line written, or none wanted
	tried    bool         // the durable reply was published
	behind   uint64       // the position before the message in its order, where it is held
	sealed   *sealedReply // how its reply is sealed; nil before, and for one that is not
}

// ctx bounds the next step.
func (s *settlement) ctx() context.Context { return s.worker.deadlines.Context() }

// onePrefix wraps an error of the NATS client whose text repeats its prefix: "nats: nats: …".
type onePrefix struct{ error }

// Error returns the text with one prefix.
func (e onePrefix) Error() string {
	return strings.ReplaceAll(e.error.Error(), "nats: nats: ", "nats: ")
}

func (e onePrefix) Unwrap() error { return e.error }

// sealedReply is how a reply was sealed when it was published first. It is published again as that: who
// reads the first needs the body that belongs to it.
type sealedReply struct {
	key    seal.DataKey
	header nats.Header
}
