package sealcmd

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/outbox/dlq"
	"github.com/redoxworker/redoxworker/outbox/seal"
)

// found is how many messages a key sealed.
type found struct{ waiting, dead, replies int }

func (f found) total() int { return f.waiting + f.dead + f.replies }

// String lists them.
func (f found) String() string {
	return fmt.Sprintf("%d in the queue, %d dead letters, %d replies", f.waiting, f.dead, f.replies)
}

// byKey counts by the id of the key; what is not sealed is not there.
type byKey map[string]int

func (b byKey) total() (n int) {
	for _, one := range b {
		n += one
	}
	return n
}

// count looks at all that is stored.
func (s *session) count(ctx context.Context, key string) (f found, err error) {
	waiting, err := s.countStream(ctx, s.Prefix.OutStream())
	if err != nil {
		return f, err
	}
	dead, err := s.countLetters(ctx)
	if err != nil {
		return f, err
	}
	replies, err := s.countStream(ctx, s.Prefix.ReplyStream())
	return found{waiting[key], dead[key], replies[key]}, err
}

// countLetters reads the headers of all dead letters.
func (s *session) countLetters(ctx context.Context) (byKey, error) {
	letters, err := dlq.New(s.JS, dlq.Config{Prefix: s.Prefix})
	if err != nil {
		return nil, err
	}
	counts := byKey{}
	for l, err := range letters.List(ctx, dlq.Query{}) {
		if errors.As(err, new(*dlq.UnreadableError)) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if key := l.SealedBy(); key != "" {
			counts[key]++
		}
	}
	return counts, nil
}

// countStream reads a stream message by message: a work queue lets nobody else consume.
func (s *session) countStream(ctx context.Context, name string) (byKey, error) {
	stream, err := s.JS.Stream(ctx, name)
	if err != nil {
		return nil, fmt.Errorf("stream %s: %w", name, err)
	}
	counts, last := byKey{}, stream.CachedInfo().State.LastSeq
	for at := stream.CachedInfo().State.FirstSeq; at > 0 && at <= last; {
		msg, err := stream.GetMsg(ctx, at, jetstream.WithGetMsgSubject(">"))
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("stream %s: %w", name, err)
		}
		if key := seal.KeyOf(msg.Header.Get(contract.HeaderSeal)); key != "" {
			counts[key]++
		}
		at = msg.Sequence + 1
	}
	return counts, nil
}
