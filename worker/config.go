package worker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/outbox/seal"
	"github.com/redoxworker/redoxworker/worker/audit"
	"github.com/redoxworker/redoxworker/worker/internal/guard"
	"github.com/redoxworker/redoxworker/worker/internal/meter"
	"github.com/redoxworker/redoxworker/worker/internal/verdict"
)

// Deliverer sends one message to the far side. The worker calls it once for each attempt. It must
// be safe for concurrent use.
//
// Deliver may block for as long as the request takes. It must return soon after ctx ends;
// context.Cause(ctx) says why it ended. It may read m.Body until it returns and must not change
// it. With Config.StreamFiles it reads the body of a file with m.OpenBody. m.Deadline is by this
// host's clock: the worker has converted it from the clock of the NATS server.
//
// A nil error means that the far side took the message. With an error, the Answer still holds
// what was answered, if anything; see [Failure] for what an error can say. A panic is recovered
// and counts as an [UnknownOutcome].
//
// Optimization: if ctx has a method Cancel(cause error), Deliver may call it to abort the
// attempt, for a time limit of its own say, instead of wrapping ctx.
type Deliverer interface {
	Deliver(ctx context.Context, m outbox.Message) (outbox.Answer, error)
}

// DelivererFunc makes a function a [Deliverer].
type DelivererFunc func(ctx context.Context, m outbox.Message) (outbox.Answer, error)

// Deliver calls f.
func (f DelivererFunc) Deliver(ctx context.Context, m outbox.Message) (outbox.Answer, error) {
	return f(ctx, m)
}

// Source is one sender whose messages this worker consumes.
type Source struct {
	// Name is the subject token of the source: [a-z0-9-]{1,64}.
	Name string
	// Scopes are the pause scopes that the source depends on, for example "key:main" and
	// "host:api.redoxengine.com". While one of them is paused, nothing of the source is pulled.
	// Without a host scope, trouble of the far side pauses no host.
	Scopes []string
	// MessageScopes returns the pause scopes of one message besides those of its source: another
	// host that only some messages go to, or "dest:<source>:<id>" for a destination behind the far
	// side. They must hold no patient data. While one of them is paused the message is handed back
	// with a delay and nothing is counted; other messages of the source go on. It must be fast and
	// safe for concurrent use. nil means none.
	MessageScopes func(m outbox.Message) []string
	// Hold reports whether a message of unknown outcome is settled held instead of being sent
	// again. The worker asks before the first attempt, so that it can record the intent. For a
	// message whose body is in the object store it asks without the body, and once more with the
	// body if the answer was no. It must be fast and safe for concurrent use. nil means never. A
	// panic counts as true.
	Hold func(m outbox.Message) bool
}

