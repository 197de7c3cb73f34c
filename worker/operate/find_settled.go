package operate

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/outbox/dlq"
	"github.com/redoxworker/redoxworker/worker/audit"
)

// dead looks for a dead letter where its subject tells it, and else through the headers of all that are
// not older than the message, up to the first of it: as a rule an id is that of one message.
func (f *finding) dead(ctx context.Context) error {
	if found, err := f.deadAt(ctx); found || err != nil {
		return err
	}
	q := dlq.Query{IDs: []string{f.id}, WithReplays: true, Stored: f.since}
	if f.options.Source != "" {
		q.Sources = []string{f.options.Source}
	}
	for l, err := range f.letters.List(ctx, q) {
		if errors.As(err, new(*dlq.UnreadableError)) {
			continue
		}
		if err != nil {
			return err
		}
		f.buried(l)
		if l.MessageID == f.id && f.options.Scan > 0 && (!f.since.IsZero() || f.options.Source != "") {
			return f.beyond(ctx, l)
		}
	}
	return nil
}

// deadAt looks where the message was settled, as far as its sequence is known.
func (f *finding) deadAt(ctx context.Context) (found bool, err error) {
	for source, sequence := range f.numbers {
		l, err := f.letters.Of(ctx, source, f.id, sequence)
		if errors.Is(err, dlq.ErrNotFound) || errors.As(err, new(*dlq.UnreadableError)) {
			continue
		}
		if err != nil {
			return false, err
		}
		f.buried(l)
		found = f.options.Scan > 0
	}
	return found, nil
}

// beyond says that dead letters were not looked at, if there are any beyond the one that was found.
func (f *finding) beyond(ctx context.Context, l dlq.Stored) error {
	last, err := f.letters.Last(ctx)
	if err == nil && last > l.DeadSequence {
		f.unlearned = append(f.unlearned, fmt.Sprintf("whether another message has this id: %v: what came after dead letter %d; --scan -1 looks at all", errNotLooked, l.DeadSequence))
	}
	return err
}

// buried takes in what a dead letter tells.
func (f *finding) buried(l dlq.Stored) {
	p := f.place(l.Source)
	p.note(l.At, "settled %s by %s after %s: %s%s", l.Settlement, l.Worker, counted(l.Attempts, "attempt"), l.Error, asReplay(l.MessageID, f.id))
	state, why := DeadLettered, "see dlq show; then replay, edit or discard it"
	if l.Settlement == outbox.Held {
		state, why = Held, "a person must decide: see dlq show; then replay or discard it"
	}
	if p.is(rankLetter, state, why) {
		p.Now, p.DeadSequence, p.Settlement = l.MessageID, l.DeadSequence, l.Settlement
		p.Attempts, p.Status, p.Error = l.Attempts, l.Status, l.Error
	}
}

// replays asks the ledger how replays were settled.
func (f *finding) replays(ctx context.Context) error {
	for _, source := range f.sources() {
		notes, err := f.letters.Replays(ctx, source, f.id)
		if err != nil {
			return err
		}
		for i, n := range notes {
			p := f.place(source)
			p.note(time.Time{}, "replay %s was settled %s", n.ID, n.Settlement)
			if i == len(notes)-1 && n.Settlement == outbox.Delivered && p.is(rankNote, Replayed, "its replay "+n.ID+" was delivered") {
				p.Now, p.Settlement = n.ID, n.Settlement
			}
		}
	}
	return nil
}

// replies looks for a durable reply: under the subject that publishers choose, then through headers.
func (f *finding) replies(ctx context.Context) error {
	stream, err := f.js.Stream(ctx, f.prefix.ReplyStream())
	if err != nil {
		return err
	}
	plain := strings.ReplaceAll(f.id, ".", "")
	sources, found := f.sources(), 0
	for _, source := range sources {
		if strings.ContainsAny(plain, "*> \t") || plain == "" {
			break
		}
		msg, err := stream.GetLastMsgForSubject(ctx, f.prefix.ReplySubject(source, plain))
		switch {
		case err == nil && f.replied(msg.Subject, msg.Header.Get, msg.Time):
			found++
		case err != nil && !errors.Is(err, jetstream.ErrMsgNotFound):
			return err
		}
	}
	if found > 0 && found == len(sources) {
		return nil
	}
	filter := "*"
	if f.options.Source != "" {
		filter = f.options.Source
	}
	cfg := jetstream.OrderedConsumerConfig{FilterSubjects: []string{f.prefix.ReplySubject(filter, ">")}, HeadersOnly: true, InactiveThreshold: time.Minute}
	if !f.since.IsZero() {
		cfg.DeliverPolicy, cfg.OptStartTime = jetstream.DeliverByStartTimePolicy, &f.since
	}
	return f.scanReplies(ctx, stream, cfg)
}

