package outbox

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"

	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/outbox/internal/wire"
)

var goldenReplies = []struct {
	name    string
	subject string
	reply   Reply
	header  nats.Header
	body    string
}{
	{
		name: "delivered to an inbox", subject: "_INBOX.a.1",
		reply: Reply{MessageID: "m-1", Settlement: Delivered, Status: 200, Attempts: 2, LogIDs: []string{"l1", "l2"}, ContentType: "application/json",
			TraceParent: goldenTrace, TraceState: "a=1", Body: []byte(`{"Meta":{}}`)},
		header: nats.Header{"Redox-Message-Id": {"m-1"}, "Redox-Settlement": {"delivered"}, "Redox-Status": {"200"}, "Redox-Attempts": {"2"},
			"Redox-Log-Ids": {"l1,l2"}, "Content-Type": {"application/json"}, "traceparent": {goldenTrace}, "tracestate": {"a=1"}},
		body: `{"Meta":{}}`,
	},
	{
		name: "durable and flagged", subject: "redox.reply.a.1",
		reply: Reply{MessageID: "m-2", Settlement: Delivered, Status: 200, Attempts: 1, Error: "answer flagged", PossibleDuplicate: true, Body: []byte("x")},
		header: nats.Header{"Redox-Message-Id": {"m-2"}, "Redox-Settlement": {"delivered"}, "Redox-Status": {"200"}, "Redox-Attempts": {"1"},
			"Redox-Error": {"answer flagged"}, "Redox-Possible-Duplicate": {"true"}},
		body: "x",
	},
	{
		name: "to a replay", subject: "redox.reply.a.1",
		reply: Reply{MessageID: "m-1:r2", ReplayOf: "m-1", Settlement: Delivered, Status: 200, Attempts: 1, Body: []byte("x")},
		header: nats.Header{"Redox-Message-Id": {"m-1:r2"}, "Redox-Replay-Of": {"m-1"}, "Redox-Settlement": {"delivered"}, "Redox-Status": {"200"},
			"Redox-Attempts": {"1"}},
		body: "x",
	},
	{
		name: "claim check", subject: "_INBOX.a.1",
		reply: Reply{MessageID: "m-3", Settlement: Delivered, Status: 200, Attempts: 1, BodyObject: "reply/1"},
		header: nats.Header{"Redox-Message-Id": {"m-3"}, "Redox-Settlement": {"delivered"}, "Redox-Status": {"200"}, "Redox-Attempts": {"1"},
			"Redox-Body-Object": {"reply/1"}},
	},
	{
		name: "rejected, with the answer's body", subject: "_INBOX.a.1",
		reply: Reply{MessageID: "m-4", Settlement: Rejected, Status: 400, Attempts: 1, Error: "status 400", ContentType: "text/html", Body: []byte("<p>")},
		header: nats.Header{"Redox-Message-Id": {"m-4"}, "Redox-Settlement": {"rejected"}, "Redox-Status": {"400"}, "Redox-Attempts": {"1"},
			"Redox-Error": {"status 400"}, "Content-Type": {"text/html"}},
		body: "<p>",
	},
	{
		name: "expired without an answer", subject: "_INBOX.a.1",
		reply: Reply{MessageID: "m-5", Settlement: Expired, Error: "deadline passed"},
		header: nats.Header{"Redox-Message-Id": {"m-5"}, "Redox-Settlement": {"expired"}, "Redox-Attempts": {"0"}, "Redox-Error": {"deadline passed"},
			"Content-Type": {"application/problem+json"}},
		body: `{"type":"urn:redoxworker:settlement:expired","title":"message expired","detail":"deadline passed","settlement":"expired","message_id":"m-5","attempts":0}`,
	},
	{
		name: "delivered, nothing in the answer", subject: "_INBOX.a.1",
		reply:  Reply{MessageID: "m-6", Settlement: Delivered, Status: 204, Attempts: 1},
		header: nats.Header{"Redox-Message-Id": {"m-6"}, "Redox-Settlement": {"delivered"}, "Redox-Status": {"204"}, "Redox-Attempts": {"1"}},
	},
}

func TestReply_EncodeGolden(t *testing.T) {
	t.Parallel()
	for _, tt := range goldenReplies {
		msg := tt.reply.Encode(tt.subject)
		if diff := cmp.Diff(tt.header, msg.Header); diff != "" {
			t.Errorf("%s: header (-want +got)\n%s", tt.name, diff)
		}
		if msg.Subject != tt.subject || string(msg.Data) != tt.body {
			t.Errorf("%s: %s %s", tt.name, msg.Subject, msg.Data)
		}
	}
}

func TestReply_DecodeGolden(t *testing.T) {
	t.Parallel()
	for _, tt := range goldenReplies {
		got, err := DecodeReply(&nats.Msg{Subject: tt.subject, Header: tt.header, Data: []byte(tt.body)})
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		want := tt.reply
		if strings.HasPrefix(tt.body, `{"type"`) {
			want.ContentType = mediaProblem
		}
		want.Body = []byte(tt.body)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got)\n%s", tt.name, diff)
		}
	}
}

