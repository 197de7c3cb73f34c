package outbox

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// leader reads single messages from the leader of a stream, and nothing else about it: a
// direct get may be answered by a replica that lags behind, and an ordinary one takes the
// right to look at the stream as well.
type leader struct {
	js     jetstream.JetStream
	stream string
}

// leaderTries is how often a stream's leader is asked, apiTimeout each time. Before the
// second try there is a pause, twice as long before the third, if nobody was there to answer.
const (
	leaderTries = 3
	leaderPause = 250 * time.Millisecond
)

// mayPass reports whether an error says that a stream has no leader for the moment, or one
// that is busy.
func mayPass(err error) bool {
	switch apiCode(err) {
	case codeNotAvailable, codeNotLeader:
		return true
	}
	nobody := errors.Is(err, nats.ErrNoResponders) || errors.Is(err, jetstream.ErrNoStreamResponse)
	return nobody || unanswered(err) && !errors.Is(err, ErrPermission)
}

// messageRequest is that of STREAM.MSG.GET (nats-server, JSApiMsgGetRequest).
type messageRequest struct {
	Sequence uint64 `json:"seq,omitempty"`
	Last     string `json:"last_by_subj,omitempty"`
	Next     string `json:"next_by_subj,omitempty"`
}

// next is the first message on a subject, which may have wildcards, from a sequence on;
// [jetstream.ErrMsgNotFound] when there is none.
func (l leader) next(ctx context.Context, subject string, from uint64) (Stored, error) {
	return l.get(ctx, messageRequest{Sequence: max(from, 1), Next: subject})
}

// each calls visit for every message on a subject, up to its first error. Messages that
// come meanwhile are visited too.
func (l leader) each(ctx context.Context, subject string, visit func(Stored) error) error {
	for from := uint64(1); ; {
		msg, err := l.next(ctx, subject, from)
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			return nil
		}
		if err == nil {
			err = visit(msg)
		}
		if err != nil {
			return err
		}
		from = msg.Sequence + 1
	}
}

// last is the last message on a subject, which may have wildcards.
func (l leader) last(ctx context.Context, subject string) (Stored, error) {
	return l.get(ctx, messageRequest{Last: subject})
}

func (l leader) get(ctx context.Context, what messageRequest) (Stored, error) {
	var answer struct {
		Error   *jetstream.APIError `json:"error"`
		Message struct {
			Subject  string    `json:"subject"`
			Sequence uint64    `json:"seq"`
			Header   []byte    `json:"hdrs"`
			Data     []byte    `json:"data"`
			Time     time.Time `json:"time"`
		} `json:"message"`
	}
	// Asking again does no harm, and a busy server may be silent for a while.
	for try := 1; ; try++ {
		answer.Error = nil
		err := l.request(ctx, "STREAM.MSG.GET.", what, &answer)
		if err == nil && answer.Error != nil {
			err = answer.Error
		}
		if err == nil {
			break
		}
		if !mayPass(err) || try == leaderTries || ctx.Err() != nil || forbidden(l.js.Conn()) != nil {
			return Stored{}, err
		}
		if !unanswered(err) && !sleep(ctx, leaderPause<<try) {
			return Stored{}, err
		}
	}
	m := answer.Message
	s := Stored{Subject: m.Subject, Body: m.Data, Sequence: m.Sequence, Time: m.Time}
	if len(m.Header) > 0 {
		h, err := nats.DecodeHeadersMsg(m.Header)
		if err != nil {
			return Stored{}, err
		}
		s.Header = h
	}
	return s, nil
}

// purge removes the messages on a subject, or with before those of a lower sequence.
func (l leader) purge(ctx context.Context, subject string, before uint64) error {
	var answer struct {
		Error *jetstream.APIError `json:"error"`
	}
	err := l.request(ctx, "STREAM.PURGE.", jetstream.StreamPurgeRequest{Subject: subject, Sequence: before}, &answer)
	if err == nil && answer.Error != nil {
		return answer.Error
	}
	return err
}

func (l leader) request(ctx context.Context, verb string, what, answer any) error {
	ctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	data, err := json.Marshal(what)
	if err != nil {
		return err
	}
	msg, err := l.js.Conn().RequestWithContext(ctx, apiPrefix(l.js)+verb+l.stream, data)
	if err != nil {
		return err
	}
	return json.Unmarshal(msg.Data, answer)
}

// apiPrefix is that of the JetStream API, which a domain changes.
func apiPrefix(js jetstream.JetStream) string {
	opts := js.Options()
	switch {
	case opts.APIPrefix != "":
		return opts.APIPrefix
	case opts.Domain != "":
		return "$JS." + opts.Domain + ".API."
	default:
		return "$JS.API."
	}
}