func (f *finding) scanReplies(ctx context.Context, stream jetstream.Stream, cfg jetstream.OrderedConsumerConfig) error {
	consumer, err := stream.OrderedConsumer(ctx, cfg)
	if err != nil {
		return err
	}
	defer func() {
		done, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		_ = stream.DeleteConsumer(done, consumer.CachedInfo().Name) // else the server does, after a minute
	}()
	left := consumer.CachedInfo().NumPending
	for n := 0; left > 0; {
		if f.options.Scan > 0 && n >= f.options.Scan*replyFactor {
			return fmt.Errorf("%w: %d replies after the first %d; name the source, or look at more (--scan)", errNotLooked, left, n)
		}
		batch, err := consumer.Fetch(500, jetstream.FetchMaxWait(2*time.Second))
		if err != nil {
			return err
		}
		got := 0
		for msg := range batch.Messages() {
			got++
			meta, err := msg.Metadata()
			if err != nil {
				return err
			}
			left = meta.NumPending
			f.replied(msg.Subject(), msg.Headers().Get, meta.Timestamp)
		}
		if n += got; got == 0 {
			return batch.Error()
		}
	}
	return nil
}

// replyFactor is how many more replies than messages of the queue are looked at: they come without
// bodies, and many at once.
const replyFactor = 10

// replied takes a reply in, if it is that of the message, and reports whether it is.
func (f *finding) replied(subject string, header func(string) string, at time.Time) bool {
	id, of := header(contract.HeaderMessageID), header(contract.HeaderReplayOf)
	if !f.mine(id, of) {
		return false
	}
	source, _, _ := strings.Cut(strings.TrimPrefix(subject, f.prefix.String()+".reply."), ".")
	p := f.place(source)
	settlement := outbox.Settlement(header(contract.HeaderSettlement))
	p.Reply = outbox.SafeSubject(subject)
	p.note(at, "answered: %s%s", settlement, asReplay(id, f.id))
	if ids := header(contract.HeaderLogIDs); ids != "" {
		p.LogIDs = strings.Split(ids, ",")
	}
	if settlement == outbox.Delivered && p.is(rankReply, Replied, "") {
		p.Now, p.Settlement = id, settlement
	}
	return true
}

// audit looks for what operators did to the message, and for its settlement where these are kept.
func (f *finding) audit(ctx context.Context) error {
	q := audit.Query{Source: f.options.Source, Message: f.id, Since: f.since, Settlements: !f.since.IsZero() || f.options.Source != ""}
	if !q.Settlements {
		f.unlearned = append(f.unlearned, "settlements in the audit trail: name the source")
	}
	for r, err := range audit.NewReader(f.js, f.prefix).List(ctx, q) {
		if err != nil {
			return err
		}
		if e := r.Entry; e != nil {
			p := f.place(e.Source)
			p.note(e.Time, "settled %s by %s after %s", e.Settlement, e.Worker, counted(e.Attempts, "attempt"))
			if e.DeadLetter {
				f.numbers[e.Source] = e.Sequence
			}
			if len(e.LogIDs) > 0 {
				p.LogIDs = e.LogIDs
			}
			if e.Settlement == outbox.Delivered && p.is(rankAudit, Delivered, "") {
				p.Now, p.Settlement = e.Message, e.Settlement
			}
			continue
		}
		f.done(r.Deed)
	}
	return nil
}

// done notes a deed about the message, and how it ended where that was before its end.
func (f *finding) done(d *audit.Deed) {
	text := string(d.Action) + " by " + d.By
	if d.Action == audit.Move {
		text += ", " + d.Detail
	}
	if d.Outcome != "" {
		for source := range f.deeds[d.ID] {
			if d.Outcome != audit.Done {
				f.place(source).note(d.Time, "%s: %s", text, d.Outcome)
			}
		}
	} else if d.Reason != "" {
		text += ": " + d.Reason
	}
	for source, ids := range d.IDs {
		if !slices.Contains(ids, f.id) || f.options.Source != "" && source != f.options.Source {
			continue
		}
		source = strings.TrimPrefix(source, contract.NoSource)
		p := f.place(source)
		p.note(d.Time, "%s", text)
		if d.Action == audit.Move {
			p.is(rankAudit, MovedAway, "it was moved "+d.Detail)
		}
		if d.Action == audit.Discard {
			p.is(rankAudit, Discarded, "its dead letter was deleted by "+d.By)
		}
		if f.deeds[d.ID] == nil {
			f.deeds[d.ID] = map[string]bool{}
		}
		f.deeds[d.ID][source] = true
	}
}
