package gateway

import (
	"encoding/json"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/outbox/internal/outboxtest"
)

// TestGateway_StopAnswersWhatItTook stops one of two gateways under load: no
// caller is left without an answer, and what was receipted is stored, once.
func TestGateway_StopAnswersWhatItTook(t *testing.T) {
	t.Parallel()
	r := provisioned(t)
	cfg := Config{Sources: []string{"clinic-a"}, Concurrency: 4}
	first := serveGateway(r, cfg)
	second := serveGateway(outboxtest.Rig{T: t, Server: r.Server, JS: r.Connect()}, cfg)
	defer second()
	client := r.Connect().Conn()
	const callers, each = 8, 50
	var receipts, refused, half atomic.Int64
	var all sync.WaitGroup
	for c := range callers {
		all.Go(func() {
			for i := range each {
				if c == 0 && i == each/2 {
					half.Add(1)
					first()
				}
				msg := &nats.Msg{Subject: "redox.gateway.clinic-a.send", Data: []byte("{}"), Header: nats.Header{contract.HeaderID: {fmt.Sprintf("%d-%d", c, i)}}}
				answer, err := client.RequestMsg(msg, 2*time.Minute)
				if err != nil {
					t.Errorf("request %d-%d: %v", c, i, err)
					continue
				}
				if gatewayError(answer) != nil {
					refused.Add(1)
					continue
				}
				var receipt outbox.Receipt
				if err := json.Unmarshal(answer.Data, &receipt); err != nil || receipt.Duplicate {
					t.Errorf("request %d-%d: receipt %s", c, i, answer.Data)
				}
				receipts.Add(1)
			}
		})
	}
	all.Wait()
	if half.Load() != 1 {
		t.Fatal("the gateway was not stopped")
	}
	if n := int64(r.Stream("REDOX_OUT").State.Msgs); n != receipts.Load() || n == 0 {
		t.Errorf("%d messages stored, %d receipts, %d refused", n, receipts.Load(), refused.Load())
	}
}

// TestGateway_PublishedNotRequested: without a reply subject SENDs are stored in
// silence; a REQUEST whose answer nobody would hear is not.
func TestGateway_PublishedNotRequested(t *testing.T) {
	t.Parallel()
	r := provisioned(t)
	stop := serveGateway(r, Config{Sources: []string{"clinic-a"}})
	client := r.Connect().Conn()
	for _, lane := range []contract.Lane{contract.LaneSend, contract.LaneRequest} {
		if err := client.Publish(contract.Prefix("").GatewaySubject("clinic-a", lane), []byte("{}")); err != nil {
			t.Fatal(err)
		}
		askGateway(t, client, contract.Prefix("").GatewaySubject("clinic-a", lane), nats.Header{contract.HeaderID: {"no id"}})
	}
	stop()
	s, err := r.JS.Stream(r.Ctx(), "REDOX_OUT")
	if err != nil {
		t.Fatal(err)
	}
	msg, err := s.GetMsg(r.Ctx(), 1)
	if err != nil || msg.Subject != "redox.out.clinic-a.send" || s.CachedInfo().State.Msgs != 1 {
		t.Errorf("stored %+v, %v; want the SEND alone", s.CachedInfo().State, err)
	}
}
