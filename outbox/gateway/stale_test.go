package gateway

import (
	"errors"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/contract"
)

func TestGateway_OrderTokenOnARequestIsRefused(t *testing.T) {
	t.Parallel()
	r, client := gatewayRig(t, Config{})
	h := nats.Header{contract.HeaderOrderToken: {"0123456789abcdef0123456789abcdef"}}
	msg, err := client.RequestMsg(&nats.Msg{Subject: "redox.gateway.clinic-a.request", Header: h, Data: []byte("{}")}, 2*time.Minute)
	var gateway *outbox.GatewayError
	if err == nil {
		_, err = outbox.DecodeReply(msg)
	}
	if !errors.As(err, &gateway) || gateway.Code != "400" {
		t.Errorf("answer: %v", err)
	}
	if n := r.Stream("REDOX_OUT").State.Msgs; n != 0 {
		t.Errorf("%d messages stored, the first under %s", n, r.Out(1).Subject)
	}
}
