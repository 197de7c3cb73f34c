package overview

import (
	"time"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/worker"
	"github.com/redoxworker/redoxworker/worker/order"
	"github.com/redoxworker/redoxworker/worker/quota"
)

// Overview is what goes on at one moment.
type Overview struct {
	// Taken is when the last answer was there, by the clock of this host.
	Taken time.Time `json:"taken"`
	// Prefix of subjects, streams and buckets.
	Prefix string `json:"prefix"`
	// Needs are what somebody should know first, the most urgent first; empty when all is well.
	Needs []Need `json:"needs"`
	// Queue is nil when it could not be looked at.
	Queue *Queue `json:"queue,omitempty"`
	// Backlogs are the sources that have messages, SENDs and REQUESTs apart: those that need a person
	// first, then those that wait for something else, then the others, the largest first.
	Backlogs []Backlog `json:"backlogs"`
	// Heads are the messages that most others of their order wait behind, those with most first.
	Heads []Head `json:"heads"`
	// Pauses of operators, and of what does not work.
	Pauses []Pause `json:"pauses"`
	// Quotas are the limits that workers share, by egress group.
	Quotas []Quota `json:"quotas"`
	// Keys of all workers, those in trouble first.
	Keys []Key `json:"keys"`
	// Workers that answered, in the order of their ids.
	Workers []Worker `json:"workers"`
	// Silent counts the workers that have a lease of a quota and did not answer: they ended a few
	// seconds ago, hang, or may not answer.
	Silent int `json:"silent,omitempty"`
	// Dead is nil when the dead letters could not be looked at.
	Dead *Dead `json:"dead_letters,omitempty"`
	// Outbox is nil where no worker relays an SQL outbox.
	Outbox *Outbox `json:"outbox,omitempty"`
	// Reconcile is nil where Redox's logs are not followed.
	Reconcile *Reconcile `json:"reconcile,omitempty"`
	// Drain says when the queue will be empty if no more comes.
	Drain Drain `json:"drain"`
	// Unknown are what could not be learnt, and why, one line each.
	Unknown []string `json:"unknown,omitempty"`
}

// Healthy reports whether nothing needs a person and everything could be learnt.
func (o *Overview) Healthy() bool { return len(o.Needs) == 0 && len(o.Unknown) == 0 }

// Need is something that somebody should know.
type Need struct {
	// Person says that it does not go by itself.
	Person bool `json:"person"`
	// Text says what is wrong, Mend what to do about it; it may be empty.
	Text string `json:"text"`
	Mend string `json:"mend,omitempty"`
}

// Queue is the work queue as a whole.
type Queue struct {
	// Messages that are not settled, and their size.
	Messages uint64 `json:"messages"`
	Bytes    uint64 `json:"bytes"`
	// Astray are those of them under subjects that no worker reads.
	Astray uint64 `json:"astray,omitempty"`
	// InHand were delivered to a worker and not settled; nil where that was not asked of all backlogs.
	InHand *int `json:"in_hand,omitempty"`
	// Oldest is when the oldest was stored, by the server's clock; zero when there is none. Age is
	// how long ago that was.
	Oldest time.Time     `json:"oldest,omitzero"`
	Age    time.Duration `json:"age_ns,omitempty"`
	// In and Out are how many messages came and were settled a second, since an earlier look of
	// the same Gatherer; nil at the first.
	In  *float64 `json:"in_per_second,omitempty"`
	Out *float64 `json:"out_per_second,omitempty"`
}

// Backlog is the SENDs or the REQUESTs of a source that has any.
type Backlog struct {
	Source string `json:"source"`
	// Lane is send or request.
	Lane contract.Lane `json:"lane"`
	// Messages that are not settled; Ordered are those of them with an order token.
	Messages uint64 `json:"messages"`
	Ordered  uint64 `json:"ordered,omitempty"`
	// InHand were delivered to a worker and not settled: they are being sent, or wait for their
	// next attempt. Sending are those that a worker says it has. Redelivered were delivered
	// before. Of backlogs after the first Config.Backlogs they are not asked for: of these InHand is
	// Sending, and Redelivered 0.
	InHand      int `json:"in_hand,omitempty"`
	Sending     int `json:"sending,omitempty"`
	Redelivered int `json:"redelivered,omitempty"`
	// Age of the oldest; 0 when it is not known, as of backlogs after the first Config.Backlogs.
	Age time.Duration `json:"age_ns,omitempty"`
	// Why they wait.
	Why Why `json:"why"`
}

