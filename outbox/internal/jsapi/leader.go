package jsapi

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Leader reads single messages from the leader of a stream, and nothing else about it: a
// direct get may be answered by a replica that lags behind, and an ordinary one takes the
// right to look at the stream as well. Safe for concurrent use. A message that is not there is
// [jetstream.ErrMsgNotFound].
type Leader struct {
	JS     jetstream.JetStream
	Stream string
}

const (
	// Tries is how often a stream's leader is asked, for [Timeout] each time.
	Tries = 3
	// Pause doubled lies before the second try, and twice that before the third, if nobody was
	// there to answer.
	Pause = 250 * time.Millisecond
)

// MayPass reports whether an error says that a stream has no leader for the moment, or one
// that is busy.
func MayPass(err error) bool {
	switch Code(err) {
	case CodeNotAvailable, codeNotLeader:
		return true
	}
	nobody := errors.Is(err, nats.ErrNoResponders) || errors.Is(err, jetstream.ErrNoStreamResponse)
	return nobody || Unanswered(err) && !errors.Is(err, ErrPermission)
}

// getRequest is that of STREAM.MSG.GET (nats-server, JSApiMsgGetRequest).
type getRequest struct {
	Sequence uint64 `json:"seq,omitempty"`
	Last     string `json:"last_by_subj,omitempty"`
	Next     string `json:"next_by_subj,omitempty"`
}

// Next is the first message on a subject, which may have wildcards, from a sequence on;
// [jetstream.ErrMsgNotFound] when there is none.
func (l Leader) Next(ctx context.Context, subject string, from uint64) (*jetstream.RawStreamMsg, error) {
	return l.get(ctx, getRequest{Sequence: max(from, 1), Next: subject})
}

// Each calls visit for every message on a subject, up to its first error. Messages that
// come meanwhile are visited too.
func (l Leader) Each(ctx context.Context, subject string, visit func(*jetstream.RawStreamMsg) error) error {
	for from := uint64(1); ; {
		msg, err := l.Next(ctx, subject, from)
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

// Last is the last message on a subject, which may have wildcards.
func (l Leader) Last(ctx context.Context, subject string) (*jetstream.RawStreamMsg, error) {
	return l.get(ctx, getRequest{Last: subject})
}

// At is the message of a sequence.
func (l Leader) At(ctx context.Context, sequence uint64) (*jetstream.RawStreamMsg, error) {
	return l.get(ctx, getRequest{Sequence: sequence})
}

func (l Leader) get(ctx context.Context, what getRequest) (*jetstream.RawStreamMsg, error) {
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
		if !MayPass(err) || try == Tries || ctx.Err() != nil || Forbidden(l.JS.Conn()) != nil {
			return nil, err
		}
		if !Unanswered(err) && !Sleep(ctx, Pause<<try) {
			return nil, err
		}
	}
	m := answer.Message
	s := &jetstream.RawStreamMsg{Subject: m.Subject, Data: m.Data, Sequence: m.Sequence, Time: m.Time}
	if len(m.Header) > 0 {
		h, err := nats.DecodeHeadersMsg(m.Header)
		if err != nil {
			return nil, err
		}
		s.Header = h
	}
	return s, nil
}

// Purge removes the messages on a subject, or with before those of a lower sequence.
func (l Leader) Purge(ctx context.Context, subject string, before uint64) error {
	var answer struct {
		Error *jetstream.APIError `json:"error"`
	}
	err := l.request(ctx, "STREAM.PURGE.", jetstream.StreamPurgeRequest{Subject: subject, Sequence: before}, &answer)
	if err == nil && answer.Error != nil {
		return answer.Error
	}
	return err
}

func (l Leader) request(ctx context.Context, verb string, what, answer any) error {
	ctx, cancel := context.WithTimeout(ctx, Timeout)
	defer cancel()
	data, err := json.Marshal(what)
	if err != nil {
		return err
	}
	msg, err := l.JS.Conn().RequestWithContext(ctx, APIPrefix(l.JS)+verb+l.Stream, data)
	if err != nil {
		return err
	}
	return json.Unmarshal(msg.Data, answer)
}

// APIPrefix begins the subjects of the JetStream API as js reaches it, and ends in a dot: in a domain,
// or by an account's import under another name, it is another than "$JS.API.".
func APIPrefix(js jetstream.JetStream) string {
	opts := js.Options()
	switch {
	case opts.APIPrefix != "":
		return strings.TrimSuffix(opts.APIPrefix, ".") + "."
	case opts.Domain != "":
		return "$JS." + opts.Domain + ".API."
	default:
		return jetstream.DefaultAPIPrefix
	}
}

// BucketSubject is where a key of a bucket is written that cannot be put, for example because it has
// a TTL. It is stored under "$KV.<bucket>.<key>". Where js has another [APIPrefix], it begins with
// that, as the client's own puts do: leaf nodes pass nothing else on from one domain to another.
func BucketSubject(js jetstream.JetStream, bucket, key string) string {
	subject := "$KV." + bucket + "." + key
	if prefix := APIPrefix(js); prefix != jetstream.DefaultAPIPrefix {
		return prefix + subject
	}
	return subject
}