func TestReply_ProblemForEverySettlement(t *testing.T) {
	t.Parallel()
	for _, s := range []Settlement{Rejected, Expired, Exhausted, Held, Poison} {
		msg := Reply{MessageID: "m", Settlement: s, Status: 503, Attempts: 3, Error: `say "no"` + "\n"}.Encode("_INBOX.a")
		var doc map[string]any
		if err := json.Unmarshal(msg.Data, &doc); err != nil {
			t.Errorf("%s: %v", s, err)
			continue
		}
		want := map[string]any{"type": "urn:redoxworker:settlement:" + string(s), "title": "message " + string(s), "status": 503.0,
			"detail": `say "no"`, "settlement": string(s), "message_id": "m", "attempts": 3.0}
		if diff := cmp.Diff(want, doc); diff != "" {
			t.Errorf("%s (-want +got)\n%s", s, diff)
		}
	}
}

func TestReply_EncodeCleansWhatComesFromOutside(t *testing.T) {
	t.Parallel()
	many := make([]string, 100)
	for i := range many {
		many[i] = strings.Repeat("x", maxLogID)
	}
	msg := Reply{MessageID: "m", Settlement: Delivered, ContentType: "a\r\nX: y", Error: "a\r\nRedox-Settlement: held" + strings.Repeat("é", 600),
		TraceParent: "junk", LogIDs: append([]string{"ok", "", "with,comma", "with space", "a\r\nb", strings.Repeat("x", maxLogID+1)}, many...)}.Encode("_INBOX.a")
	if _, ok := msg.Header[contract.HeaderContentType]; ok {
		t.Errorf("content type %q", msg.Header[contract.HeaderContentType])
	}
	if text := wire.First(msg.Header, contract.HeaderError); len(text) > wire.MaxLine || strings.ContainsAny(text, "\r\n") || !strings.HasPrefix(text, "a") {
		t.Errorf("error %q", text)
	}
	if ids := strings.Split(wire.First(msg.Header, contract.HeaderLogIDs), ","); len(ids) != maxLogIDs || ids[0] != "ok" || ids[1] != many[0] {
		t.Errorf("%d log ids: %q", len(ids), ids[:2])
	}
	if _, ok := msg.Header[contract.HeaderTraceParent]; ok {
		t.Error("malformed trace context is passed on")
	}
}

func TestReply_OK(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		reply Reply
		want  bool
	}{
		{Reply{Settlement: Delivered}, true},
		{Reply{Settlement: Delivered, Error: "flagged"}, false},
		{Reply{Settlement: Held}, false},
		{Reply{}, false},
	} {
		if got := tt.reply.OK(); got != tt.want {
			t.Errorf("OK of %+v = %v", tt.reply, got)
		}
	}
}

func TestDecodeReply_Refuses(t *testing.T) {
	t.Parallel()
	for name, h := range map[string]nats.Header{
		"nothing":            nil,
		"no settlement":      {contract.HeaderMessageID: {"m"}},
		"unknown settlement": {contract.HeaderMessageID: {"m"}, contract.HeaderSettlement: {"maybe"}},
		"no id":              {contract.HeaderSettlement: {"held"}},
		"bad status":         {contract.HeaderMessageID: {"m"}, contract.HeaderSettlement: {"held"}, contract.HeaderStatus: {"1000"}},
		"negative attempts":  {contract.HeaderMessageID: {"m"}, contract.HeaderSettlement: {"held"}, contract.HeaderAttempts: {"-1"}},
		"bad attempts":       {contract.HeaderMessageID: {"m"}, contract.HeaderSettlement: {"held"}, contract.HeaderAttempts: {"two"}},
	} {
		if r, err := DecodeReply(&nats.Msg{Header: h}); err == nil {
			t.Errorf("%s: %+v", name, r)
		}
	}
}

func TestDecodeReply_GatewayError(t *testing.T) {
	t.Parallel()
	_, err := DecodeReply(&nats.Msg{Header: nats.Header{micro.ErrorCodeHeader: {"503"}, micro.ErrorHeader: {"queue full\n"}}})
	var refused *GatewayError
	if !errors.As(err, &refused) || refused.Code != "503" || refused.Text != "queue full" {
		t.Errorf("error %v", err)
	}
}

func FuzzDecodeReply(f *testing.F) {
	f.Add("NATS/1.0\r\nRedox-Message-Id: m\r\nRedox-Settlement: held\r\nRedox-Status: 400\r\nRedox-Log-Ids: a,b\r\n\r\n", []byte("{}"))
	f.Add("NATS/1.0\r\nNats-Service-Error-Code: 500\r\n\r\n", []byte(nil))
	f.Add("NATS/1.0 503\r\n\r\n", []byte(nil))
	f.Fuzz(func(t *testing.T, raw string, body []byte) {
		header, err := nats.DecodeHeadersMsg([]byte(raw))
		if err != nil {
			return
		}
		r, err := DecodeReply(&nats.Msg{Header: header, Data: body})
		if err != nil {
			return
		}
		if !r.Settlement.Valid() || r.MessageID == "" || r.Status < 0 || r.Attempts < 0 {
			t.Fatalf("%+v", r)
		}
		again, err := DecodeReply(r.Encode("_INBOX.a"))
		if err != nil || again.Settlement != r.Settlement || again.Status != r.Status || again.Attempts != r.Attempts {
			t.Fatalf("%+v became %+v, %v", r, again, err)
		}
	})
}

func BenchmarkReply_Encode(b *testing.B) {
	r := Reply{MessageID: "018f-1", Settlement: Delivered, Status: 200, Attempts: 1, LogIDs: []string{"7ce6f387"}, ContentType: "application/json", Body: make([]byte, 200)}
	b.ReportAllocs()
	for b.Loop() {
		r.Encode("_INBOX.abc.1")
	}
}
