package publish

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/outbox/internal/jsapi"
	"github.com/redoxworker/redoxworker/outbox/internal/streams"
	"github.com/redoxworker/redoxworker/outbox/internal/wire"
)

const (
	// A try ends after 2, 4, 8, 8, ... s without an answer.
	firstTry = 2 * time.Second
	lastTry  = 8 * time.Second
	// The pauses between tries are 100, 200, 400, ... ms, at most 2 s, less up
	// to half of it at random.
	firstPause = 100 * time.Millisecond
	lastPause  = 2 * time.Second
	// ConnectPoll is how often a missing connection is looked for.
	ConnectPoll = 20 * time.Millisecond
	// MissingPatience is how long a stream may be missing: a server that starts
	// and a stream that elects its leader have none for a moment.
	MissingPatience = 5 * time.Second
	// RepeatFor is how long a write may be repeated: well within the time for
	// which the queue remembers its id, if its server is not restarted.
	RepeatFor = streams.DedupWindow - time.Minute
)

// Queue is the work queue that messages are published to.
type Queue struct {
	JS jetstream.JetStream
	// Stream is its name.
	Stream string
	// TooLarge makes the error of a message whose size in bytes is over a limit; name says
	// where the limit comes from.
	TooLarge func(size, limit int64, name string) error
}

// Message is one message on its way into the work queue.
type Message struct {
	Queue Queue
	Msg   *nats.Msg
	// Subject is where a message of its source is published, as an error shows it.
	Subject string
	// Object is its claim check, if it has one that was stored for it alone.
	Object string
	// Query says that to ask twice does no harm.
	Query bool

	tries   int
	doubt   bool      // a try got no answer: the message may be stored
	missing time.Time // since when no stream answers; zero when one does
	// of the first try without an answer: the server that got it, and whether it is one of a
	// cluster
	server  string
	cluster bool
	away    bool // no stream answered after it
	copies  int  // that the cluster keeps of the queue; 0: not asked yet, −1: it did not say
}

// Publish sends the message until the write is confirmed, refused or ctx ends.
func (m *Message) Publish(ctx context.Context) (*jetstream.PubAck, error) {
	for began := time.Now(); ; {
		if err := m.Connected(ctx); err != nil {
			return nil, err
		}
		if err := m.unrepeatable(ctx, began); err != nil {
			return nil, m.unconfirmed(err)
		}
		m.tries++
		m.mark()
		before := m.doubt
		ack, err := m.try(ctx)
		if err == nil {
			return m.checked(ctx, ack)
		}
		if err := m.refusal(ctx, err); err != nil {
			if before && !MayBeStored(err) {
				err = fmt.Errorf("%w; a try before got no answer, and %w", err, m.maybe())
			}
			return nil, err
		}
		if !jsapi.Sleep(ctx, m.pause()) {
			return nil, m.unconfirmed(context.Cause(ctx))
		}
	}
}

// Connected waits for the connection. What is published without one is kept by
// the client and stored later, perhaps long after the caller was told that it
// failed.
func (m *Message) Connected(ctx context.Context) error {
	conn := m.conn()
	for !conn.IsConnected() {
		switch {
		case conn.IsClosed():
			return m.unconfirmed(nats.ErrConnectionClosed)
		case conn.IsDraining():
			return m.unconfirmed(nats.ErrConnectionDraining)
		}
		if !jsapi.Sleep(ctx, ConnectPoll) {
			return m.unconfirmed(fmt.Errorf("not connected to NATS: %w", context.Cause(ctx)))
		}
	}
	return nil
}

// try publishes once. After a try without an answer it also watches for the
// reason: the server reports a refused subject to the connection only, where
// the next error replaces it.
func (m *Message) try(ctx context.Context) (*jetstream.PubAck, error) {
	ctx, cancel := context.WithTimeout(ctx, min(firstTry<<min(m.tries-1, 8), lastTry))
	defer cancel()
	if m.tries == 1 {
		return m.put(ctx)
	}
	var watch sync.WaitGroup
	defer watch.Wait()
	defer cancel()
	watch.Go(func() {
		for !jsapi.Refused(m.conn(), m.Msg.Subject) {
			if !jsapi.Sleep(ctx, ConnectPoll) {
				return
			}
		}
		cancel()
	})
	return m.put(ctx)
}

func (m *Message) conn() *nats.Conn { return m.Queue.JS.Conn() }

