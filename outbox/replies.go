package outbox

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/outbox/internal/jsapi"
	"github.com/redoxworker/redoxworker/outbox/seal"
)

const (
	defaultRepliesAckWait = 10 * time.Second
	// repliesForgotten is how long nobody may ask for replies before the server forgets how far
	// they were read: longer than replies are stored.
	repliesForgotten = 48 * time.Hour
	// repliesPull is how long one request for the next reply waits.
	repliesPull = 30 * time.Second
	// repliesMark is the longest time between two signs of life: AckWait may be made shorter
	// meanwhile by another process.
	repliesMark = time.Second
	// The pauses after an error are 100, 200, 400, ... ms, at most 5 s.
	repliesFirstPause = 100 * time.Millisecond
	repliesLastPause  = 5 * time.Second
)

// RepliesConfig says which replies [Replies] reads, and how.
type RepliesConfig struct {
	// Prefix of subjects and streams. Empty means redox.
	Prefix contract.Prefix
	// Source whose durable replies are read: all below redox.reply.<source>. Required.
	Source string
	// Name distinguishes readers that each want every reply; processes that share the work
	// use the same Name. It consists of letters, digits, - and _. The empty Name is a reader
	// of its own.
	Name string
	// Since is the time from which a new reader gets the stored replies; zero means from the
	// oldest. An existing reader continues where it was.
	Since time.Time
	// InFlight is how many replies all processes with this Name may handle at once. 0 means 1:
	// replies are handled one after the other, as they were stored, which is the order of the
	// messages with the same order key. With more there is no order. Processes with the same Name
	// should have the same InFlight and AckWait: those of the last one to start count, unless it
	// has no right to change the consumer.
	InFlight int
	// AckWait is the time after the last sign of life of a process at which its replies go to
	// another one. 0 means 10 s. It is renewed while a reply is handled, however long that
	// takes.
	AckWait time.Duration
	// MaxClaim bounds a body in the object store, in bytes. 0 means 64 MiB, -1 no bound.
	MaxClaim int64
	// LeaveBodies leaves a body that lies in the object store there; see [PublisherConfig].
	LeaveBodies bool
	// Ring opens sealed replies; without it they stay as they are, with an error beside them.
	Ring *seal.Ring
	// RequireSeal removes the bodies of replies that are not sealed and adds [ErrUnsealedReply] to them.
	RequireSeal bool
}

// WithDefaults returns a copy in which every zero field has its default.
func (c RepliesConfig) WithDefaults() RepliesConfig {
	c.InFlight = cmp.Or(c.InFlight, 1)
	c.AckWait = cmp.Or(c.AckWait, defaultRepliesAckWait)
	c.MaxClaim = cmp.Or(c.MaxClaim, defaultMaxClaim)
	return c
}

// Validate reports every field that cannot work.
func (c RepliesConfig) Validate() error {
	errs := []error{c.Prefix.Validate(), contract.CheckSource(c.Source)}
	if c.Name != "" && !isReaderName(c.Name) {
		errs = append(errs, errors.New("outbox: Name: use up to 64 letters, digits, - and _"))
	}
	if c.InFlight < 0 {
		errs = append(errs, fmt.Errorf("outbox: InFlight %d: use 1 or more", c.InFlight))
	}
	if c.AckWait != 0 && c.AckWait < 100*time.Millisecond {
		errs = append(errs, fmt.Errorf("outbox: AckWait %v: use 100ms or more", c.AckWait))
	}
	if c.MaxClaim < -1 {
		errs = append(errs, fmt.Errorf("outbox: MaxClaim %d: use more than 0, 0 for the default or -1 for no bound", c.MaxClaim))
	}
	return errors.Join(errs...)
}

func isReaderName(s string) bool {
	for _, c := range s {
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_') {
			return false
		}
	}
	return len(s) <= 64
}

// Replies reads the durable replies of one source (those to subjects under redox.reply.<source>.),
// each at least once. The server keeps the position of the reader in a durable consumer, so that
// another process continues where one has ended. A reply is stored for 24 hours.
//
// It needs the rights to look at and pull from the consumer <source>-replies, or
// <source>-replies-<name>, of the stream REDOX_REPLIES, and to acknowledge there; deploy/nats has
// them. Replies makes the consumer at its first reply, if it has the right to; the server then
// removes the consumer after 48 hours without a request. Otherwise an operator makes it with
// [Replies.Provision]. The right to make a consumer includes having the server write what it
// reads to any subject: do not give it to applications that do not trust each other.
type Replies struct {
	js     jetstream.JetStream
	config RepliesConfig
	bodies *Bodies

	mu       sync.Mutex
	consumer jetstream.Consumer // nil until it is found, and when it was lost
	done     time.Time          // when the latest reply that is done was stored
}

