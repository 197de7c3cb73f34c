package outbox

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	// A try ends after 2, 4, 8, 8, ... s without an answer.
	firstTry = 2 * time.Second
	lastTry  = 8 * time.Second
	// The pauses between tries are 100, 200, 400, ... ms, at most 2 s, less up
	// to half of it at random.
	firstPause = 100 * time.Millisecond
	lastPause  = 2 * time.Second
	// connectPoll is how often a missing connection is looked for.
	connectPoll = 20 * time.Millisecond
	// missingPatience is how long a stream may be missing: a server that starts
	// and a stream that elects its leader have none for a moment.
	missingPatience = 5 * time.Second
	// repeatFor is how long a write may be repeated: well within the time for
	// which the queue remembers its id, if its server is not restarted.
	repeatFor = dedupWindow - time.Minute
)

// sending is one message on its way into the work queue.
type sending struct {
	publisher *Publisher
	source    string
	msg       *nats.Msg
	object    string // its claim check, if it has one
	tries     int
	query     bool      // to ask twice does no harm
	doubt     bool      // a try got no answer: the message may be stored
	missing   time.Time // since when no stream answers; zero when one does
	// of the first try without an answer: the server that got it, and whether it is one of a
	// cluster
	server  string
	cluster bool
	away    bool // no stream answered after it
	copies  int  // that the cluster keeps of the queue; 0: not asked yet, −1: it did not say
}

// run publishes until the write is confirmed, refused or ctx ends.
func (s *sending) run(ctx context.Context) (*jetstream.PubAck, error) {
	for began := time.Now(); ; {
		if err := s.connected(ctx); err != nil {
			return nil, err
		}
		if err := s.unrepeatable(ctx, began); err != nil {
			return nil, s.unconfirmed(err)
		}
		s.tries++
		s.mark()
		before := s.doubt
		ack, err := s.try(ctx)
		if err == nil {
			return s.checked(ctx, ack)
		}
		if err := s.refusal(ctx, err); err != nil {
			if before && !mayBeStored(err) {
				err = fmt.Errorf("%w; a try before got no answer, and %w", err, s.maybe())
			}
			return nil, err
		}
		if !sleep(ctx, s.pause()) {
			return nil, s.unconfirmed(context.Cause(ctx))
		}
	}
}

// connected waits for the connection. What is published without one is kept by
// the client and stored later, perhaps long after the caller was told that it
// failed.
func (s *sending) connected(ctx context.Context) error {
	conn := s.publisher.conn
	for !conn.IsConnected() {
		switch {
		case conn.IsClosed():
			return s.unconfirmed(nats.ErrConnectionClosed)
		case conn.IsDraining():
			return s.unconfirmed(nats.ErrConnectionDraining)
		}
		if !sleep(ctx, connectPoll) {
			return s.unconfirmed(fmt.Errorf("not connected to NATS: %w", context.Cause(ctx)))
		}
	}
	return nil
}

// try publishes once. After a try without an answer it also watches for the
// reason: the server reports a refused subject to the connection only, where
// the next error replaces it.
func (s *sending) try(ctx context.Context) (*jetstream.PubAck, error) {
	ctx, cancel := context.WithTimeout(ctx, min(firstTry<<min(s.tries-1, 8), lastTry))
	defer cancel()
	if s.tries == 1 {
		return s.put(ctx)
	}
	var watch sync.WaitGroup
	defer watch.Wait()
	defer cancel()
	watch.Go(func() {
		for !refused(s.publisher.conn, s.msg.Subject) {
			if !sleep(ctx, connectPoll) {
				return
			}
		}
		cancel()
	})
	return s.put(ctx)
}

// put leaves repeats to run, which knows what an earlier try met.
func (s *sending) put(ctx context.Context) (*jetstream.PubAck, error) {
	return s.publisher.js.PublishMsg(ctx, s.msg, jetstream.WithRetryAttempts(0))
}

