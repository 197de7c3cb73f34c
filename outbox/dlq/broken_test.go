package dlq

import (
	"strings"
	"sync/atomic"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/outbox/internal/outboxtest"
)

// consumerGone is what the API answers for a consumer that it does not know.
const consumerGone = `{"error":{"code":404,"err_code":10014,"description":"consumer not found"}}`

// The server that had the consumer of a listing is restarted, or too busy to answer: the
// listing goes on where it was, with every letter once and in order.
func TestList_GoesOnWhereItBrokeOff(t *testing.T) {
	t.Parallel()
	const n = listBuffer + 20 // more than the client buffers at once
	for _, c := range []struct {
		name  string
		pulls int32 // pulls that are answered before it breaks off
		fails int32 // how often it breaks off
		want  int   // letters that are listed
	}{
		{"at the beginning", 0, 1, n},
		{"in the middle", 1, listTries, n},
		{"as often as it tries without progress", 0, listTries - 1, n},
		{"for good", 0, listTries, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			g := newGraveyard(t)
			g.buryMany(n)
			relay := newRelay(g.Rig)
			var pulled, failed atomic.Int32
			relay.pulls.Store(func(*nats.Msg) bool { return pulled.Add(1) > c.pulls && failed.Load() < c.fails }) // nothing comes, so that it looks
			relay.looks.Store(func(m *nats.Msg) bool {
				gone := failed.Load() < c.fails
				if gone {
					failed.Add(1)
					_ = m.Respond([]byte(consumerGone))
				}
				return gone
			})
			d, err := New(relay.js, Config{})
			if err != nil {
				t.Fatal(err)
			}
			last, count := uint64(0), 0
			for l, err := range d.List(t.Context(), Query{}) {
				if err != nil {
					if c.want > 0 || !strings.Contains(err.Error(), "consumer not found") {
						t.Error(err)
					}
					break
				}
				if l.Sequence <= last {
					t.Errorf("letter %d comes after %d", l.Sequence, last)
				}
				last = l.Sequence
				count++
			}
			if count != c.want {
				t.Errorf("%d letters are listed, want %d", count, c.want)
			}
		})
	}
}

// relay passes on all requests to the API but those that a test takes.
type relay struct {
	js           jetstream.JetStream
	pulls, looks atomic.Value // of func(*nats.Msg) bool
}

func newRelay(r outboxtest.Rig) *relay {
	r.T.Helper()
	const prefix = "RELAY.API"
	conn := r.Connect().Conn()
	relay := new(relay)
	if _, err := conn.Subscribe(prefix+".>", func(m *nats.Msg) {
		api := strings.TrimPrefix(m.Subject, prefix)
		var takes any
		switch {
		case strings.HasPrefix(api, ".CONSUMER.MSG.NEXT."):
			takes = relay.pulls.Load()
		case strings.HasPrefix(api, ".CONSUMER.INFO."):
			takes = relay.looks.Load()
		}
		if take, ok := takes.(func(*nats.Msg) bool); ok && take(m) {
			return
		}
		_ = conn.PublishMsg(&nats.Msg{Subject: strings.Replace("$JS.API"+api, "$JS.API.$KV.", "$KV.", 1), Reply: m.Reply, Header: m.Header, Data: m.Data})
	}); err != nil {
		r.T.Fatal(err)
	}
	js, err := jetstream.NewWithAPIPrefix(conn, prefix)
	if err != nil {
		r.T.Fatal(err)
	}
	relay.js = js
	return relay
}
