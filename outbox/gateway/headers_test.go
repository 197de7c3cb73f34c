package gateway

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/outbox/internal/outboxtest"
)

// oneHeader are headers that each stand alone in a message, and what both ways in make of
// them: "" is taken, anything else a part of the refusal.
var oneHeader = []struct{ name, value, queue, gateway string }{
	// As they are written.
	{contract.HeaderID, "m-1", "", ""},
	{contract.HeaderMessageID, "m-1", "", ""},
	{contract.HeaderKind, "data-model", "", ""},
	{contract.HeaderContentType, "application/json", "", ""},
	{contract.HeaderAccept, "application/json", "", ""},
	{contract.HeaderReplyTo, "redox.reply.clinic-a.x", "", ""},
	{contract.HeaderDeadline, "2999-01-01T00:00:00Z", "", ""},
	// Each belongs to one way in.
	{contract.HeaderOrderKey, "MRN 1", "Redox-Order-Key is for the gateway only", ""},
	{contract.HeaderOrderToken, goldenToken, "Redox-Order-Token asks for an order", ""},
	{contract.HeaderReplayOf, "m-0", "", "Redox-Replay-Of is not for callers"},
	{contract.HeaderReplayCount, "1", "", "Redox-Replay-Count is not for callers"},
	{contract.HeaderOrderPosition, "1", "", "Redox-Order-Position is not for callers"},
	{contract.HeaderOrderBehind, "1", "", "Redox-Order-Behind is not for callers"},
	{contract.HeaderBodyObject, "clinic-a/x", "", "Redox-Body-Object is not for callers"},
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
	{contract.HeaderSettlement, "delivered", "Redox-Settlement is not a header of the contract", "Redox-Settlement is not"},
	{contract.HeaderStatus, "200", "Redox-Status is not", "Redox-Status is not"},
	{"Redox-Dead-Error", "x", "Redox-Dead-Error is not", "Redox-Dead-Error is not"},
	// HTTP headers: which a worker lets through decides the worker, and the gateway beforehand.
	{"Redox-Header-Prefer", "return=minimal", "", ""},
	{"Redox-Header-x-user-id", "Ada Example", "", ""},
	{"Redox-Header-X-Other", "x", "", "Redox-Header-X-Other is not among the headers that a message may set"},
	{"Redox-Header-Authorization", "Bearer x", "Redox-Header-Authorization is never set by a message", "Redox-Header-Authorization is never set"},
	{"Redox-Header-redox-source-id", "x", "Redox-Header-Redox-Source-Id is never set", "Redox-Header-Redox-Source-Id is never set"},
	{"Redox-Header-Content-Type", "text/plain", "use Content-Type", "use Content-Type"},
	{"Redox-Header-Prefer", "Zoë", "holds a character outside printable ASCII", "holds a character outside printable ASCII"},
	{"Redox-Header-", "x", "is not a header of the contract", "is not a header of the contract"},
	{"Redox-Header-A_b", "x", "Redox-Header-… is no name", "Redox-Header-… is no name"},
	{"redox-header-prefer", "x", "did you mean Redox-Header-…?", "did you mean Redox-Header-…?"},
	{"Redox-Answer-Location", "x", "Redox-Answer-Location is not", "Redox-Answer-Location is not"},
	{"redox-", "x", "redox- is not", "redox- is not"},
	{"Redox-Patient-4711", "x", "a header whose name begins like one", "a header whose name begins like one"},
	{"Redox-" + strings.Repeat("x", 100), "x", "a header whose name begins like one", "a header whose name begins like one"},
	// Nobody's business.
	{"X-Redox-Kind", "fhir", "", ""},
	{"Traceparent", goldenTrace, "", ""},
	{"tracestate", "", "", ""},
	{"Nats-Msg-Ids", "x", "", ""},
	// Empty ones: a variable that was not set.
	{contract.HeaderOrderKey, "", "Redox-Order-Key is for the gateway only", "Redox-Order-Key is empty"},
	{contract.HeaderOrderKey, "  ", "Redox-Order-Key is for the gateway only", "Redox-Order-Key is empty"}, // the client trims it
	{contract.HeaderID, "", "Nats-Msg-Id is empty", "Nats-Msg-Id is empty"},
	{contract.HeaderMessageID, "", "Redox-Message-Id is empty", "Redox-Message-Id is empty"},
	{contract.HeaderKind, "", "Redox-Kind is empty", "Redox-Kind is empty"},
	{contract.HeaderMethod, "", "Redox-Method is empty", "Redox-Method is empty"},
	{contract.HeaderPath, "", "Redox-Path is empty", "Redox-Path is empty"},
	{contract.HeaderContentType, "", "Content-Type is empty", "Content-Type is empty"},
	{contract.HeaderAccept, "", "Accept is empty", "Accept is empty"},
	{contract.HeaderReplyTo, "", "Redox-Reply-To is empty", "Redox-Reply-To is empty"},
	{contract.HeaderOrderToken, "", "Redox-Order-Token is empty", "Redox-Order-Token is empty"},
	{contract.HeaderDeadline, "", "Redox-Deadline is empty", "Redox-Deadline is empty"},
	{contract.HeaderBodyObject, "", "Redox-Body-Object is empty", "Redox-Body-Object is not for callers"},
	{contract.HeaderReplayOf, "", "Redox-Replay-Of is empty", "Redox-Replay-Of is not for callers"},
	{contract.HeaderReplayCount, "", "Redox-Replay-Count is empty", "Redox-Replay-Count is not for callers"},
	{contract.HeaderOrderPosition, "", "Redox-Order-Position is empty", "Redox-Order-Position is not for callers"},
	{contract.HeaderOrderBehind, "", "Redox-Order-Behind is empty", "Redox-Order-Behind is not for callers"},
}

