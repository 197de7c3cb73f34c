package operate

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/worker/audit"
	"github.com/redoxworker/redoxworker/worker/internal/ledger"
)

// StrayOutcome is what became of one message astray.
type StrayOutcome string

// What becomes of messages astray.
const (
	// Moved: it is stored under its new subject, and no longer under the old.
	Moved StrayOutcome = "moved"
	// AlreadyMoved: a run that was ended in between had stored it there.
	AlreadyMoved StrayOutcome = "already moved"
	// Buried: it is a dead letter.
	Buried StrayOutcome = "dead-lettered"
	// AlreadySettled: a worker had settled it and could not acknowledge it; now it is.
	AlreadySettled StrayOutcome = "already settled"
	// Left: it stays where it is.
	Left StrayOutcome = "left"
)

// Strayed is what became of one message astray.
type Strayed struct {
	ID       string       `json:"id"`
	Source   string       `json:"source,omitempty"`
	Sequence uint64       `json:"sequence"`
	Outcome  StrayOutcome `json:"outcome"`
	// Now is the sequence under which it is stored now; 0 in a dry run, and where nobody knows any more.
	Now uint64 `json:"now,omitempty"`
	// Reason says why it stays: one safe text.
	Reason string `json:"reason,omitempty"`
}

// StrayOptions is what a move of messages astray may be told. The zero value works.
type StrayOptions struct {
	// DryRun changes nothing and says what would be done.
	DryRun bool
	// Pace is called before each message, and may wait: the method Wait of a rate.Limiter
	// (golang.org/x/time) fits, of one a second or more. Its error ends the run. nil does not wait.
	Pace func(context.Context) error
	// Reason is why.
	Reason string
}

// MoveStrays stores the messages that were found under the subjects of a target, with the same id,
// headers and body, and then takes them from where they are. Those of one order token stay in order;
// they come behind what the target has of that token already.
//
// It may be ended at any time, by the loop, by ctx (what is under way is finished first) or by a crash, and
// run again: each message is moved once. What is stored after they were found is left alone. While it
// runs no worker can begin to read the subjects, and messages that another run, or a worker, has are
// waited for. A dry run leaves no entry. An error is the last thing it yields.
func (d *Desk) MoveStrays(ctx context.Context, s Strays, to Target, o StrayOptions) iter.Seq2[Strayed, error] {
	if err := to.Validate(); err != nil {
		return func(yield func(Strayed, error) bool) { yield(Strayed{}, err) }
	}
	detail := "to their own source"
	if to.Source != "" {
		detail = "to " + to.Source
	}
	if to.Lane != "" {
		detail += ", " + string(to.Lane)
	}
	if to.DropReplies {
		detail += ", without replies to others"
	}
	return d.strays(ctx, s, o, audit.Deed{Action: audit.Move, Detail: detail}, &strayRun{to: to})
}

// BuryStrays makes dead letters of the messages that were found, and then takes them from where they are:
// poison where the subject breaks the contract, held where no worker serves the source. Nobody is answered.
// It may be ended and run again as a move, and each becomes one dead letter.
func (d *Desk) BuryStrays(ctx context.Context, s Strays, o StrayOptions) iter.Seq2[Strayed, error] {
	return d.strays(ctx, s, o, audit.Deed{Action: audit.DeadLetter}, &strayRun{bury: true})
}

func (d *Desk) strays(ctx context.Context, s Strays, o StrayOptions, deed audit.Deed, r *strayRun) iter.Seq2[Strayed, error] {
	r.desk, r.strays, r.options, r.run = d, s, o, outbox.NewID()
	r.stays = map[string]bool{}
	r.ledger, r.bodies = ledger.New(d.js, d.prefix), outbox.NewBodies(d.js, d.prefix)
	if o.DryRun || s.Messages == 0 {
		return r.look(ctx)
	}
	deed.Source, deed.Count, deed.Filter, deed.Reason = s.query.Source, int(min(s.Messages, 1<<31)), s.query.String(), o.Reason
	return recorded(ctx, d.record, deed, strayed, r.all(ctx), func(one Strayed) (source, id string) {
		if one.Outcome == Left {
			return "", ""
		}
		return one.Source, one.ID
	})
}

// String says what q selects, as the flags of the command do: nothing that a subject holds.
func (q StrayQuery) String() string {
	switch {
	case q.Source != "":
		return "astray of " + q.Source
	case q.Subject != "":
		return "astray under a subject"
	}
	return "all astray"
}

func strayed(one Strayed, err error) string {
	if err != nil {
		return ""
	}
	return string(one.Outcome)
}

