package audit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/worker/internal/bucket"
)

// Stream stores entries in the stream REDOX_AUDIT, settlements under the subject
// redox.audit.<source> and deeds under redox.audit.<source>.deed; the topology of package outbox
// makes it. It is safe for concurrent use.
type Stream struct {
	js     jetstream.JetStream
	prefix contract.Prefix
}

// NewStream makes no request.
func NewStream(js jetstream.JetStream, p contract.Prefix) *Stream { return &Stream{js: js, prefix: p} }

// Append is a [Sink]. The entry is stored when it returns. A settlement whose entry is written
// twice within the stream's duplicate window has it once.
func (s *Stream) Append(ctx context.Context, e Entry) error {
	return s.publish(ctx, s.prefix.AuditSubject(e.Source), fmt.Sprintf("%s:%s:audit:%s:%d", e.Source, s.prefix.DeadToken(e.Message, e.Sequence), e.Settlement, e.Stored.UnixNano()), e)
}

// Deed is a [DeedSink]. The entry is stored when it returns. Where the server does not answer it
// may be stored all the same.
func (s *Stream) Deed(ctx context.Context, d Deed) error {
	err := s.publish(ctx, s.prefix.DeedSubject(d.Source), fmt.Sprintf("%s:deed:%d:%s", d.ID, d.Part, d.Outcome), d)
	if !errors.Is(err, jetstream.ErrNoStreamResponse) {
		return err
	}
	switch _, why := s.js.Stream(ctx, s.prefix.AuditStream()); {
	case errors.Is(why, jetstream.ErrStreamNotFound):
		return fmt.Errorf("%w; run `redoxworker provision`, which makes it", err)
	case why != nil:
		return fmt.Errorf("worker: audit stream %s: %w", s.prefix.AuditStream(), why)
	}
	return err
}

func (s *Stream) publish(ctx context.Context, subject, id string, entry any) error {
	line, err := json.Marshal(entry)
	if err != nil {
		return fmt.Errorf("worker: encoding an audit entry: %w", err)
	}
	msg := &nats.Msg{Subject: subject, Data: line, Header: nats.Header{contract.HeaderID: {id}}}
	if s.js == nil {
		return bucket.ErrNoJetStream
	}
	if _, err := s.js.PublishMsg(ctx, msg); err != nil {
		return fmt.Errorf("worker: audit stream %s: %w", s.prefix.AuditStream(), err)
	}
	return nil
}