// put leaves repeats to Publish, which knows what an earlier try met.
func (m *Message) put(ctx context.Context) (*jetstream.PubAck, error) {
	return m.Queue.JS.PublishMsg(ctx, m.Msg, jetstream.WithRetryAttempts(0))
}

// refusal is the error that no repeat mends; nil for all others.
func (m *Message) refusal(ctx context.Context, err error) error {
	conn, since := m.conn(), m.missing
	m.missing = time.Time{}
	if code := jsapi.Code(err); code != 0 {
		return m.answered(ctx, err, code)
	}
	switch {
	case errors.Is(err, jetstream.ErrNoStreamResponse), errors.Is(err, nats.ErrNoResponders):
		if m.missing = since; since.IsZero() {
			m.missing = time.Now()
		}
		m.away = m.away || m.doubt
		if time.Since(m.missing) > MissingPatience {
			return m.noStream()
		}
		return nil
	case errors.Is(err, nats.ErrMaxPayload):
		return m.Queue.TooLarge(wire.Size(m.Msg), conn.MaxPayload(), MaxPayloadName)
	case errors.Is(err, nats.ErrConnectionClosed), errors.Is(err, nats.ErrConnectionDraining),
		errors.Is(err, nats.ErrBadSubject), errors.Is(err, nats.ErrHeadersNotSupported):
		return m.unconfirmed(err)
	}
	before := m.doubt
	m.doubt = true
	switch {
	case errors.Is(err, jetstream.ErrInvalidJSAck):
		return fmt.Errorf("the answer is not that of a stream: something else listens on the subjects of the queue: %w", err)
	case jsapi.Refused(conn, m.Msg.Subject):
		m.doubt = before // the rights may have been others then
		return fmt.Errorf("%w: allow this user to publish for the source", jsapi.ErrPermission)
	case jsapi.RefusedInbox(conn):
		return fmt.Errorf("%w: %s; %w", jsapi.ErrPermission, jsapi.MendInbox, ErrMayBeStored)
	}
	return nil
}

// answered is the refusal in an answer of the stream.
func (m *Message) answered(ctx context.Context, err error, code jetstream.ErrorCode) error {
	switch {
	case jsapi.NoRoom(err):
		return fmt.Errorf("%w: %w", jsapi.ErrQueueFull, onePrefix{err})
	case code == jsapi.CodeMessageTooLarge:
		return m.overStreamLimit(ctx, err)
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
func (m *Message) overStreamLimit(ctx context.Context, err error) error {
	name := m.Queue.Stream
	ctx, cancel := context.WithTimeout(ctx, jsapi.Timeout)
	defer cancel()
	stream, lookErr := m.Queue.JS.Stream(ctx, name)
	if lookErr != nil || stream.CachedInfo().Config.MaxMsgSize <= 0 {
		return fmt.Errorf("message of %d bytes is over max_msg_size of the stream %s: %w", wire.Size(m.Msg), name, err)
	}
	limit := int64(stream.CachedInfo().Config.MaxMsgSize)
	return m.Queue.TooLarge(wire.Size(m.Msg), limit, "max_msg_size of the stream "+name)
}

func (m *Message) noStream() error {
	return fmt.Errorf("%w: run `redoxworker provision` (subject %s), or look whether JetStream runs", jsapi.ErrNoStream, m.Subject)
}

func (m *Message) pause() time.Duration {
	d := min(firstPause<<min(m.tries-1, 8), lastPause)
	return d/2 + rand.N(d/2+1)
}

// Repeated reports whether the write was sent more than once: a duplicate may then be its own.
func (m *Message) Repeated() bool { return m.tries > 1 }

// Discard deletes the object of a message that surely was not stored, or stored
// before by somebody else, with an object of its own. What may be needed, or is left when
// that fails, is collected when it is old.
func (m *Message) Discard(ctx context.Context, objects interface {
	Delete(ctx context.Context, name string) error
}) {
	if m.Object == "" || m.doubt {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), jsapi.Timeout)
	defer cancel()
	_ = objects.Delete(ctx, m.Object)
}

// onePrefix is an error of the NATS client whose text has its prefix twice: "nats: nats: …".
type onePrefix struct{ error }

func (e onePrefix) Error() string {
	return strings.ReplaceAll(e.error.Error(), "nats: nats: ", "nats: ")
}
func (e onePrefix) Unwrap() error { return e.error }
