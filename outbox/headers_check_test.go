package outbox

import (
	"strings"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/redoxworker/redoxworker/outbox/contract"
)

// A header's name can hold anything that a client puts there.
func TestDecode_ShowsNoHeaderNameThatMayHoldData(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"Redox-Mueller-19700101", "redox-\x1b[2J", "Redox-ß", "redox-" + strings.Repeat("a", 5000), "Redox-a b"} {
		_, err := Decode("", Stored{Subject: "redox.out.a.send", Header: nats.Header{name: {"x"}}})
		if err == nil || strings.Contains(err.Error(), name[6:]) || len(err.Error()) > 200 {
			t.Errorf("%q: %v", name, err)
		}
	}
	// Of several the same one is named each time.
	h := nats.Header{"redox-b": {"x"}, "redox-a": {"x"}, "redox-c": {"x"}}
	for range 20 {
		if _, err := Decode("", Stored{Subject: "redox.out.a.send", Header: h}); err == nil || !strings.Contains(err.Error(), "redox-a ") {
			t.Fatal(err)
		}
	}
}

// A message keeps what Redox-Message-Id calls it, and the stream's id without it.
func TestDecode_MessageID(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		h    nats.Header
		want string
	}{
		{nats.Header{}, "REDOX_OUT:7"},
		{nats.Header{contract.HeaderID: {"n"}}, "n"},
		{nats.Header{contract.HeaderMessageID: {"m"}}, "m"},
		{nats.Header{contract.HeaderID: {"n"}, contract.HeaderMessageID: {"m"}}, "m"},
	} {
		if m, err := Decode("", Stored{Subject: "redox.out.a.send", Header: tt.h, Sequence: 7}); err != nil || m.ID != tt.want {
			t.Errorf("%v: %q, %v", tt.h, m.ID, err)
		}
	}
}

// Trace context comes in any case (W3C Trace Context, 3.2.1), and never fails a message.
func TestDecode_TraceContext(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		h             nats.Header
		parent, state string
	}{
		{nats.Header{"traceparent": {goldenTrace}, "tracestate": {"a=1"}}, goldenTrace, "a=1"},
		{nats.Header{"Traceparent": {goldenTrace}, "TraceState": {"a=1"}}, goldenTrace, "a=1"},
		{nats.Header{"traceparent": {goldenTrace}, "tracestate": {"a=1", "b=2"}}, goldenTrace, "a=1,b=2"},
		{nats.Header{"traceparent": {goldenTrace, goldenTrace}}, "", ""},
		{nats.Header{"traceparent": {""}, "tracestate": {"a=1"}}, "", ""},
	} {
		m, err := Decode("", Stored{Subject: "redox.out.a.send", Header: tt.h})
		if err != nil || m.TraceParent != tt.parent || m.TraceState != tt.state {
			t.Errorf("%v: %q, %q, %v", tt.h, m.TraceParent, m.TraceState, err)
		}
	}
}
