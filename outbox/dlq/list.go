package dlq

import (
	"context"
	"errors"
	"iter"
	"strconv"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/internal/jsapi"
	"github.com/redoxworker/redoxworker/outbox/internal/wire"
)

const (
	// listBuffer bounds the messages that the client holds while it lists.
	listBuffer = 500
	// listBytes bounds them in bytes where bodies are read.
	listBytes = 16 << 20
	// listLook is how often the end is looked for while nothing comes.
	listLook = time.Second
	// listResets is how often the client starts the reading anew, in a row, when the
	// connection breaks.
	listResets = 4
	// listTries is how often a listing without progress is tried when that did not help, and
	// listPause what lies between.
	listTries = 3
	listPause = 250 * time.Millisecond
)

// headerMsgSize is set by the server on a message whose body it leaves out.
const headerMsgSize = "Nats-Msg-Size"

// List streams the dead letters that q selects in the order in which they were
// stored, up to the last one that is there when it begins. Memory does not grow
// with their number. The Bodies are nil.
//
// An [*UnreadableError] is about one message, and the listing goes on after it.
// Any other error is the last: that of q, of NATS, or the reason for which ctx
// ended.
func (d *Store) List(ctx context.Context, q Query) iter.Seq2[Stored, error] {
	return func(yield func(Stored, error) bool) {
		if err := d.check(q); err != nil {
			yield(Stored{}, err)
			return
		}
		q = q.indexed()
		err := d.list(ctx, q, q.subjects(d.config.Prefix), func(l Stored, matches bool, err error) bool {
			return !matches && err == nil || yield(l, err)
		})
		if err != nil {
			yield(Stored{}, err)
		}
	}
}

// list calls visit for every dead letter under subjects and says whether q
// selects it, or for one that is unreadable; see List. visit returns false to end
// it. A reading that breaks off goes on where it was.
func (d *Store) list(ctx context.Context, q Query, subjects []string, visit func(l Stored, matches bool, unreadable error) bool) error {
	state, err := d.deadState(ctx)
	if err != nil {
		return err
	}
	return d.listBetween(ctx, q, subjects, 1, state.LastSeq, visit)
}

// listBetween is list of the sequences from and last, and what lies between.
func (d *Store) listBetween(ctx context.Context, q Query, subjects []string, from, last uint64, visit func(l Stored, matches bool, unreadable error) bool) error {
	r := listing{letters: d, query: q, subjects: subjects, from: from, last: last}
	for failures := 1; ; failures++ {
		from := r.from
		err := r.read(ctx, visit)
		if r.from > from {
			failures = 0
		}
		if !brokeOff(err) || failures == listTries || ctx.Err() != nil || jsapi.Forbidden(d.js.Conn()) != nil || !jsapi.Sleep(ctx, listPause) {
			return err
		}
	}
}

// brokeOff reports whether an error says that the consumer of a listing is gone, or does
// not answer: the server that had it was restarted, or others had all of its time.
func brokeOff(err error) bool {
	return err != nil && (errors.Is(err, jetstream.ErrConsumerNotFound) || errors.Is(err, jetstream.ErrConsumerDeleted) ||
		errors.Is(err, jetstream.ErrNoHeartbeat) || jsapi.MayPass(err))
}

// listWindow bounds what the client buffers. The bytes must hold the largest
// message, or the server never sends it.
func (d *Store) listWindow(q Query) jetstream.PullMessagesOpt {
	if !q.readsBodies() {
		return jetstream.PullMaxMessages(listBuffer)
	}
	return jetstream.PullMaxBytes(max(listBytes, int(2*d.js.Conn().MaxPayload())))
}

// dropConsumer leaves nothing behind on the server; what it cannot remove goes
// after a minute.
func (d *Store) dropConsumer(ctx context.Context, consumer jetstream.Consumer) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), jsapi.Timeout)
	defer cancel()
	_ = d.js.DeleteConsumer(ctx, d.config.Prefix.DeadStream(), consumer.CachedInfo().Name)
}

