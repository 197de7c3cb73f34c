package worker_test

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/outbox/dlq"
	"github.com/redoxworker/redoxworker/worker"
	"github.com/redoxworker/redoxworker/worker/workertest/bubble"
)

// HTTP headers of a message are the Deliverer's to send, at the first attempt, at a later one and
// in a replay; those of the answer are in the reply, whatever the settlement, durable or not.
func TestHeaders_BothWays(t *testing.T) {
	inBubble(t, func(r *rig) {
		sent := http.Header{"Prefer": {"respond-async"}, "X-User-Id": {"Ada Example"}}
		r.far.Answer = func(_ context.Context, m outbox.Message, n int) (outbox.Answer, error) {
			if m.Header.Get("Prefer") != "respond-async" || m.Header.Get("X-User-Id") != "Ada Example" || len(m.Header) != 2 {
				t.Errorf("%s, attempt %d: %d headers", m.ID, n, len(m.Header))
			}
			a := outbox.Answer{Status: 202, Header: http.Header{"Content-Location": {"/export/1"}, "Retry-After": {"120"}}}
			switch {
			case n == 1:
				return outbox.Answer{Status: 503}, errFar
			case m.ID == "refused":
				a.Status, a.Header = 412, http.Header{"Etag": {`W/"2"`}}
				return a, worker.Permanent(errFar)
			}
			return a, nil
		}
		r.start(worker.Config{})
		p, err := outbox.NewPublisher(r.js, outbox.PublisherConfig{})
		r.must(err)
		ask := func(id, to string) outbox.Reply {
			reply, err := p.Request(r.Context(), outbox.Message{ID: id, Source: source, Lane: contract.LaneSend, ReplyTo: to, Header: sent, Body: []byte("{}")})
			r.must(err)
			return reply
		}
		for id, to := range map[string]string{"durable": "redox.reply.clinic-a.1", "core": ""} {
			if got := ask(id, to); got.Settlement != outbox.Delivered || len(got.Header) != 2 || got.Header.Get("Content-Location") != "/export/1" || got.Header.Get("Retry-After") != "120" {
				t.Errorf("%s: %s, %v", id, got.Settlement, got.Header)
			}
		}
		if got := ask("refused", "redox.reply.clinic-a.2"); got.Settlement != outbox.Rejected || got.Header.Get("ETag") != `W/"2"` {
			t.Errorf("refused: %s, %v", got.Settlement, got.Header)
		}
		letters := r.deadLetters()
		if len(letters) != 1 || letters[0].Header.Get(contract.RequestHeaderPrefix+"X-User-Id") != "Ada Example" {
			t.Fatalf("dead letters %v", letters)
		}
		r.replayAll(r.dead(), dlq.Query{})
		if e := r.awaitSettled("refused:r1"); e.Settlement != outbox.Delivered {
			t.Errorf("the replay is settled %s", e.Settlement)
		}
		bubble.Sleep(time.Second)
	})
}