// Received is a reply that [Replies.All] has read.
type Received struct {
	Reply
	// Subject is where the reply is stored: the ReplyTo of the message.
	Subject string
	// Sequence in the stream of replies, and when it was stored there.
	Sequence uint64
	Stored   time.Time
	// Deliveries is how often the reply was handed to somebody, this time included: above 1 it
	// may have been handled before.
	Deliveries int

	again *time.Duration // it is not done, and wanted again so much later
}

// Again has the reply delivered again, no sooner than after delay, instead of being done when the loop goes
// on. With an InFlight of 1 all later replies wait meanwhile. It must be called in the body
// of the loop.
func (r *Received) Again(delay time.Duration) { r.again = new(max(delay, 0)) }

// NewReplies returns a reader on js. It makes no request.
func NewReplies(js jetstream.JetStream, cfg RepliesConfig) (*Replies, error) {
	if js == nil {
		return nil, errors.New("outbox: NewReplies needs a JetStream context")
	}
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	return &Replies{js: js, config: cfg.WithDefaults(), bodies: NewBodies(js, cfg.Prefix)}, nil
}

// Provision makes the consumer for readers that may not make it. The server keeps it even if
// nobody reads. An existing consumer continues where it was.
func (r *Replies) Provision(ctx context.Context) error {
	consumer, err := r.open(ctx)
	if err != nil {
		return err
	}
	cfg := consumer.CachedInfo().Config
	if cfg.InactiveThreshold == 0 {
		return nil
	}
	cfg.InactiveThreshold = 0
	ctx, cancel := context.WithTimeout(ctx, jsapi.Timeout)
	defer cancel()
	_, err = r.js.UpdateConsumer(ctx, r.config.Prefix.ReplyStream(), cfg)
	return jsapi.Explain(err, r.js, "provision the replies of source "+r.config.Source)
}

// All yields replies as they come, until ctx ends or the loop is left:
//
//	for reply, err := range replies.All(ctx) {
//		if err != nil {
//			log.Print(err) // and it goes on
//			continue
//		}
//		handle(reply)
//	}
//
// A reply is done when the loop moves on to the next one, unless [Received.Again] was called. A
// reply that is being handled when the process dies or the loop is left comes again: a handler
// that must not act twice remembers the Sequence.
//
// An error with a nil reply says why no reply, or no body from the object store, can be read at the moment:
// [ErrNoStream], [ErrPermission] and others. If the loop goes on, All waits and tries again. An error with a reply is
// permanent. It is about the body ([ErrBodyMissing], [ErrBodyAltered], a *[SizeError], [ErrUnsealedReply] or an error
// of package seal), or says that the stored message is not the reply of a worker. Such a reply is done like any other
// when the loop goes on.
//
// All may be ranged over by many goroutines at once. A panic of the loop's body leaves the
// reply as it is: it comes again.
func (r *Replies) All(ctx context.Context) iter.Seq2[*Received, error] {
	return func(yield func(*Received, error) bool) {
		pause := repliesFirstPause
		for ctx.Err() == nil {
			msg, lease, err := r.next(ctx)
			switch {
			case ctx.Err() != nil:
				return
			case err != nil:
				// Its consumer may be gone, and is looked for anew: that mends it, or says more.
				lost := errors.Is(err, errReader) && pause == repliesFirstPause
				if !lost && !yield(nil, err) || !jsapi.Sleep(ctx, pause) {
					return
				}
				pause = min(2*pause, repliesLastPause)
			default:
				pause = repliesFirstPause
				if msg != nil && !r.handle(ctx, msg, lease, yield) {
					return
				}
			}
		}
	}
}

// errReader is in the error of a consumer that does not answer as it should.
var errReader = errors.New("its consumer was lost, or refuses")

// next waits for a reply, and says how long it is ours without a sign of life. None without an
// error means that none came for a while.
func (r *Replies) next(ctx context.Context) (jetstream.Msg, time.Duration, error) {
	consumer, err := jsapi.OpenOnce(&r.mu, &r.consumer, func() (jetstream.Consumer, error) { return r.open(ctx) })
	if err != nil {
		return nil, 0, err
	}
	wait, cancel := context.WithTimeout(ctx, repliesPull)
	defer cancel()
	msg, err := consumer.Next(jetstream.FetchContext(wait))
	switch {
	case err == nil:
		return msg, consumer.CachedInfo().Config.AckWait, nil
	case ctx.Err() != nil, errors.Is(err, nats.ErrTimeout), errors.Is(err, context.DeadlineExceeded):
		return nil, 0, r.refused(consumer)
	}
	// Whatever is wrong with it, it is looked for anew, and made where it is gone.
	r.mu.Lock()
	if r.consumer == consumer {
		r.consumer = nil
	}
	r.mu.Unlock()
	return nil, 0, fmt.Errorf("outbox: read the replies of source %s: %w: %w", r.config.Source, errReader, err)
}

