package operate

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/worker"
	"github.com/redoxworker/redoxworker/worker/internal/ledger"
)

// queue looks for the message, and its replays, in the work queue. A message without an id of its own
// is found by its place at once.
func (f *finding) queue(ctx context.Context) error {
	stream, err := f.js.Stream(ctx, f.prefix.OutStream())
	if err != nil {
		return err
	}
	if number, ok := strings.CutPrefix(f.id, f.prefix.OutStream()+":"); ok {
		if sequence, err := strconv.ParseUint(number, 10, 64); err == nil {
			f.numbers[f.options.Source] = sequence
			msg, err := stream.GetMsg(ctx, sequence)
			if err == nil {
				return f.queued(ctx, stream, msg)
			}
			if !errors.Is(err, jetstream.ErrMsgNotFound) {
				return err
			}
		}
	}
	filter := "*"
	if f.options.Source != "" {
		filter = f.options.Source
	}
	filter = f.prefix.String() + ".out." + filter + ".>"
	from, err := f.firstAfter(ctx, stream, filter)
	if err != nil {
		return err
	}
	for n := 0; ; n++ {
		msg, err := stream.GetMsg(ctx, from, jetstream.WithGetMsgSubject(filter))
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		if n == f.options.Scan {
			return fmt.Errorf("%w: what was stored after the first %d; name the source, or look at more (--scan)", errNotLooked, n)
		}
		m, _ := outbox.Decode(f.prefix, outbox.Stored{Subject: msg.Subject, Header: msg.Header, Sequence: msg.Sequence, Time: msg.Time}) // a breach of the contract is the worker's to settle
		if f.mine(m.ID, m.ReplayOf) {
			if err := f.queued(ctx, stream, msg); err != nil {
				return err
			}
			if m.ID == f.id && f.options.Source != "" {
				return nil
			}
		}
		from = msg.Sequence + 1
	}
}

// firstAfter is the sequence of the first message that was stored after the time that the id tells,
// found by halving.
func (f *finding) firstAfter(ctx context.Context, stream jetstream.Stream, filter string) (uint64, error) {
	state := stream.CachedInfo().State
	low, high := max(state.FirstSeq, 1), state.LastSeq+1
	if f.since.IsZero() {
		return low, nil
	}
	for low < high {
		middle := low + (high-low)/2
		msg, err := stream.GetMsg(ctx, middle, jetstream.WithGetMsgSubject(filter))
		switch {
		case errors.Is(err, jetstream.ErrMsgNotFound):
			high = middle
		case err != nil:
			return 0, err
		case msg.Time.Before(f.since):
			low = msg.Sequence + 1
		default:
			high = middle
		}
	}
	return low, nil
}

// queued says what a message of the work queue is doing.
func (f *finding) queued(ctx context.Context, stream jetstream.Stream, msg *jetstream.RawStreamMsg) error {
	m, _ := outbox.Decode(f.prefix, outbox.Stored{Subject: msg.Subject, Header: msg.Header, Sequence: msg.Sequence, Time: msg.Time}) // as above
	p := f.place(m.Source)
	p.Sequence, p.Lane, p.Now = m.Sequence, m.Lane, m.ID
	p.note(m.Stored, "stored as number %d of the work queue%s", m.Sequence, asReplay(m.ID, f.id))
	rec, _, err := ledger.New(f.js, f.prefix).Load(ctx, m)
	if err != nil {
		f.unlearned = append(f.unlearned, fmt.Sprintf("the attempts: %v", err))
	}
	p.Attempts, p.Status, p.Error, p.Next = rec.Attempts, rec.Status, rec.Error, rec.Next
	if !rec.Begun.IsZero() {
		p.note(rec.Begun, "an attempt began")
	}
	if m.Lane == "" {
		p.is(rankQueue, Queued, "no worker reads its subject: see astray ls")
		return nil
	}
	if m.Lane == contract.LaneOrdered {
		head, err := stream.GetMsg(ctx, 1, jetstream.WithGetMsgSubject(msg.Subject))
		if err == nil && head.Sequence < m.Sequence {
			h, _ := outbox.Decode(f.prefix, outbox.Stored{Subject: head.Subject, Header: head.Header, Sequence: head.Sequence, Time: head.Time}) // as above
			p.Behind = h.ID
			p.is(rankQueue, BehindHead, "message "+h.ID+" of its order is before it; see order ls")
			return nil
		}
		if err != nil && !errors.Is(err, jetstream.ErrMsgNotFound) {
			return err
		}
	}
	return f.waits(ctx, p, m, rec)
}

