package outbox

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/redoxworker/redoxworker/outbox/natsdev"
)

// oneHeader are headers that each stand alone in a message, and what both ways in make of
// them: "" is taken, anything else a part of the refusal.
var oneHeader = []struct{ name, value, queue, gateway string }{
	// As they are written.
	{HeaderID, "m-1", "", ""},
	{HeaderMessageID, "m-1", "", ""},
	{HeaderKind, "data-model", "", ""},
	{HeaderContentType, "application/json", "", ""},
	{HeaderAccept, "application/json", "", ""},
	{HeaderReplyTo, "redox.reply.clinic-a.x", "", ""},
	{HeaderDeadline, "2999-01-01T00:00:00Z", "", ""},
	// Each belongs to one way in.
	{HeaderOrderKey, "MRN 1", "Redox-Order-Key is for the gateway only", ""},
	{HeaderOrderToken, goldenToken, "Redox-Order-Token asks for an order", ""},
	{HeaderReplayOf, "m-0", "", "Redox-Replay-Of is not for callers"},
	{HeaderReplayCount, "1", "", "Redox-Replay-Count is not for callers"},
	{HeaderOrderPosition, "1", "", "Redox-Order-Position is not for callers"},
	{HeaderOrderBehind, "1", "", "Redox-Order-Behind is not for callers"},
	{HeaderBodyObject, "clinic-a/x", "", "Redox-Body-Object is not for callers"},
	// In another case, or with blanks around.
	{"redox-deadline", "2020-01-01T00:00:00Z", "redox-deadline is not a header of the contract; did you mean Redox-Deadline?", "did you mean Redox-Deadline?"},
	{"REDOX-KIND", "fhir", "did you mean Redox-Kind?", "did you mean Redox-Kind?"},
	{"Redox-order-key", "MRN 1", "did you mean Redox-Order-Key?", "did you mean Redox-Order-Key?"},
	{"redox-replay-of", "m-0", "did you mean Redox-Replay-Of?", "did you mean Redox-Replay-Of?"},
	{"redox-method", "GET", "did you mean Redox-Method?", "did you mean Redox-Method?"},
	{"redox-reply-to", "$JS.API.x", "did you mean Redox-Reply-To?", "did you mean Redox-Reply-To?"},
	{"nats-msg-id", "m-1", "did you mean Nats-Msg-Id?", "did you mean Nats-Msg-Id?"},
	{"NATS-MSG-ID", "m-1", "did you mean Nats-Msg-Id?", "did you mean Nats-Msg-Id?"},
	{"content-type", "application/xml", "did you mean Content-Type?", "did you mean Content-Type?"},
	{"accept", "application/xml", "did you mean Accept?", "did you mean Accept?"},
	// Misspelt.
	{"Redox-Dead-Line", "2020-01-01T00:00:00Z", "did you mean Redox-Deadline?", "did you mean Redox-Deadline?"},
	{"Redox-Dedline", "2020-01-01T00:00:00Z", "did you mean Redox-Deadline?", "did you mean Redox-Deadline?"},
	{"Redox_Deadline", "2020-01-01T00:00:00Z", "", ""}, // it does not begin with redox-
	{"Redox-Order_Key", "MRN 1", "did you mean Redox-Order-Key?", "did you mean Redox-Order-Key?"},
	{"Redox-Oder-Key", "MRN 1", "did you mean Redox-Order-Key?", "did you mean Redox-Order-Key?"},
	// Of what workers write, or made up.
	{HeaderSettlement, "delivered", "Redox-Settlement is not a header of the contract", "Redox-Settlement is not"},
	{HeaderStatus, "200", "Redox-Status is not", "Redox-Status is not"},
	{HeaderDeadError, "x", "Redox-Dead-Error is not", "Redox-Dead-Error is not"},
	{"Redox-Header-Prefer", "return=minimal", "Redox-Header-Prefer is not", "Redox-Header-Prefer is not"},
	{"redox-", "x", "redox- is not", "redox- is not"},
	{"Redox-Patient-4711", "x", "a header whose name begins like one", "a header whose name begins like one"},
	{"Redox-" + strings.Repeat("x", 100), "x", "a header whose name begins like one", "a header whose name begins like one"},
	// Nobody's business.
	{"X-Redox-Kind", "fhir", "", ""},
	{"Traceparent", goldenTrace, "", ""},
	{"tracestate", "", "", ""},
	{"Nats-Msg-Ids", "x", "", ""},
	// Empty ones: a variable that was not set.
	{HeaderOrderKey, "", "Redox-Order-Key is for the gateway only", "Redox-Order-Key is empty"},
	{HeaderOrderKey, "  ", "Redox-Order-Key is for the gateway only", "Redox-Order-Key is empty"}, // the client trims it
	{HeaderID, "", "Nats-Msg-Id is empty", "Nats-Msg-Id is empty"},
	{HeaderMessageID, "", "Redox-Message-Id is empty", "Redox-Message-Id is empty"},
	{HeaderKind, "", "Redox-Kind is empty", "Redox-Kind is empty"},
	{HeaderMethod, "", "Redox-Method is empty", "Redox-Method is empty"},
	{HeaderPath, "", "Redox-Path is empty", "Redox-Path is empty"},
	{HeaderContentType, "", "Content-Type is empty", "Content-Type is empty"},
	{HeaderAccept, "", "Accept is empty", "Accept is empty"},
	{HeaderReplyTo, "", "Redox-Reply-To is empty", "Redox-Reply-To is empty"},
	{HeaderOrderToken, "", "Redox-Order-Token is empty", "Redox-Order-Token is empty"},
	{HeaderDeadline, "", "Redox-Deadline is empty", "Redox-Deadline is empty"},
	{HeaderBodyObject, "", "Redox-Body-Object is empty", "Redox-Body-Object is not for callers"},
	{HeaderReplayOf, "", "Redox-Replay-Of is empty", "Redox-Replay-Of is not for callers"},
	{HeaderReplayCount, "", "Redox-Replay-Count is empty", "Redox-Replay-Count is not for callers"},
	{HeaderOrderPosition, "", "Redox-Order-Position is empty", "Redox-Order-Position is not for callers"},
	{HeaderOrderBehind, "", "Redox-Order-Behind is empty", "Redox-Order-Behind is not for callers"},
}

