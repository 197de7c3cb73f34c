package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/worker/redoxsim"
)

// Two sources give each of their messages the same id, by every way in: Redox gets each of
// them once, and each caller its own answer, in its inbox or kept under its subject, also
// where the body takes the way through the object store.
func TestRun_TwoSourcesOneID(t *testing.T) {
	t.Parallel()
	s := newStage(t, &redoxsim.Server{}, "")
	s.addSource("clinic-b", sourceB, "main")
	s.run()
	p, err := outbox.NewPublisher(s.js, outbox.PublisherConfig{OrderSecret: []byte(orderSecret), ClaimCheck: true})
	if err != nil {
		t.Fatal(err)
	}
	query := []byte(`{"Meta":{"DataModel":"PatientSearch","EventType":"Query","Test":true,"Destinations":[{"ID":"af394f14-b34a-464f-8d24-895f370af4c9"}]}}`)
	large := bytes.Replace(admit("large"), []byte(`{`), []byte(`{"Filler":"`+strings.Repeat("x", 2<<20)+`",`), 1)
	sources := []string{"clinic-a", "clinic-b"}
	for _, source := range sources {
		answer, err := s.js.Conn().RequestMsg(&nats.Msg{Subject: "redox.gateway." + source + ".request", Data: query,
			Header: nats.Header{contract.HeaderMessageID: {"gateway"}}}, 2*time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		if reply, err := outbox.DecodeReply(answer); err != nil || !reply.OK() || reply.MessageID != "gateway" {
			t.Errorf("%s: a request through the gateway: %+v, %v", source, reply, err)
		}
		for _, m := range []outbox.Message{
			{ID: "inbox", Body: query},
			{ID: "kept", Body: query, ReplyTo: "redox.reply." + source + ".kept"},
			{ID: "send", Lane: contract.LaneSend, Body: admit("send"), ReplyTo: "redox.reply." + source + ".send"},
			{ID: "ordered", Lane: contract.LaneOrdered, OrderKey: "MRN 1", Body: admit("ordered"), ReplyTo: "redox.reply." + source + ".ordered"},
			{ID: "large", Lane: contract.LaneSend, Body: large, ReplyTo: "redox.reply." + source + ".large"},
		} {
			m.Source = source
			if reply, err := p.Request(t.Context(), m); err != nil || !reply.OK() || reply.MessageID != m.ID {
				t.Errorf("%s: %s: %+v, %v", source, m.ID, reply, err)
			}
		}
	}
	s.drained()
	arrived := map[string]int{}
	for _, a := range s.messages() {
		arrived[a.Source]++
	}
	if arrived[sourceID] != 6 || arrived[sourceB] != 6 || len(arrived) != 2 {
		t.Errorf("arrivals by Source ID: %v, want 6 of each", arrived)
	}
	if n := s.queued("REDOX_REPLIES"); n != 8 {
		t.Errorf("%d replies are kept, want 8", n)
	}
}