// TestDecode_OneHeader and TestGateway_OneHeader hold both ways in to one table.
func TestDecode_OneHeader(t *testing.T) {
	t.Parallel()
	for _, tt := range oneHeader {
		in := outbox.Stored{Subject: "redox.out.clinic-a.send", Header: nats.Header{tt.name: {strings.TrimSpace(tt.value)}}, Sequence: 1}
		_, err := outbox.Decode("", in)
		checkOneHeader(t, tt.name, tt.value, tt.queue, err)
	}
}

func TestGateway_OneHeader(t *testing.T) {
	t.Parallel()
	r := provisioned(t)
	serveGateway(r, Config{Sources: []string{"clinic-a"}, OrderSecret: outboxtest.Secret})
	client := r.Connect().Conn()
	for _, tt := range oneHeader {
		_, err := outbox.DecodeReply(askGateway(t, client, "redox.gateway.clinic-a.send", nats.Header{tt.name: {tt.value}}))
		var gateway *outbox.GatewayError
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

// As many HTTP headers as a message may have, as long as they may be, are stored as they came,
// and one byte more is refused.
func TestGateway_HeadersAtTheBound(t *testing.T) {
	t.Parallel()
	r := provisioned(t)
	serveGateway(r, Config{Sources: []string{"clinic-a"}, HeaderAllow: []string{"x-*"}})
	client, most := r.Connect().Conn(), make(nats.Header)
	for i := range 32 {
		name := fmt.Sprintf("X-H%c%c", 'A'+i/26, 'a'+i%26)
		most[contract.RequestHeaderPrefix+name] = []string{strings.Repeat("v", 8192/32-len(name))}
	}
	answer := askGateway(t, client, "redox.gateway.clinic-a.send", most)
	if text := answer.Header.Get("Nats-Service-Error"); text != "" {
		t.Fatal(text)
	}
	msg, err := r.JS.Stream(r.Ctx(), "REDOX_OUT")
	if err != nil {
		t.Fatal(err)
	}
	raw, err := msg.GetMsg(r.Ctx(), 1)
	if err != nil {
		t.Fatal(err)
	}
	m, err := outbox.Decode("", outbox.Stored{Subject: raw.Subject, Header: raw.Header, Body: raw.Data, Sequence: 1})
	if err != nil || len(m.Header) != 32 {
		t.Fatalf("%d headers, %v", len(m.Header), err)
	}
	for name, values := range most {
		if got := m.Header.Get(name[len(contract.RequestHeaderPrefix):]); got != values[0] {
			t.Errorf("%s has %d bytes", name, len(got))
		}
	}
	most[contract.RequestHeaderPrefix+"X-HAa"][0] += "v"
	answer = askGateway(t, client, "redox.gateway.clinic-a.send", most)
	if text := answer.Header.Get("Nats-Service-Error"); !strings.Contains(text, "are longer than 8192 bytes together") {
		t.Errorf("one byte more: %q", text)
	}
}