// strayRun is one run.
type strayRun struct {
	desk    *Desk
	ledger  *ledger.Ledger
	bodies  *outbox.Bodies
	strays  Strays
	options StrayOptions
	to      Target
	bury    bool
	run     string

	doubts  map[string][]*doubt      // what runs that were ended may have moved, by mark
	earlier map[string]ledger.Moving // those runs
	stays   map[string]bool          // orders of which a message was left
}

const (
	// batchMost and batchBytes bound what is in hand at a time, together about as much.
	batchMost  = 128
	batchBytes = 16 << 20
	// batchPaced is how many are in hand where each waits for its time: for less than heldFor.
	batchPaced = 16
	// stepTimeout bounds the work on what is in hand.
	stepTimeout = 25 * time.Second
)

// all takes what was found, batch by batch.
func (r *strayRun) all(ctx context.Context) iter.Seq2[Strayed, error] {
	return func(yield func(Strayed, error) bool) {
		var err error
		for filters := r.strays.filters; err == nil && len(filters) > 0; {
			n := min(len(filters), mostFilters)
			var more bool
			if more, err = r.under(ctx, filters[:n], yield); !more && err == nil {
				return
			}
			filters = filters[n:]
		}
		if err == nil {
			err = r.forgetDoubts(ctx)
		}
		if err != nil {
			yield(Strayed{}, err)
		}
	}
}

// under takes what is stored under some filters. more is false when nobody wants to hear more.
func (r *strayRun) under(ctx context.Context, filters []string, yield func(Strayed, error) bool) (more bool, err error) {
	consumer, end, err := r.consumer(ctx, filters)
	if err != nil {
		return false, err
	}
	defer end()
	if err := r.learnDoubts(ctx); err != nil { // now that no other run has them
		return false, err
	}
	// Where it is ended in between, a run that comes later finds what it was about to do.
	for n := 1; ; {
		if ctx.Err() != nil {
			return false, context.Cause(ctx)
		}
		batch, err := fetch(consumer, n)
		if err != nil {
			return false, fmt.Errorf("taking messages from the queue: %w; run the same command again", err)
		}
		if len(batch) == 0 {
			info, err := consumer.Info(ctx)
			if err != nil {
				return false, err
			}
			if info.NumPending > 0 {
				continue
			}
			return true, r.ledger.EndMoving(ctx, r.run)
		}
		late, largest := len(batch), 1
		for i, one := range batch {
			if one.in.Sequence > r.strays.last && i < late {
				late = i
			}
			largest = max(largest, len(one.in.Body))
		}
		if err := r.take(ctx, batch[:late]); err != nil {
			if !tell(batch[:late], yield) {
				err = nil // nobody hears it
			}
			return false, err
		}
		if !tell(batch[:late], yield) {
			_ = r.ledger.EndMoving(context.WithoutCancel(ctx), r.run) // else a later run does
			return false, nil
		}
		if late < len(batch) {
			return true, r.ledger.EndMoving(ctx, r.run)
		}
		if n = min(max(batchBytes/largest, 1), batchMost); r.options.Pace != nil {
			n = min(n, batchPaced)
		}
	}
}

// tell yields what became of each.
func tell(batch []*strayMessage, yield func(Strayed, error) bool) bool {
	for _, one := range batch {
		if one.came.Outcome != "" && !yield(one.came, nil) {
			return false
		}
	}
	return true
}

// look says what would become of each, and changes nothing.
func (r *strayRun) look(ctx context.Context) iter.Seq2[Strayed, error] {
	return func(yield func(Strayed, error) bool) {
		stream, err := r.desk.js.Stream(ctx, r.desk.prefix.OutStream())
		if err == nil {
			err = r.learnDoubts(ctx)
		}
		if err != nil {
			yield(Strayed{}, err)
			return
		}
		for _, filter := range r.strays.filters {
			for from := uint64(1); ; {
				msg, err := stream.GetMsg(ctx, from, jetstream.WithGetMsgSubject(filter))
				if errors.Is(err, jetstream.ErrMsgNotFound) || err == nil && msg.Sequence > r.strays.last {
					break
				}
				one := &strayMessage{}
				if err == nil {
					one.in = outbox.Stored{Subject: msg.Subject, Header: msg.Header, Body: msg.Data, Sequence: msg.Sequence, Time: msg.Time}
					if err = r.lookForCopies(ctx, one); err == nil {
						err = r.plan(ctx, one)
					}
				}
				if err != nil {
					yield(Strayed{}, err)
					return
				}
				r.keepOrder(one)
				switch {
				case one.came.Outcome != "":
				case r.bury:
					one.came.Outcome = Buried
				default:
					one.came.Outcome = Moved
				}
				if !yield(one.came, nil) {
					return
				}
				from = msg.Sequence + 1
			}
		}
	}
}
