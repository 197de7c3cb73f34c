package outbox

import (
	"bytes"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/outbox/internal/outboxtest"
)

// relayed reaches the API of JetStream by way of a relay.
type relayed struct{ jetstream.JetStream }

func (relayed) Options() jetstream.JetStreamOptions {
	return jetstream.JetStreamOptions{APIPrefix: "RELAY.API."}
}

// electing answers as many requests for a message as left says as a stream does that elects its
// leader (nats-server, jsMsgGetRequest), and passes all others on.
func (r rig) electing(left *atomic.Int64) jetstream.JetStream {
	r.T.Helper()
	conn := r.JS.Conn()
	_, err := conn.Subscribe("RELAY.API.>", func(m *nats.Msg) {
		api := strings.TrimPrefix(m.Subject, "RELAY.")
		if strings.HasPrefix(api, "API.STREAM.MSG.GET.") && left.Add(-1) >= 0 {
			_ = m.Respond([]byte(`{"error":{"code":503,"err_code":10008,"description":"JetStream system temporarily unavailable"}}`))
			return
		}
		_ = conn.PublishMsg(&nats.Msg{Subject: strings.Replace("$JS."+api, "$JS.API.$KV.", "$KV.", 1), Reply: m.Reply, Header: m.Header, Data: m.Data})
	})
	r.Must(err)
	return relayed{r.JS}
}

// A stream that elects its leader says that it is not available. It is asked again, as one that
// does not answer is.
func TestLeader_WhileItIsElected(t *testing.T) {
	t.Parallel()
	r, _ := newBodies(t)
	left := new(atomic.Int64)
	b := NewBodies(r.electing(left), "")
	left.Store(2)
	r.Must(b.Put(r.Ctx(), "a/x", outboxtest.Pattern(300_000)))
	left.Store(2)
	if body, err := b.Get(r.Ctx(), "a/x", -1); err != nil || !bytes.Equal(body, outboxtest.Pattern(300_000)) {
		t.Errorf("%d bytes, %v", len(body), err)
	}
}
