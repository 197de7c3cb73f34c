package outbox

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/outbox/internal/jsapi"
	"github.com/redoxworker/redoxworker/outbox/internal/publish"
	"github.com/redoxworker/redoxworker/outbox/internal/streams"
	"github.com/redoxworker/redoxworker/outbox/internal/wire"
)

// unconfirmedFirst stores the first message through another connection, does not say so, and
// leaves all others to then.
type unconfirmedFirst struct {
	jetstream.JetStream
	stores jetstream.JetStream
	then   func(context.Context, *nats.Msg) (*jetstream.PubAck, error)
	stored bool
}

func (u *unconfirmedFirst) PublishMsg(ctx context.Context, m *nats.Msg, _ ...jetstream.PublishOpt) (*jetstream.PubAck, error) {
	if u.stored {
		return u.then(ctx, m)
	}
	u.stored = true
	if _, err := u.stores.PublishMsg(ctx, m); err != nil {
		return nil, err
	}
	return nil, context.DeadlineExceeded
}

// What is refused now may have been stored by the try before, whose confirmation was lost: its
// body stays, and the error says so. The rights were changed in between, a cluster elected a
// leader without room, or a server starts and has no stream yet.
func TestPublish_ARefusalAfterALostConfirmation(t *testing.T) {
	t.Parallel()
	r := configured(t, `max_payload: 4096
		jetstream: enabled
		accounts { A { jetstream: enabled, users: [
		{user: op, password: p}, {user: b, password: p, permissions: {publish: ["$JS.API.>", "$O.>"], subscribe: ["_INBOX.>"]}} ] } }`,
		nats.UserInfo("op", "p"))
	r.Provision(streams.Set{Names: contract.Prefix("")})
	for name, tt := range map[string]struct {
		err  error // nil: the server's own
		want error
	}{
		"rights":    {want: ErrPermission},
		"no room":   {err: &jetstream.APIError{Code: 503, ErrorCode: jsapi.CodeInsufficientResources}, want: ErrQueueFull},
		"no stream": {err: nats.ErrNoResponders, want: ErrNoStream},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			user := r.Connect(nats.UserInfo("b", "p"))
			p, err := NewPublisher(user, PublisherConfig{ClaimCheck: true})
			r.Must(err)
			p.js = &unconfirmedFirst{JetStream: user, stores: r.JS, then: func(ctx context.Context, m *nats.Msg) (*jetstream.PubAck, error) {
				if tt.err != nil {
					return nil, tt.err
				}
				return user.PublishMsg(ctx, m)
			}}
			m := largeMessage()
			m.ID = strings.ReplaceAll(name, " ", "-")
			receipt, err := p.Publish(r.Ctx(), m)
			if !errors.Is(err, tt.want) || !strings.Contains(err.Error(), "may be stored") || receipt.ID != m.ID {
				t.Errorf("%+v, %v", receipt, err)
			}
			if !publish.MayBeStored(err) {
				t.Errorf("the gateway would say that nothing was stored: %v", err)
			}
			for _, stored := range r.Queued() {
				if wire.First(stored.Header, contract.HeaderMessageID) != m.ID {
					continue
				}
				if body, err := NewBodies(r.JS, "").Get(r.Ctx(), wire.First(stored.Header, contract.HeaderBodyObject), -1); err != nil || len(body) != len(m.Body) {
					t.Errorf("the body of what is stored: %d bytes, %v", len(body), err)
				}
			}
		})
	}
}
