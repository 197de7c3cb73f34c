package audit

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/worker/internal/bucket"
)

// Stream stores entries in the stream REDOX_AUDIT, under the subject redox.audit.<source>; the
// topology of package outbox makes it. It is safe for concurrent use.
type Stream struct {
	js     jetstream.JetStream
	prefix outbox.Prefix
}

// NewStream makes no request.
func NewStream(js jetstream.JetStream, p outbox.Prefix) *Stream { return &Stream{js: js, prefix: p} }

// Append is a [Sink]. The entry is stored when it returns. A settlement whose entry is written
// twice within the stream's duplicate window has it once.
func (s *Stream) Append(ctx context.Context, e Entry) error {
	line, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("worker: encoding an audit entry: %w", err)
	}
	msg := &nats.Msg{Subject: s.prefix.AuditSubject(e.Source), Data: line, Header: nats.Header{
		outbox.HeaderID: {fmt.Sprintf("%s:%s:audit:%s:%d", e.Source, s.prefix.DeadToken(e.Message, e.Sequence), e.Settlement, e.Stored.UnixNano())}}}
	if s.js == nil {
		return bucket.ErrNoJetStream
	}
	if _, err := s.js.PublishMsg(ctx, msg); err != nil {
		return fmt.Errorf("worker: audit stream %s: %w", s.prefix.AuditStream(), err)
	}
	return nil
}