// State is why messages wait, in a word.
type State string

// The states of a [Backlog] and a [Head].
const (
	// Moving: workers send them, or will as soon as it is their turn.
	Moving State = "moving"
	// Paused by an operator.
	Paused State = "paused"
	// Refused: Redox refuses the source.
	Refused State = "refused"
	// NoToken: the key has no token that works.
	NoToken State = "no token"
	// Down: the source's messages, a destination of it or the host failed too often; it is probed.
	Down State = "down"
	// Limited: the limit of requests is used up, or Redox answered 429.
	Limited State = "limited"
	// Paced: SENDs go out evenly, as there are more than could be sent at once.
	Paced State = "paced"
	// Retrying: they were tried, or left by a worker that is gone, or some go to a destination that is
	// paused, and come again later.
	Retrying State = "retrying"
	// Unanswered: the replies cannot be stored.
	Unanswered State = "unanswered"
	// Unserved: no worker serves the source.
	Unserved State = "unserved"
	// Unknown: workers could not be asked.
	Unknown State = "unknown"
)

// Why is the reason for which messages wait.
type Why struct {
	State State `json:"state"`
	// Scope is that of the pause, if it is one.
	Scope string `json:"scope,omitempty"`
	// Text says it in a line; empty where there is no more to say.
	Text string `json:"text,omitempty"`
}

// Blocked reports whether nothing is sent until that changes.
func (w Why) Blocked() bool {
	switch w.State {
	case Paused, Refused, NoToken, Down, Unserved:
		return true
	case Limited:
		return w.Scope != "" // else it is used up, and requests become free one after the other
	}
	return false
}

// Head is the first message of an order token, which others wait behind.
type Head struct {
	order.State
	// Why it waits: [Moving] means that the worker By is sending it.
	Why Why    `json:"why"`
	By  string `json:"by,omitempty"`
}

// Pause is something that is paused.
type Pause struct {
	worker.Paused
	// Worker is the one that alone pauses it; "" when all do.
	Worker string `json:"worker,omitempty"`
}

// Quota is the use of one egress group's limit by all its workers.
type Quota struct {
	Group string `json:"group"`
	quota.Usage
}

// Dead are the dead letters.
type Dead struct {
	Messages uint64 `json:"messages"`
	// Oldest and Newest are when the first and the last of them were written.
	Oldest time.Time `json:"oldest,omitzero"`
	Newest time.Time `json:"newest,omitzero"`
	// Settlements and Sources have so many of them: all are counted. Sources is nil where they are
	// more than Config.Subjects.
	Sources     map[string]uint64            `json:"sources,omitempty"`
	Settlements map[outbox.Settlement]uint64 `json:"settlements,omitempty"`
	// Reasons of the newest Sample of them, the most frequent first.
	Reasons []DeadReason `json:"reasons,omitempty"`
	Sample  int          `json:"sample,omitempty"`
}

// DeadReason is how many dead letters have the same reason.
type DeadReason struct {
	Settlement outbox.Settlement `json:"settlement"`
	// Reason is the safe text of the settlement.
	Reason   string `json:"reason"`
	Messages int    `json:"messages"`
}

// Reconcile is how many of Redox's logs are followed.
type Reconcile struct {
	Logs uint64        `json:"logs"`
	Age  time.Duration `json:"age_ns,omitempty"` // of the oldest
}

// Drain is a forecast.
type Drain struct {
	// Messages that will be sent, and Blocked those that will not until something changes.
	Messages uint64 `json:"messages"`
	Blocked  uint64 `json:"blocked,omitempty"`
	// AtLeast is the time below which the limit of requests does not let them go; nil without a
	// known limit. About is the time at the rate at which messages were settled of late; nil when
	// that is not known, or none were.
	AtLeast *time.Duration `json:"at_least_ns,omitempty"`
	About   *time.Duration `json:"about_ns,omitempty"`
	// Text says all that in a line.
	Text string `json:"text"`
}
