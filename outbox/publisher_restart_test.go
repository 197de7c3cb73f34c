package outbox

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/outbox/internal/jsapi"
	"github.com/redoxworker/redoxworker/outbox/internal/outboxtest"
	"github.com/redoxworker/redoxworker/outbox/internal/publish"
	"github.com/redoxworker/redoxworker/outbox/internal/streams"
	"github.com/redoxworker/redoxworker/outbox/natsdev"
)

// acknowledgeOne settles the oldest message of a lane as a worker does.
func (r rig) acknowledgeOne(lane contract.Lane) {
	r.T.Helper()
	msg, err := r.Reader("clinic-a", string(lane)).Next()
	r.Must(err)
	r.Must(msg.DoubleAck(r.Ctx()))
}

// A single server that is restarted forgets the ids of what was settled: a write whose
// confirmation was lost is not repeated then, but in doubt. Where the server is the same, the
// repeat is recognised; and to ask twice does no harm.
func TestPublish_ARestartOfTheOnlyServerLeavesAnUnconfirmedWriteInDoubt(t *testing.T) {
	t.Parallel()
	settle := func(r rig, lane contract.Lane) { r.acknowledgeOne(lane) }
	restart := func(r rig, _ contract.Lane) { r.Must(r.Server.Restart()) }
	reconnect := func(r rig, _ contract.Lane) { r.Must(r.JS.Conn().ForceReconnect()) }
	for name, tt := range map[string]struct {
		lane   contract.Lane
		next   []func(rig, contract.Lane)
		doubt  bool
		queued int
	}{
		"nothing happens":               {next: nil, queued: 1},
		"settled":                       {next: []func(rig, contract.Lane){settle}},
		"settled, reconnected":          {next: []func(rig, contract.Lane){settle, reconnect}},
		"settled, restarted":            {next: []func(rig, contract.Lane){settle, restart}, doubt: true},
		"restarted":                     {next: []func(rig, contract.Lane){restart}, doubt: true, queued: 1},
		"a query, settled, reconnected": {lane: contract.LaneRequest, next: []func(rig, contract.Lane){settle, reconnect}},
		"a query, settled, restarted":   {lane: contract.LaneRequest, next: []func(rig, contract.Lane){settle, restart}, queued: 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, _ := published(t, natsdev.Options{}, PublisherConfig{})
			lane := tt.lane
			if lane == "" {
				lane = contract.LaneSend
			}
			p, err := NewPublisher(&outboxtest.ConfirmationLost{JetStream: r.JS, Next: func() {
				for _, next := range tt.next {
					next(r, lane)
				}
			}}, PublisherConfig{})
			r.Must(err)
			receipt, err := p.Publish(r.Ctx(), Message{ID: "m", Source: "clinic-a", Lane: lane, ReplyTo: "_INBOX.x", Body: []byte(`{}`)})
			if errors.Is(err, ErrInDoubt) != tt.doubt || (err != nil) != tt.doubt || receipt.ID != "m" {
				t.Errorf("%+v, %v", receipt, err)
			}
			if tt.doubt {
				if strings.Contains(err.Error(), "publish it again") {
					t.Errorf("the publisher says %v", err)
				}
			} else if want := lane == contract.LaneSend; receipt.Duplicate != (want || tt.queued == 0) {
				t.Errorf("%+v", receipt)
			}
			if n := len(r.Queued()); n != tt.queued {
				t.Errorf("%d messages are stored, want %d", n, tt.queued)
			}
		})
	}
}

// Whoever gives up while the only server is away does not hear that the id is remembered.
func TestPublish_GivingUpWhileTheOnlyServerIsAwayIsInDoubt(t *testing.T) {
	t.Parallel()
	r, _ := published(t, natsdev.Options{}, PublisherConfig{})
	ctx, cancel := context.WithCancel(r.Ctx())
	defer cancel()
	p, err := NewPublisher(&outboxtest.ConfirmationLost{JetStream: r.JS, Next: func() {
		r.Must(r.Server.Shutdown())
		for r.JS.Conn().IsConnected() && jsapi.Sleep(r.Ctx(), publish.ConnectPoll) {
		}
		cancel()
	}}, PublisherConfig{})
	r.Must(err)
	if _, err := p.Publish(ctx, Message{Source: "clinic-a", Body: []byte(`{}`)}); !errors.Is(err, ErrInDoubt) || !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// Where several servers keep the queue, the next one knows what the last one stored; a queue
// that one of them keeps is as forgetful as that one.
func TestPublish_AnotherServerOfAClusterLeavesOnlyASingleCopyInDoubt(t *testing.T) {
	t.Parallel()
	r := rig{outboxtest.Cluster(t)}
	for replicas, prefix := range map[int]contract.Prefix{1: "one", 3: "three"} {
		r.Provision(streams.Set{Names: prefix, Replicas: replicas})
		js := r.Connect()
		first := js.Conn().ConnectedServerId()
		p, err := NewPublisher(&outboxtest.ConfirmationLost{JetStream: js, Next: func() {
			for id := first; id == first || id == ""; id = js.Conn().ConnectedServerId() {
				r.Must(js.Conn().ForceReconnect())
				if !jsapi.Sleep(r.Ctx(), publish.ConnectPoll) {
					t.Fatal("no other server takes the connection")
				}
			}
		}}, PublisherConfig{Prefix: prefix})
		r.Must(err)
		receipt, err := p.Publish(r.Ctx(), Message{Source: "clinic-a", Body: []byte(`{}`)})
		if single := replicas == 1; errors.Is(err, ErrInDoubt) != single || receipt.Duplicate == single {
			t.Errorf("%d replicas: %+v, %v", replicas, receipt, err)
		}
	}
}
