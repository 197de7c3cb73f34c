package worker

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/outbox/topology"
	"github.com/redoxworker/redoxworker/worker/internal/backoff"
)

// How often a stream is written to that has refused something and seems to have room.
const (
	depotWait = 15 * time.Second
	depotMost = 5 * time.Minute
	depotLook = time.Second // for how long what was seen of it is believed
	// depotRest is how long it is not looked at again when nobody answered: perhaps that is not
	// permitted.
	depotRest = time.Minute
)

// depot is the stream of durable replies. Whoever subscribes to the subject of a reply gets
// it each time that it is published, whether the stream takes it or not: so none is published
// again before the stream was seen to have room for it, and not to have it already.
type depot struct {
	js     jetstream.JetStream
	stream string

	mu    sync.Mutex
	all   refusing            // whatever is written
	own   map[string]refusing // sources whose last reply was refused for what it is
	seen  error               // why nothing can be written, as last seen
	most  int32               // the size of a message that the stream takes, as last seen; −1: any
	until time.Time           // for how long what was seen is believed

	looking chan struct{} // closed when the stream has been asked; nil while nobody asks
}

// refusing is what the last write met.
type refusing struct {
	trouble  error // nil when it was confirmed
	refusals int   // in a row that nothing explained
	most     int32 // the size that the stream took when it refused one; 0: not known
	next     time.Time
}

// put stores a message of a source. tried says that it was published before; put sets it.
func (p *depot) put(ctx context.Context, source string, msg *nats.Msg, tried *bool) error {
	if *tried { // perhaps it is stored, and only its confirmation was lost
		if there, err := topology.IsStored(ctx, p.js, p.stream, msg); there && err == nil {
			p.note(source, nil)
			return nil
		}
	}
	if *tried || p.troubled(source) {
		if err := p.shut(ctx, source); err != nil {
			return err
		}
	}
	*tried = true
	// No repeats by the client: each would be seen by all subscribers.
	_, err := p.js.PublishMsg(ctx, msg, jetstream.WithRetryAttempts(0))
	p.note(source, err)
	return err
}

// troubled reports whether the last write failed that says something about those of a source.
func (p *depot) troubled(source string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.all.trouble != nil || p.own[source].trouble != nil
}

func (p *depot) note(source string, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case err == nil:
		p.all = refusing{}
		delete(p.own, source)
	case forItself(err): // replies of other sources may be taken
		if p.own == nil {
			p.own = make(map[string]refusing)
		}
		p.own[source] = p.own[source].with(err)
	default:
		p.all = p.all.with(err)
	}
}

// with notes one more failure.
func (r refusing) with(err error) refusing {
	r.trouble = err
	// Without an answer it is looked for, and published again. Those that were under way together
	// are refused together, once.
	if now := time.Now(); refused(err) && !now.Before(r.next) {
		r.refusals++
		r.next = now.Add(backoff.Exponential(depotWait, depotMost, r.refusals))
	}
	return r
}

// forItself reports whether a stream refused a message for what it is: it, or its headers, are
// larger than the stream takes (nats-server, errors 10054 and 10097).
func forItself(err error) bool {
	var refusal *jetstream.APIError
	return errors.As(err, &refusal) && (refusal.ErrorCode == 10054 || refusal.ErrorCode == 10097)
}

// shut is why nothing of a source should be written now; nil when something may.
func (p *depot) shut(ctx context.Context, source string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	if own := p.own[source]; now.Before(own.next) && !p.widened(ctx, source) {
		return fmt.Errorf("stream %s has refused a message of the source for its size: %w", p.stream, own.trouble)
	}
	if p.all.trouble == nil {
		return nil
	}
	p.look(ctx)
	p.await(ctx)
	if p.all.trouble == nil { // one was taken meanwhile
		return nil
	}
	if p.seen == nil && now.Before(p.all.next) {
		return fmt.Errorf("stream %s has refused a message although it seems to have room (is the account's storage used up?): %w", p.stream, p.all.trouble)
	}
	return p.seen
}

// widened reports whether the stream takes larger messages than when it refused one of the source.
func (p *depot) widened(ctx context.Context, source string) bool {
	if p.look(ctx); p.most < 0 {
		return true
	}
	own, still := p.own[source]
	if !still { // one was taken meanwhile
		return true
	}
	if own.most == 0 {
		own.most = p.most
		p.own[source] = own
	}
	return p.most > own.most
}

// look notes what is wrong with the stream, unless that is known from a moment ago. The mutex,
// which is held, is free while the stream is asked: others go by what was seen before.
func (p *depot) look(ctx context.Context) {
	if p.looking != nil || time.Now().Before(p.until) {
		return
	}
	asked := make(chan struct{})
	p.looking = asked
	defer close(asked)
	p.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, stepTimeout)
	stream, err := p.js.Stream(ctx, p.stream)
	cancel()
	p.mu.Lock()
	before := p.seen
	p.looking, p.until = nil, time.Now().Add(depotLook)
	switch {
	case errors.Is(err, jetstream.ErrStreamNotFound):
		p.seen = fmt.Errorf("stream %s does not exist: run `redoxworker provision`", p.stream)
	case err != nil: // nobody answered: perhaps that is not permitted
		p.seen, p.most, p.until = nil, 0, time.Now().Add(depotRest)
	default:
		p.seen, p.most = topology.Full(stream.CachedInfo()), stream.CachedInfo().Config.MaxMsgSize
	}
	if before != nil && p.seen == nil { // what kept it shut is over
		p.all.refusals, p.all.next = 0, time.Time{}
	}
}

// await waits for the answer that somebody else awaits: what is wrong with the stream may not have
// been seen before. The mutex, which is held, is free meanwhile.
func (p *depot) await(ctx context.Context) {
	asked := p.looking
	if asked == nil {
		return
	}
	p.mu.Unlock()
	defer p.mu.Lock()
	select {
	case <-asked:
	case <-ctx.Done():
	}
}

// refusals are the sources whose last reply was refused for what it is, and why.
func (p *depot) refusals() map[string]string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.own) == 0 {
		return nil
	}
	all := make(map[string]string, len(p.own))
	for source, r := range p.own {
		all[source] = fmt.Sprintf("stream %s refused a reply for its size: %v", p.stream, r.trouble)
	}
	return all
}

// unanswerable postpones a message whose reply could not be stored now: it would be sent, or
// given up, and then wait for its settlement. Many that wait like that would take all slots.
// One that was replied to lacks only its ack.
func (w *Worker) unanswerable(d *delivery) (decided bool) {
	if d.record.Settled != "" || !w.config.Prefix.IsReplySubject(d.message.ReplyTo) || !w.depot.troubled(d.message.Source) {
		return false
	}
	err := w.depot.shut(d.ctx, d.message.Source)
	if err == nil {
		return false
	}
	w.log.Debug("a message waits: its reply could not be stored", "message", d.message.ID, "source", d.message.Source, "error", err)
	return d.decide(verdict{action: wait, delay: max(w.config.Retry.Initial, depotWait), jittered: true, err: "its reply could not be stored"})
}

// refused reports whether what could not be written is not stored either, nor will be: the
// server said so, or there was none. Without an answer it may be.
func refused(err error) bool {
	return errors.As(err, new(*jetstream.APIError)) || errors.Is(err, jetstream.ErrNoStreamResponse)
}