// Config of a [Worker]. The zero value is valid and serves no source: name them, or set
// AllSources.
type Config struct {
	// Prefix of subjects, streams and buckets. Default "redox".
	Prefix contract.Prefix
	// Sources lists the sources to consume. If it is empty the worker runs, is ready and takes
	// nothing.
	Sources []Source
	// AllSources has the worker serve every source that has messages on the stream, each
	// without scopes and Hold. Sources must be empty then. Default false.
	AllSources bool
	// Concurrency is how many attempts are in flight over all sources. Each source has an equal
	// share for its REQUESTs and one for its other messages, and more while others need less. A
	// source gets its first attempt and the rest of its share at once, however many sources there
	// are. While others hold more than their shares, for example because their far side hangs,
	// the total may exceed Concurrency by half, plus one attempt for each source. The worker
	// narrows the limit to what the far side copes with. Trouble of a single source narrows only
	// that source. Default 64.
	Concurrency int
	// PullBytes bounds the messages of one pull, in bytes. Default 8 MiB, at least the server's
	// max payload.
	PullBytes int
	// AckWait is the ack wait of the consumers that this worker makes, and the length of its lease
	// on a message. The worker does not pull from a consumer with a shorter one. Default 30s.
	AckWait time.Duration
	// DrainTimeout is how long attempts in flight may go on after Run's context ends, before they
	// are cancelled and handed back. Default 30s; −1 cancels at once.
	DrainTimeout time.Duration
	// HoldAfterDeadLetter settles the later messages of an order token as held, without sending
	// them, once a message of the token is dead-lettered. It stops when a replay of that message
	// is delivered, or when its dead letter is discarded. It costs one read of the ledger for
	// each ordered message, and one write of some 100 bytes for each held one. Default: later
	// messages go on.
	HoldAfterDeadLetter bool
	// MaxClaim bounds the body of a claim-checked message, in bytes. A message with a larger one
	// is settled poison. Default 64 MiB.
	MaxClaim int64
	// MaxClaimMemory bounds the memory for the bodies of claim-checked messages over all attempts
	// in flight, in bytes. A message without room waits for it under its lease, and no attempt is
	// counted. Answers for which a Deliverer calls [AnswerRoom] share the memory and get at most
	// half of it. A source that already holds some must leave a quarter to others. One body and one
	// answer at a time may exceed the bound, so that a source that holds nothing does not wait for
	// the large bodies of others. Copies that the Deliverer makes are not counted. Default 256 MiB.
	MaxClaimMemory int64
	// StreamFiles leaves the bodies of claim-checked messages of kind file in the object store,
	// for a Deliverer that reads them with [outbox.Message.OpenBody]. No more than 128 KiB of
	// each are in memory.
	StreamFiles bool
	// AttemptTimeout bounds an attempt whose Deliverer does not return. The worker checks it
	// every tenth of AckWait. Default 10m.
	AttemptTimeout time.Duration
	// BreakerAfter is the number of requests in a row that must fail through the far side's own
	// trouble (it answered 408 or 5xx, or not at all) before all workers pause and probe what the
	// requests have in common: a destination, a source, or the host if two sources and
	// destinations failed with no success between. The source is paused as well when the far side
	// refuses it the same way that often in a row (see [Failure]). Default 5; −1 means never.
	BreakerAfter int
	// Limiter grants requests under a limit shared with other workers; nil means no limit.
	Limiter Limiter
	// Retry says when to try again and when to give up.
	Retry Retry
	// Ring opens sealed messages and seals the replies to them. While its file is missing nothing is
	// pulled, sent or settled. A message that does not open is settled held. nil means that sealed
	// messages wait.
	Ring *seal.Ring
	// RequireSeal settles every message that is not sealed as poison. Default false.
	RequireSeal bool
	// ReplyAllow are the reply subjects accepted besides redox.reply.<source>.>;
	// {source} is replaced. nil means "_INBOX.>".
	ReplyAllow []string
	// ID names this worker in dead letters and logs. Default host name and process id.
	ID string
	// Version of the program, for the line with which the worker starts. "" leaves it out.
	Version string
	// Logger receives the log lines; nil discards them. No body, query string, order key or token
	// is ever logged. Package logsample samples lines that would be a flood.
	Logger *slog.Logger
	// Registerer for the redoxworker_* metrics; nil means none.
	Registerer prometheus.Registerer
	// MetricSources is the largest number of sources with metric series of their own: first those
	// whose messages fail, then those with most messages. All others share the label value
	// "(other)". Default 100.
	MetricSources int
	// Tracer records a span for each delivery and for each step of it, in the trace that the message
	// belongs to; nil means none. The trace context of a message is passed on either way. Spans hold
	// only ids, classes and numbers.
	Tracer trace.TracerProvider
	// Audit keeps an entry of each settlement; nil means none.
	Audit audit.Sink
	// Observe is called for every event, from many goroutines at once and on the path of the
	// message: it must be fast. nil means nobody listens. A panic is recovered and logged, as in
	// every other function of this Config.
	Observe func(Event)
}