// TestDecode_OneHeader and TestGateway_OneHeader hold both ways in to one table.
func TestDecode_OneHeader(t *testing.T) {
	t.Parallel()
	for _, tt := range oneHeader {
		in := Stored{Subject: "redox.out.clinic-a.send", Header: nats.Header{tt.name: {strings.TrimSpace(tt.value)}}, Sequence: 1}
		_, err := Decode("", in)
		checkOneHeader(t, tt.name, tt.value, tt.queue, err)
	}
}

func TestGateway_OneHeader(t *testing.T) {
	t.Parallel()
	r, _ := published(t, natsdev.Options{}, PublisherConfig{})
	serveGateway(r, GatewayConfig{Sources: []string{"clinic-a"}, OrderSecret: testSecret})
	client := r.connect().Conn()
	for _, tt := range oneHeader {
		_, err := DecodeReply(askGateway(t, client, "redox.gateway.clinic-a.send", nats.Header{tt.name: {tt.value}}))
		var gateway *GatewayError
		if errors.As(err, &gateway) {
			if gateway.Code != "400" {
				t.Errorf("%s: code %s", tt.name, gateway.Code)
			}
		} else {
			err = nil // a receipt is no reply
		}
		checkOneHeader(t, tt.name, tt.value, tt.gateway, err)
	}
}

func checkOneHeader(t *testing.T, name, value, want string, err error) {
	t.Helper()
	switch {
	case want == "" && err != nil, want != "" && (err == nil || !strings.Contains(err.Error(), want)):
		t.Errorf("%s: %q: %v, want %q", name, value, err, want)
	case err != nil && len(strings.TrimSpace(value)) > 2 && !strings.Contains(name, value) && strings.Contains(err.Error(), value):
		t.Errorf("%s: the value is shown: %v", name, err)
	}
}

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
		{nats.Header{HeaderID: {"n"}}, "n"},
		{nats.Header{HeaderMessageID: {"m"}}, "m"},
		{nats.Header{HeaderID: {"n"}, HeaderMessageID: {"m"}}, "m"},
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

// What a dead letter keeps of a misspelt header refuses the replay too: without it the
// message would go out as if nobody had asked for anything.
func TestDeadLetter_ReplayOfAMisspeltHeader(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"redox-deadline", "Redox-Dead-Line", "Redox-Order-Key"} {
		d := goldenDeadLetter()
		d.Header = nats.Header{name: {"x"}}
		msg := d.Encode("")
		back, err := DecodeDeadLetter("", Stored{Subject: msg.Subject, Header: msg.Header})
		if err != nil {
			t.Fatal(err)
		}
		if r, err := back.replay("", "m-1:r1", 1, time.Now()); err == nil {
			t.Errorf("%s: replayed as %v", name, r.msg.Header)
		}
	}
}

// A dead letter is written whatever the names of the original's headers are.
func TestDeadLetter_HeaderNamesThatCannotBeWritten(t *testing.T) {
	t.Parallel()
	r, _ := published(t, natsdev.Options{}, PublisherConfig{})
	d := goldenDeadLetter()
	d.Header = nats.Header{"X Y": {"1"}, "Ä": {"1"}, "": {"1"}, "a/b": {"1"}, "X-Good": {"1"}}
	msg := d.Encode("")
	if _, err := r.js.PublishMsg(r.ctx(), msg); err != nil {
		t.Fatal(err)
	}
	if msg.Header.Get("X-Good") != "1" || !strings.Contains(msg.Header.Get(HeaderDeadError), "4 of its headers cannot be kept") {
		t.Errorf("stored %v", msg.Header)
	}
}
