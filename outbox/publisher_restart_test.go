package outbox

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/outbox/natsdev"
)

// confirmationLost stores the first message, does what happens next, and does not say that
// the message is stored.
type confirmationLost struct {
	jetstream.JetStream
	next func()
	lost bool
}

func (c *confirmationLost) PublishMsg(ctx context.Context, m *nats.Msg, o ...jetstream.PublishOpt) (*jetstream.PubAck, error) {
	ack, err := c.JetStream.PublishMsg(ctx, m, o...)
	if c.lost || err != nil {
		return ack, err
	}
	c.lost = true
	c.next()
	return nil, context.DeadlineExceeded
}

// acknowledgeOne settles the oldest message of a lane as a worker does.
func (r topologyRig) acknowledgeOne(lane Lane) {
	r.t.Helper()
	msg, err := r.reader("clinic-a", lane).Next()
	must(r, err)
	must(r, msg.DoubleAck(r.ctx()))
}

// A single server that is restarted forgets the ids of what was settled: a write whose
// confirmation was lost is not repeated then, but in doubt. Where the server is the same, the
// repeat is recognised; and to ask twice does no harm.
func TestPublish_ARestartOfTheOnlyServerLeavesAnUnconfirmedWriteInDoubt(t *testing.T) {
	t.Parallel()
	settle := func(r topologyRig, lane Lane) { r.acknowledgeOne(lane) }
	restart := func(r topologyRig, _ Lane) { must(r, r.server.Restart()) }
	reconnect := func(r topologyRig, _ Lane) { must(r, r.js.Conn().ForceReconnect()) }
	for name, tt := range map[string]struct {
		lane   Lane
		next   []func(topologyRig, Lane)
		doubt  bool
		queued int
	}{
		"nothing happens":               {next: nil, queued: 1},
		"settled":                       {next: []func(topologyRig, Lane){settle}},
		"settled, reconnected":          {next: []func(topologyRig, Lane){settle, reconnect}},
		"settled, restarted":            {next: []func(topologyRig, Lane){settle, restart}, doubt: true},
		"restarted":                     {next: []func(topologyRig, Lane){restart}, doubt: true, queued: 1},
		"a query, settled, reconnected": {lane: LaneRequest, next: []func(topologyRig, Lane){settle, reconnect}},
		"a query, settled, restarted":   {lane: LaneRequest, next: []func(topologyRig, Lane){settle, restart}, queued: 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, _ := published(t, natsdev.Options{}, PublisherConfig{})
			lane := tt.lane
			if lane == "" {
				lane = LaneSend
			}
			p, err := NewPublisher(&confirmationLost{JetStream: r.js, next: func() {
				for _, next := range tt.next {
					next(r, lane)
				}
			}}, PublisherConfig{})
			must(r, err)
			receipt, err := p.Publish(r.ctx(), Message{ID: "m", Source: "clinic-a", Lane: lane, ReplyTo: "_INBOX.x", Body: []byte(`{}`)})
			if errors.Is(err, ErrInDoubt) != tt.doubt || (err != nil) != tt.doubt || receipt.ID != "m" {
				t.Errorf("%+v, %v", receipt, err)
			}
			if tt.doubt {
				if code, text := gatewayFault(err); code != "503" || !strings.Contains(text, "twice") || strings.Contains(err.Error(), "publish it again") {
					t.Errorf("the publisher says %v, the gateway %s %s", err, code, text)
				}
			} else if want := lane == LaneSend; receipt.Duplicate != (want || tt.queued == 0) {
				t.Errorf("%+v", receipt)
			}
			if n := len(r.queued()); n != tt.queued {
				t.Errorf("%d messages are stored, want %d", n, tt.queued)
			}
		})
	}
}

// Whoever gives up while the only server is away does not hear that the id is remembered.
func TestPublish_GivingUpWhileTheOnlyServerIsAwayIsInDoubt(t *testing.T) {
	t.Parallel()
	r, _ := published(t, natsdev.Options{}, PublisherConfig{})
	ctx, cancel := context.WithCancel(r.ctx())
	defer cancel()
	p, err := NewPublisher(&confirmationLost{JetStream: r.js, next: func() {
		must(r, r.server.Shutdown())
		for r.js.Conn().IsConnected() && sleep(r.ctx(), connectPoll) {
		}
		cancel()
	}}, PublisherConfig{})
	must(r, err)
	if _, err := p.Publish(ctx, Message{Source: "clinic-a", Body: []byte(`{}`)}); !errors.Is(err, ErrInDoubt) || !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// A replay whose confirmation was lost looks for what it has published, which a restart does
// not hide from it.
func TestReplay_ARestartOfTheOnlyServerDoublesNothing(t *testing.T) {
	t.Parallel()
	for name, settled := range map[string]bool{"settled": true, "still queued": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newGraveyard(t)
			g.bury(letter("m", 1))
			g.DeadLetters.publisher.js = &confirmationLost{JetStream: g.DeadLetters.publisher.js, next: func() {
				if settled {
					g.settle(g.queued()[0])
				}
				must(g.topologyRig, g.server.Restart())
			}}
			if got := g.replayAll(ReplayOptions{}); got != "m already replayed" {
				t.Error(got)
			}
			if n := len(g.queued()); n != map[bool]int{true: 0, false: 1}[settled] {
				t.Errorf("%d messages are stored", n)
			}
			g.left(0)
		})
	}
}

// Where several servers keep the queue, the next one knows what the last one stored; a queue
// that one of them keeps is as forgetful as that one.
func TestPublish_AnotherServerOfAClusterLeavesOnlyASingleCopyInDoubt(t *testing.T) {
	t.Parallel()
	r := newCluster(t)
	for replicas, prefix := range map[int]Prefix{1: "one", 3: "three"} {
		r.ensure(Topology{Prefix: prefix, Replicas: replicas})
		js := r.connect()
		first := js.Conn().ConnectedServerId()
		p, err := NewPublisher(&confirmationLost{JetStream: js, next: func() {
			for id := first; id == first || id == ""; id = js.Conn().ConnectedServerId() {
				must(r, js.Conn().ForceReconnect())
				if !sleep(r.ctx(), connectPoll) {
					t.Fatal("no other server takes the connection")
				}
			}
		}}, PublisherConfig{Prefix: prefix})
		must(r, err)
		receipt, err := p.Publish(r.ctx(), Message{Source: "clinic-a", Body: []byte(`{}`)})
		if single := replicas == 1; errors.Is(err, ErrInDoubt) != single || receipt.Duplicate == single {
			t.Errorf("%d replicas: %+v, %v", replicas, receipt, err)
		}
	}
}

// A query may be asked for as long as somebody waits; a SEND only while its id is known.
func TestPublish_HowLongAWriteInDoubtIsRepeated(t *testing.T) {
	t.Parallel()
	long := time.Now().Add(-repeatFor - time.Minute)
	for query, want := range map[bool]error{false: errForgotten, true: nil} {
		s := sending{publisher: &Publisher{conn: &nats.Conn{}}, doubt: true, query: query}
		if err := s.unrepeatable(t.Context(), long); !errors.Is(err, want) {
			t.Errorf("query %v: %v, want %v", query, err, want)
		}
	}
}