// refused reports that this user may not pull: the server does not answer such a request.
func (r *Replies) refused(consumer jetstream.Consumer) error {
	info := consumer.CachedInfo()
	api := jsapi.APIPrefix(r.js) + "CONSUMER.MSG.NEXT." + info.Stream + "." + info.Name
	if !jsapi.Refused(r.js.Conn(), api) {
		return nil
	}
	return fmt.Errorf("outbox: read the replies of source %s: %w: allow this user to publish to %s", r.config.Source, ErrPermission, api)
}

// open finds the durable consumer, or makes it.
func (r *Replies) open(ctx context.Context) (jetstream.Consumer, error) {
	ctx, cancel := context.WithTimeout(ctx, jsapi.Timeout)
	defer cancel()
	stream, name := r.config.Prefix.ReplyStream(), r.config.Source+"-replies"
	if r.config.Name != "" {
		name += "-" + r.config.Name
	}
	consumer, err := r.js.Consumer(ctx, stream, name)
	switch {
	case errors.Is(err, jetstream.ErrConsumerNotFound):
		consumer, err = r.js.CreateConsumer(ctx, stream, r.consumerConfig(name))
		if errors.Is(err, jetstream.ErrConsumerExists) { // another process was quicker, with other settings
			consumer, err = r.js.Consumer(ctx, stream, name)
		}
	case err == nil:
		consumer, err = r.adjust(ctx, consumer)
	}
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil, fmt.Errorf("outbox: read the replies of source %s: %w: stream %s is missing: run `redoxworker provision`", r.config.Source, ErrNoStream, stream)
	}
	if err = jsapi.Explain(err, r.js, "read the replies of source "+r.config.Source); errors.Is(err, ErrPermission) {
		err = fmt.Errorf("%w; a consumer that this user may not make is made by `redoxworker provision --replies %s`", err, r.config.Source)
	}
	if err != nil {
		return nil, err
	}
	return consumer, nil
}

// adjust gives a consumer the settings of this reader. Whoever may not do so takes it as it is, but
// for one that hands out more at once than this reader wants.
func (r *Replies) adjust(ctx context.Context, consumer jetstream.Consumer) (jetstream.Consumer, error) {
	cfg := consumer.CachedInfo().Config
	if cfg.AckWait == r.config.AckWait && cfg.MaxAckPending == r.config.InFlight {
		return consumer, nil
	}
	few := cfg.MaxAckPending > 0 && cfg.MaxAckPending <= r.config.InFlight
	cfg.AckWait, cfg.MaxAckPending = r.config.AckWait, r.config.InFlight
	adjusted, err := r.js.UpdateConsumer(ctx, r.config.Prefix.ReplyStream(), cfg)
	if few && (jsapi.Unanswered(err) || errors.Is(err, nats.ErrNoResponders)) {
		return consumer, nil
	}
	return adjusted, err
}

// consumerConfig is that of a consumer that begins where the configuration says, or, where it was
// lost, behind what is known to be done.
func (r *Replies) consumerConfig(name string) jetstream.ConsumerConfig {
	cfg := jetstream.ConsumerConfig{
		Durable:           name,
		Description:       "Replies of " + r.config.Source + " that were not handled yet.",
		FilterSubject:     r.config.Prefix.ReplySubject(r.config.Source, ">"),
		AckPolicy:         jetstream.AckExplicitPolicy,
		AckWait:           r.config.AckWait,
		MaxAckPending:     r.config.InFlight,
		MaxDeliver:        -1,
		InactiveThreshold: repliesForgotten,
		DeliverPolicy:     jetstream.DeliverAllPolicy,
	}
	since := r.config.Since
	r.mu.Lock()
	if r.config.InFlight == 1 && !r.done.IsZero() { // a stream that was made anew begins to count anew
		since = r.done.Add(1)
	}
	r.mu.Unlock()
	if !since.IsZero() {
		cfg.DeliverPolicy, cfg.OptStartTime = jetstream.DeliverByStartTimePolicy, &since
	}
	return cfg
}
