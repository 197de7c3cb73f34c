package chaos

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/outbox"
)

// Record collects what was seen until now. The workers should have ended.
func (b *Bench) Record(ctx context.Context) (Record, error) {
	b.mu.Lock()
	r := b.record
	r.Published, r.Interruptions = slices.Clone(r.Published), slices.Clone(r.Interruptions)
	b.mu.Unlock()
	r.Requests = b.witness.requests()
	out, err := b.state(ctx, b.prefix.OutStream())
	r.Queued, r.Stored = out.Msgs, out.LastSeq
	return r, errors.Join(err,
		b.each(ctx, b.prefix.DeadStream(), func(m *jetstream.RawStreamMsg) error {
			d, err := outbox.DecodeDeadLetter(b.prefix, outbox.Stored{Subject: m.Subject, Header: m.Header, Body: m.Data, Sequence: m.Sequence, Time: m.Time})
			r.Dead = append(r.Dead, Dead{MessageID: d.MessageID, Settlement: d.Settlement, Error: d.Error, Attempts: d.Attempts, At: d.At})
			return err
		}),
		b.each(ctx, b.prefix.ReplyStream(), func(m *jetstream.RawStreamMsg) error {
			p, err := outbox.DecodeReply(&nats.Msg{Subject: m.Subject, Header: m.Header, Data: m.Data})
			r.Replies = append(r.Replies, Reply{Subject: m.Subject, MessageID: p.MessageID, Settlement: p.Settlement, Status: p.Status, Body: string(p.Body)})
			return err
		}))
}

// each calls f for every message of a stream.
func (b *Bench) each(ctx context.Context, name string, f func(*jetstream.RawStreamMsg) error) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	s, err := b.js.Stream(ctx, name)
	if err != nil {
		return err
	}
	state := s.CachedInfo().State
	for seq := max(1, state.FirstSeq); seq <= state.LastSeq; seq++ {
		m, err := s.GetMsg(ctx, seq)
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			continue
		}
		if err != nil {
			return fmt.Errorf("message %d of %s: %w", seq, name, err)
		}
		if err := f(m); err != nil {
			return fmt.Errorf("message %d of %s: %w", seq, name, err)
		}
	}
	return nil
}
