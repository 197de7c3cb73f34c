package chaos

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/dlq"
)

// Record collects what was seen until now. The workers should have ended.
func (b *Bench) Record(ctx context.Context) (Record, error) {
	b.mu.Lock()
	r := b.record
	r.Published, r.Interruptions = slices.Clone(r.Published), slices.Clone(r.Interruptions)
	b.mu.Unlock()
	r.Requests = b.witness.requests()
	b.departures(r.Requests)
	out, err := b.stateOf(ctx, b.prefix.OutStream())
	r.Queued, r.Stored = out.Msgs, out.LastSeq
	trail, auditErr := b.trail()
	r.Audit = trail
	return r, errors.Join(err, auditErr,
		b.each(ctx, b.prefix.DeadStream(), func(m *jetstream.RawStreamMsg) error {
			d, err := dlq.Decode(b.prefix, outbox.Stored{Subject: m.Subject, Header: m.Header, Body: m.Data, Sequence: m.Sequence, Time: m.Time})
			r.Dead = append(r.Dead, Dead{MessageID: d.MessageID, Settlement: d.Settlement, Error: d.Error, Attempts: d.Attempts, At: d.At})
			return err
		}),
		b.each(ctx, b.prefix.ReplyStream(), func(m *jetstream.RawStreamMsg) error {
			p, err := outbox.DecodeReply(&nats.Msg{Subject: m.Subject, Header: m.Header, Data: m.Data})
			r.Replies = append(r.Replies, Reply{Subject: m.Subject, MessageID: p.MessageID, Settlement: p.Settlement, Status: p.Status, Body: string(p.Body)})
			return err
		}))
}

// departures notes when each request left, from the logs of the workers: the line about a
// request comes at its end and says what it took. A request that ended with its process
// has none.
func (b *Bench) departures(requests []Request) {
	for _, p := range b.workers {
		text, _ := os.ReadFile(p.log) // nothing known without
		for line := range strings.Lines(string(text)) {
			var l struct {
				Time    time.Time
				Msg     string
				Message string `json:"message_id"`
				Took    time.Duration
			}
			if json.Unmarshal([]byte(line), &l) != nil || l.Msg != "request to redox" {
				continue
			}
			left := l.Time.Add(-l.Took)
			for i := range requests {
				q := &requests[i]
				if q.ID == l.Message && q.Worker == p.name && q.Left.IsZero() && !q.Start.Before(left.Add(-10*time.Millisecond)) && !q.Start.After(l.Time.Add(10*time.Millisecond)) {
					q.Left = left
					break
				}
			}
		}
	}
}

// trail reads the audit trail. A worker that was killed while it wrote may have left part
// of a line.
func (b *Bench) trail() (list []Audit, err error) {
	text, err := os.ReadFile(b.auditFile())
	for line := range strings.Lines(string(text)) {
		var a Audit
		if json.Unmarshal([]byte(line), &a) == nil {
			list = append(list, a)
		}
	}
	return list, err
}

// stateOf a stream, as soon as a leader answers that others have followed up to now: one that
// was cut off goes on answering for a while, and knows nothing of what was stored since.
func (b *Bench) stateOf(ctx context.Context, stream string) (state jetstream.StreamState, err error) {
	late := eventually(2*time.Minute, "the state of "+stream+", known to most of its replicas", func() bool {
		var info *jetstream.StreamInfo
		if info, err = b.info(ctx, stream); err != nil {
			return ctx.Err() != nil
		}
		state = info.State
		return followed(info.Cluster)
	})
	return state, errors.Join(late, err)
}

// followed reports whether a leader has just heard of so many replicas that they are most of
// all, itself among them, and that they have all that it has. To ask that of each would be
// too much: a replica may stay behind in a stream that nobody writes to any more.
func followed(c *jetstream.ClusterInfo) bool {
	if c == nil {
		return true
	}
	n := 0
	for _, p := range c.Replicas {
		if p.Current && !p.Offline && p.Lag == 0 && p.Active < 3*time.Second {
			n++
		}
	}
	return n >= (len(c.Replicas)+1)/2
}

// message of a stream, as soon as somebody answers: a cluster may be electing a leader.
func (b *Bench) message(ctx context.Context, stream string, seq uint64) (m *jetstream.RawStreamMsg, err error) {
	late := eventually(time.Minute, "message of "+stream, func() bool {
		m, err = b.ask(ctx, stream, seq)
		return err == nil || errors.Is(err, jetstream.ErrMsgNotFound) || ctx.Err() != nil
	})
	return m, errors.Join(late, err)
}

// ask the leader of a stream. A direct get, which the client would prefer, may meet a
// replica that does not have everything yet.
func (b *Bench) ask(ctx context.Context, stream string, seq uint64) (*jetstream.RawStreamMsg, error) {
	request, err := json.Marshal(map[string]uint64{"seq": seq})
	if err != nil {
		return nil, err
	}
	try, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	answer, err := b.conn.RequestWithContext(try, "$JS.API.STREAM.MSG.GET."+stream, request)
	if err != nil {
		return nil, err
	}
	var got struct {
		Error   *jetstream.APIError
		Message struct {
			Subject    string
			Seq        uint64
			Hdrs, Data []byte
			Time       time.Time
		}
	}
	if err := json.Unmarshal(answer.Data, &got); err != nil {
		return nil, err
	}
	if got.Error != nil && got.Error.ErrorCode == jetstream.JSErrCodeMessageNotFound {
		return nil, jetstream.ErrMsgNotFound
	}
	if got.Error != nil {
		return nil, got.Error
	}
	header, err := nats.DecodeHeadersMsg(got.Message.Hdrs)
	return &jetstream.RawStreamMsg{Subject: got.Message.Subject, Sequence: got.Message.Seq, Header: header, Data: got.Message.Data, Time: got.Message.Time}, err
}

// each calls f for every message of a stream.
func (b *Bench) each(ctx context.Context, name string, f func(*jetstream.RawStreamMsg) error) error {
	state, err := b.stateOf(ctx, name)
	if err != nil {
		return err
	}
	for seq := max(1, state.FirstSeq); seq <= state.LastSeq; seq++ {
		m, err := b.message(ctx, name, seq)
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