// Limiter grants requests under a limit that this worker shares with others.
//
// Its methods are called from many goroutines at once, Acquire for every attempt. While there is
// enough for all, Acquire should neither allocate nor make a request.
type Limiter interface {
	// Acquire waits until the source may make one more request, for as long as ctx lasts. If ctx
	// has ended already it returns at once. REQUESTs go before SENDs. After an error the worker
	// asks again a second later. The worker calls done once, when the request is answered or will
	// not be made; sent reports whether it was made, or may have been.
	Acquire(ctx context.Context, source string, lane contract.Lane) (done func(sent bool), err error)
	// Failed reports that a request of the source was granted and made in vain: its message will
	// be tried again. The worker calls it before done, so that the limiter can keep failing
	// messages of one source from using up what others wait for.
	Failed(source string)
}

// Retry rules. The delay before attempt n+1 is drawn evenly from 0 to
// Initial·2^(n−1), capped at Max.
type Retry struct {
	// Initial is the upper bound of the first delay. Default 2s.
	Initial time.Duration
	// Max caps every delay, and what a Retry-After may ask for. Default 10m.
	Max time.Duration
	// MaxAge is how long a message is tried before it is settled expired. The age grows through
	// attempts, from the first one on, and through the waits that these asked for. It does not
	// grow while the message waits for anything else, a pause, a backlog or a worker, nor through
	// attempts that probe a pause or meet one: no message fails because of us. Default 24h; −1
	// means never.
	MaxAge time.Duration
	// RequestMaxAge is how old a REQUEST without a deadline of its own may become. Default 5m.
	RequestMaxAge time.Duration
	// MaxAttempts is the number of failed attempts after which a message is settled exhausted.
	// Attempts that MaxAge leaves out do not count. 0 means no limit.
	MaxAttempts int
	// PoisonAfter is the number of attempts in a row that did not come to an end, for example
	// because the message kills its workers, after which the message is settled poison. An
	// attempt counts only if no other suspect was in flight in its worker; after the third, the
	// message is sent alone. Default 5; −1 means never.
	PoisonAfter int
}