func asReplay(id, of string) string {
	if id == of {
		return ""
	}
	return " as replay " + id
}

// waits says what a message waits for that may go.
func (f *finding) waits(ctx context.Context, p *Place, m outbox.Message, rec ledger.Record) error {
	pause, held, err := f.pause(ctx, m.Source)
	if err != nil {
		f.unlearned = append(f.unlearned, fmt.Sprintf("pauses: %v", err))
	}
	consumer, err := f.js.Consumer(ctx, f.prefix.OutStream(), f.prefix.LaneConsumer(m.Source, m.Lane))
	var info *jetstream.ConsumerInfo
	switch {
	case err == nil:
		info = consumer.CachedInfo()
	case !errors.Is(err, jetstream.ErrConsumerNotFound):
		f.unlearned = append(f.unlearned, fmt.Sprintf("what workers have in hand: %v", err))
	}
	handed := info != nil && info.Delivered.Stream >= m.Sequence && info.NumAckPending > 0
	switch {
	case rec.Settled != "":
		p.is(rankQueue, InFlight, "it is settled "+string(rec.Settled)+" and about to leave the queue")
	case rec.Started > 0 && handed:
		p.is(rankQueue, InFlight, "an attempt is under way")
	case pause != nil:
		p.is(rankQueue, PausedState, pausedBy(*pause))
	case rec.Next.After(time.Now()):
		p.is(rankQueue, Waiting, "it comes again at "+rec.Next.UTC().Format(time.RFC3339)+ifItGoesTo(held))
	case handed:
		p.is(rankQueue, InFlight, "a worker has it")
	case info == nil:
		p.is(rankQueue, Queued, "no worker has opened its source; does one run that serves it? Else see astray ls")
	default:
		p.is(rankQueue, Queued, fmt.Sprintf("%d of its source are before it", before(info, m)))
	}
	return nil
}

// before is how many messages the consumer may hand out before one; a guess where others were settled.
func before(info *jetstream.ConsumerInfo, m outbox.Message) uint64 {
	if m.Sequence <= info.Delivered.Stream {
		return 0
	}
	return min(m.Sequence-info.Delivered.Stream-1, info.NumPending)
}

// pause is one that keeps messages of a source back; nil when there is none. held are the destinations
// of it that an operator has paused: which of them a message goes to nobody can tell from here.
func (f *finding) pause(ctx context.Context, source string) (pause *worker.Paused, held []string, err error) {
	list, err := worker.NewPauses(f.js, f.prefix, "").List(ctx)
	if err != nil {
		return nil, nil, err
	}
	for _, p := range list {
		switch {
		case pause == nil && (p.Scope == "all" || p.Scope == "source:"+source):
			pause = &p
		case p.Holds(source):
			held = append(held, pausedBy(p))
		}
	}
	return pause, held, nil
}

// ifItGoesTo says what else may keep a message back.
func ifItGoesTo(held []string) string {
	switch n := len(held); n {
	case 0:
		return ""
	case 1:
		return "; " + held[0]
	default:
		return fmt.Sprintf("; %s, and %d other destinations are paused", held[0], n-1)
	}
}

func pausedBy(p worker.Paused) string {
	text := p.Scope + " is paused"
	if p.Operator {
		text += " by " + p.By
	}
	if p.Left > 0 {
		text += " for " + p.Left.Round(time.Second).String()
	}
	if p.Reason != "" {
		text += ": " + p.Reason
	}
	return text
}