// deadState is that of the dead-letter stream: what is written later is not
// listed, for a stream that is written to all the time has no end.
func (d *Store) deadState(ctx context.Context) (jetstream.StreamState, error) {
	stream, err := d.deadStream(ctx)
	if err != nil {
		return jetstream.StreamState{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, jsapi.Timeout)
	defer cancel()
	info, err := stream.Info(ctx)
	if err != nil {
		return jetstream.StreamState{}, jsapi.Explain(err, d.js, "look at the dead letters")
	}
	return info.State, nil
}

// listing is one pass over the stream.
type listing struct {
	letters  *Store
	query    Query
	subjects []string
	from     uint64 // the sequence at which it goes on
	last     uint64 // the last sequence that is listed
	consumer jetstream.Consumer
	messages jetstream.MessagesContext
}

// read visits what is left.
func (r *listing) read(ctx context.Context, visit func(Stored, bool, error) bool) error {
	d := r.letters
	name := d.config.Prefix.DeadStream()
	open, cancel := context.WithTimeout(ctx, jsapi.Timeout)
	defer cancel()
	cfg := jetstream.OrderedConsumerConfig{
		FilterSubjects: r.subjects, HeadersOnly: !r.query.readsBodies(), InactiveThreshold: time.Minute, MaxResetAttempts: listResets,
		DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: r.from,
	}
	if r.from <= 1 && !r.query.Stored.IsZero() {
		cfg.DeliverPolicy, cfg.OptStartSeq, cfg.OptStartTime = jetstream.DeliverByStartTimePolicy, 0, &r.query.Stored
	}
	var err error
	r.consumer, err = d.js.OrderedConsumer(open, name, cfg)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return d.missing(name)
	}
	if err != nil {
		return jsapi.Explain(err, d.js, "read the dead letters")
	}
	defer d.dropConsumer(ctx, r.consumer)
	if r.consumer.CachedInfo().NumPending == 0 {
		return nil
	}
	r.messages, err = r.consumer.Messages(d.listWindow(r.query), jetstream.PullExpiry(5*time.Second), jetstream.PullHeartbeat(time.Second))
	if err != nil {
		return jsapi.Explain(err, d.js, "read the dead letters")
	}
	defer r.messages.Stop()
	return r.run(ctx, visit)
}

func (r *listing) run(ctx context.Context, visit func(Stored, bool, error) bool) error {
	for {
		msg, err := r.next(ctx)
		if err != nil || msg == nil {
			return err
		}
		meta, err := msg.Metadata()
		if err != nil {
			return jsapi.Explain(err, r.letters.js, "read the dead letters")
		}
		if meta.Sequence.Stream > r.last {
			return nil
		}
		letter, matches, err := r.letter(ctx, msg, meta)
		if err != nil && !errors.As(err, new(*UnreadableError)) {
			return err
		}
		r.from = meta.Sequence.Stream + 1
		if !visit(letter, matches, err) || meta.NumPending == 0 || meta.Sequence.Stream == r.last {
			return nil
		}
	}
}

// next returns nil when nothing is left to come: the last ones may have been
// deleted meanwhile.
func (r *listing) next(ctx context.Context) (jetstream.Msg, error) {
	for {
		look, cancel := context.WithTimeout(ctx, listLook)
		msg, err := r.messages.Next(jetstream.NextContext(look))
		cancel()
		switch {
		case err == nil:
			return msg, nil
		case ctx.Err() != nil:
			return nil, context.Cause(ctx)
		case !errors.Is(err, context.DeadlineExceeded):
			return nil, jsapi.Explain(err, r.letters.js, "read the dead letters")
		}
		look, cancel = context.WithTimeout(ctx, jsapi.Timeout)
		info, err := r.consumer.Info(look)
		cancel()
		if err != nil {
			return nil, jsapi.Explain(err, r.letters.js, "read the dead letters")
		}
		if info.NumPending == 0 {
			return nil, nil
		}
	}
}

// letter reads one message and reports whether the query selects it. An error
// is an *UnreadableError or that of the object store.
func (r *listing) letter(ctx context.Context, msg jetstream.Msg, meta *jetstream.MsgMetadata) (Stored, bool, error) {
	size := len(msg.Data())
	if n, err := strconv.Atoi(wire.First(msg.Headers(), headerMsgSize)); err == nil && !r.query.readsBodies() {
		size = n
	}
	d, q := r.letters, r.query
	l, err := d.decode(outbox.Stored{Subject: msg.Subject(), Header: msg.Headers(), Body: msg.Data(), Sequence: meta.Sequence.Stream, Time: meta.Timestamp}, size)
	if err != nil {
		return Stored{}, false, err
	}
	body := l.Body
	l.Body = nil
	if !q.matches(&l) || !q.readsBodies() {
		return l, q.matches(&l), nil
	}
	if l.Sealed() { // what it is about is not known
		return l, q.matchesModel(&l), nil
	}
	if name := l.Object(); name != "" && q.wantsModel() {
		if body, err = d.bodies.Get(ctx, name, d.config.MaxClaim); err != nil && !lostBody(err) {
			return Stored{}, false, err
		}
	}
	d.readEvent(&l, body)
	return l, q.matchesModel(&l), nil
}

// lostBody reports that a stored body cannot be read, now or later.
func lostBody(err error) bool {
	return errors.Is(err, outbox.ErrBodyMissing) || errors.Is(err, outbox.ErrBodyAltered) || errors.As(err, new(*outbox.SizeError))
}