// WithDefaults returns c with every default filled in.
func (c Config) WithDefaults() Config {
	c.Prefix = cmp.Or(c.Prefix, "redox")
	c.Concurrency = cmp.Or(c.Concurrency, 64)
	c.BreakerAfter = cmp.Or(c.BreakerAfter, 5)
	c.PullBytes = cmp.Or(c.PullBytes, 8<<20)
	c.MaxClaim = cmp.Or(c.MaxClaim, 64<<20)
	c.MaxClaimMemory = cmp.Or(c.MaxClaimMemory, 256<<20)
	c.AckWait = cmp.Or(c.AckWait, 30*time.Second)
	c.MetricSources = cmp.Or(c.MetricSources, meter.DefaultSources)
	c.DrainTimeout = cmp.Or(c.DrainTimeout, 30*time.Second)
	c.AttemptTimeout = cmp.Or(c.AttemptTimeout, 10*time.Minute)
	c.Retry.Initial = cmp.Or(c.Retry.Initial, 2*time.Second)
	c.Retry.Max = cmp.Or(c.Retry.Max, 10*time.Minute)
	c.Retry.MaxAge = cmp.Or(c.Retry.MaxAge, 24*time.Hour)
	c.Retry.RequestMaxAge = cmp.Or(c.Retry.RequestMaxAge, 5*time.Minute)
	c.Retry.PoisonAfter = cmp.Or(c.Retry.PoisonAfter, 5)
	if c.ID == "" {
		host, _ := os.Hostname()
		c.ID = fmt.Sprintf("%s-%d", host, os.Getpid())
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}

// Validate reports every problem of c, each named by its field. It expects defaults
// filled in.
func (c Config) Validate() error {
	var errs []error
	bad := func(cond bool, format string, args ...any) {
		if cond {
			errs = append(errs, fmt.Errorf("worker: "+format, args...))
		}
	}
	if err := (outbox.ReplyPolicy{Prefix: c.Prefix, Allow: c.ReplyAllow}).Validate(); err != nil {
		errs = append(errs, err) // of the prefix too
	}
	if err := checkSources(c.Sources); err != nil {
		errs = append(errs, err)
	}
	bad(c.Limiter != nil && guard.IsNil(c.Limiter), "Limiter: a nil %T; leave it out for no limit", c.Limiter)
	bad(c.AllSources && len(c.Sources) > 0, "AllSources: it is set, and %d Sources are named; keep one", len(c.Sources))
	bad(c.Concurrency < 1, "Concurrency: %d; use 1 or more", c.Concurrency)
	bad(c.BreakerAfter < -1, "BreakerAfter: %d; use 1 or more, or -1 for never", c.BreakerAfter)
	bad(c.PullBytes < 1, "PullBytes: %d; use 1 or more", c.PullBytes)
	bad(c.MaxClaim < 1, "MaxClaim: %d; use 1 or more", c.MaxClaim)
	bad(c.MaxClaimMemory < 1, "MaxClaimMemory: %d; use 1 or more", c.MaxClaimMemory)
	bad(c.MetricSources < 1, "MetricSources: %d; use 1 or more", c.MetricSources)
	bad(c.AckWait < time.Second, "AckWait: %v; use 1s or more", c.AckWait)
	bad(c.DrainTimeout < -1, "DrainTimeout: %v; use more than 0s, or -1 to cancel at once", c.DrainTimeout)
	bad(c.AttemptTimeout < 0, "AttemptTimeout: %v; use more than 0s", c.AttemptTimeout)
	bad(c.RequireSeal && c.Ring == nil, "RequireSeal: it is set, and there is no Ring: nothing would be sent")
	bad(c.Retry.Initial < 0, "Retry.Initial: %v; use more than 0s", c.Retry.Initial)
	bad(c.Retry.Max < c.Retry.Initial, "Retry.Max: %v is less than Retry.Initial (%v)", c.Retry.Max, c.Retry.Initial)
	bad(c.Retry.MaxAge < -1, "Retry.MaxAge: %v; use more than 0s, or -1 for never", c.Retry.MaxAge)
	bad(c.Retry.RequestMaxAge < 0, "Retry.RequestMaxAge: %v; use more than 0s", c.Retry.RequestMaxAge)
	bad(c.Retry.MaxAttempts < 0, "Retry.MaxAttempts: %d; use 0 for no limit", c.Retry.MaxAttempts)
	bad(c.Retry.PoisonAfter < -1, "Retry.PoisonAfter: %d; use 1 or more, or -1 for never", c.Retry.PoisonAfter)
	return errors.Join(errs...)
}

// Delay returns the upper bound of the wait after the given number of failed attempts. It is a
// pure function, without jitter. With the defaults:
//
//	attempts   1   2   3   4    5    6    7     8     9     10 …
//	delay      2s  4s  8s  16s  32s  64s  128s  256s  512s  10m
func (r Retry) Delay(attempts int) time.Duration {
	return (*verdict.Rules)(&r).Delay(attempts)
}

// Next returns the wait after the given number of failed attempts. left is how much longer the
// message may be tried, if limited is true; after is the wait that the far side asked for, 0 for
// none. A jittered wait is drawn evenly from 0 to delay. ok is false when no time is left for
// another attempt: the message is given up. Next is a pure function, and does not look at
// MaxAttempts.
func (r Retry) Next(attempts int, after, left time.Duration, limited bool) (delay time.Duration, jittered, ok bool) {
	return (*verdict.Rules)(&r).Next(attempts, after, left, limited)
}

func checkSources(list []Source) error {
	var errs []error
	seen := make(map[string]bool, len(list))
	for _, s := range list {
		if err := contract.CheckSource(s.Name); err != nil {
			errs = append(errs, err)
		}
		if seen[s.Name] {
			errs = append(errs, fmt.Errorf("worker: Sources: %q is there twice", s.Name))
		}
		seen[s.Name] = true
	}
	return errors.Join(errs...)
}
