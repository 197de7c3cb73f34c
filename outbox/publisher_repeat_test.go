package outbox

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/outbox/natsdev"
)

// scripted answers the first publishes with err; stored says whether they
// reached the server all the same.
type scripted struct {
	jetstream.JetStream
	left   int
	stored bool
	err    error
}

func (s *scripted) PublishMsg(ctx context.Context, m *nats.Msg, o ...jetstream.PublishOpt) (*jetstream.PubAck, error) {
	if s.left == 0 {
		return s.JetStream.PublishMsg(ctx, m, o...)
	}
	s.left--
	if s.stored {
		if _, err := s.JetStream.PublishMsg(ctx, m, o...); err != nil {
			return nil, err
		}
	}
	return nil, s.err
}

func TestPublish_RepeatsWhatWillHeal(t *testing.T) {
	t.Parallel()
	r, _ := published(t, natsdev.Options{}, PublisherConfig{})
	for name, err := range map[string]error{
		"timeout":      context.DeadlineExceeded,
		"no responder": nats.ErrNoResponders,
		"unavailable":  &jetstream.APIError{Code: 503, ErrorCode: 10008},
		"too many":     &jetstream.APIError{Code: 429, ErrorCode: 10167},
		"in process":   &jetstream.APIError{Code: 409, ErrorCode: 10158},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, newErr := NewPublisher(&scripted{JetStream: r.JS, left: 1, err: err}, PublisherConfig{})
			if newErr != nil {
				t.Fatal(newErr)
			}
			if receipt, err := p.Publish(r.Ctx(), Message{Source: "clinic-a"}); err != nil || receipt.Sequence == 0 {
				t.Errorf("receipt %+v, %v", receipt, err)
			}
		})
	}
}

// The duplicate is this call's own write, whose confirmation was lost: the
// reply comes to this caller.
func TestRequest_LostConfirmationIsNoDuplicate(t *testing.T) {
	t.Parallel()
	r, _ := published(t, natsdev.Options{}, PublisherConfig{})
	answering(r, true)
	p, err := NewPublisher(&scripted{JetStream: r.JS, left: 1, stored: true, err: context.DeadlineExceeded}, PublisherConfig{})
	if err != nil {
		t.Fatal(err)
	}
	if reply, err := p.Request(r.Ctx(), Message{Source: "clinic-a", Body: []byte(`{}`)}); err != nil || !reply.OK() {
		t.Errorf("reply %+v, %v", reply, err)
	}
}

func TestPublish_ErrorKeepsTheMadeID(t *testing.T) {
	t.Parallel()
	r, _ := published(t, natsdev.Options{}, PublisherConfig{})
	p, err := NewPublisher(&scripted{JetStream: r.JS, left: 1000, err: context.DeadlineExceeded}, PublisherConfig{Timeout: 300 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	receipt, err := p.Publish(context.Background(), Message{Source: "clinic-a"})
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "300ms") || strings.Contains(err.Error(), "\n") {
		t.Errorf("error %q", err)
	}
	if len(receipt.ID) != 36 {
		t.Errorf("receipt %+v has no id to publish again with", receipt)
	}
}

// A second publish under a used id is dropped and must leave the first body be.
func TestPublish_DuplicateClaimKeepsTheFirstBody(t *testing.T) {
	t.Parallel()
	r, p := published(t, natsdev.Options{MaxPayload: 4096}, PublisherConfig{ClaimCheck: true})
	m := Message{ID: "m", Source: "clinic-a", Body: []byte(strings.Repeat("1", 5000))}
	if _, err := p.Publish(r.Ctx(), m); err != nil {
		t.Fatal(err)
	}
	m.Body = []byte(strings.Repeat("2", 5000))
	if again, err := p.Publish(r.Ctx(), m); err != nil || !again.Duplicate {
		t.Fatalf("second receipt %+v, %v", again, err)
	}
	body, err := NewBodies(r.JS, "").Get(r.Ctx(), r.Out(1).Header.Get(contract.HeaderBodyObject), -1)
	if err != nil || body[0] != '1' {
		t.Errorf("body begins with %.1s, %v", body, err)
	}
	if n := r.Stream("OBJ_REDOX_BODIES").State.NumSubjects; n != 2 {
		t.Errorf("%d subjects in the store, want one object: chunks and header", n)
	}
}

// Publishing waits for a connection instead of leaving the message to the
// client's buffer, where it is stored after the caller was told it failed.
func TestPublish_NotConnectedStoresNothingLater(t *testing.T) {
	t.Parallel()
	r, _ := published(t, natsdev.Options{}, PublisherConfig{})
	proxied := r.Connect(nats.NoReconnect())
	p, err := NewPublisher(proxied, PublisherConfig{})
	if err != nil {
		t.Fatal(err)
	}
	proxied.Conn().Close()
	if _, err := p.Publish(r.Ctx(), Message{Source: "clinic-a"}); !errors.Is(err, nats.ErrConnectionClosed) || !strings.Contains(err.Error(), "nothing was stored") {
		t.Errorf("error %v", err)
	}
}