// refusal is the error that no repeat mends; nil for all others.
func (s *sending) refusal(ctx context.Context, err error) error {
	p, since := s.publisher, s.missing
	s.missing = time.Time{}
	if code := apiCode(err); code != 0 {
		return s.answered(ctx, err, code)
	}
	switch {
	case errors.Is(err, jetstream.ErrNoStreamResponse), errors.Is(err, nats.ErrNoResponders):
		if s.missing = since; since.IsZero() {
			s.missing = time.Now()
		}
		s.away = s.away || s.doubt
		if time.Since(s.missing) > missingPatience {
			return s.noStream()
		}
		return nil
	case errors.Is(err, nats.ErrMaxPayload):
		return &SizeError{What: "message", Size: payload(s.msg), Limit: p.conn.MaxPayload(), Name: maxPayloadName}
	case errors.Is(err, nats.ErrConnectionClosed), errors.Is(err, nats.ErrConnectionDraining),
		errors.Is(err, nats.ErrBadSubject), errors.Is(err, nats.ErrHeadersNotSupported):
		return s.unconfirmed(err)
	}
	before := s.doubt
	s.doubt = true
	switch {
	case errors.Is(err, jetstream.ErrInvalidJSAck):
		return fmt.Errorf("the answer is not that of a stream: something else listens on the subjects of the queue: %w", err)
	case refused(p.conn, s.msg.Subject):
		s.doubt = before // the rights may have been others then
		return fmt.Errorf("%w: allow this user to publish for the source", ErrPermission)
	case refusedInbox(p.conn):
		return fmt.Errorf("%w: %s; %w", ErrPermission, mendInbox, errMayBeStored)
	}
	return nil
}

// answered is the refusal in an answer of the stream.
func (s *sending) answered(ctx context.Context, err error, code jetstream.ErrorCode) error {
	switch code {
	case codeStoreFailed, codeAccountResources, codeInsufficientResources, codeMemoryResources, codeStorageResources:
		return fmt.Errorf("%w: %w", ErrQueueFull, onePrefix{err})
	case codeMessageTooLarge:
		return s.overStreamLimit(ctx, err)
	}
	var api *jetstream.APIError
	if errors.As(err, &api) {
		switch {
		case api.Code >= 500, api.Code == 429, api.Code == 409: // unavailable, too many, the same id is being stored
			return nil
		}
	}
	return err
}

// overStreamLimit names the limit that somebody has set on the stream; the
// answer does not.
func (s *sending) overStreamLimit(ctx context.Context, err error) error {
	name := s.publisher.config.Prefix.OutStream()
	ctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	stream, lookErr := s.publisher.js.Stream(ctx, name)
	if lookErr != nil || stream.CachedInfo().Config.MaxMsgSize <= 0 {
		return fmt.Errorf("message of %d bytes is over max_msg_size of the stream %s: %w", payload(s.msg), name, err)
	}
	limit := int64(stream.CachedInfo().Config.MaxMsgSize)
	return &SizeError{What: "message", Size: payload(s.msg), Limit: limit, Name: "max_msg_size of the stream " + name}
}

func (s *sending) noStream() error {
	return fmt.Errorf("%w: run `redoxworker provision` (subject %s), or look whether JetStream runs", ErrNoStream, s.publisher.config.Prefix.SendSubject(s.source))
}

func (s *sending) pause() time.Duration {
	d := min(firstPause<<min(s.tries-1, 8), lastPause)
	return d/2 + rand.N(d/2+1)
}

// sleep reports whether d passed before ctx ended.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// refused reports whether the last error of the connection is that it may not
// publish to subject. A reconnect forgets it.
func refused(conn *nats.Conn, subject string) bool {
	return violates(conn, "Publish to "+strconv.Quote(subject))
}

// refusedSubscription is the same for a subscription.
func refusedSubscription(conn *nats.Conn, subject string) bool {
	return violates(conn, "Subscription to "+strconv.Quote(subject))
}

func refusedInbox(conn *nats.Conn) bool {
	inbox := conn.NewInbox() // prefix and a unique token
	return violates(conn, `Subscription to "`+inbox[:strings.LastIndexByte(inbox, '.')+1])
}

func violates(conn *nats.Conn, what string) bool {
	err := conn.LastError()
	return errors.Is(err, nats.ErrPermissionViolation) && strings.Contains(err.Error(), what)
}
