package outbox

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"

	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/outbox/internal/wire"
)

const (
	goldenToken = "0123456789abcdef0123456789abcdef"
	goldenTrace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
)

// goldenMessages pairs a message with exactly what is on the wire.
var goldenMessages = []struct {
	name    string
	message Message
	subject string
	header  nats.Header
}{
	{
		name:    "least",
		message: Message{ID: "m-1", Source: "clinic-a", Lane: contract.LaneSend, Kind: KindDataModel, Method: "POST", Body: []byte(`{}`)},
		subject: "redox.out.clinic-a.send",
		header:  nats.Header{"Nats-Msg-Id": {"clinic-a:m-1"}, "Redox-Message-Id": {"m-1"}},
	},
	{
		name: "ordered",
		message: Message{ID: "m-2", Source: "clinic-a", Lane: contract.LaneOrdered, Kind: KindDataModel, Method: "POST",
			OrderToken: goldenToken, Body: []byte(`{}`)},
		subject: "redox.out.clinic-a.send." + goldenToken,
		header:  nats.Header{"Nats-Msg-Id": {"clinic-a:m-2"}, "Redox-Message-Id": {"m-2"}},
	},
	{
		name: "request with everything",
		message: Message{
			ID: "m-3:r2", Source: "clinic-b", Lane: contract.LaneRequest, Kind: KindFHIR, Method: "PUT", Path: "Patient/1?_pretty=true",
			ContentType: "application/fhir+json; charset=utf-8", Accept: "application/fhir+json", ReplyTo: "_INBOX.x.1",
			Deadline: time.Date(2026, 11, 23, 10, 0, 0, 500_000_000, time.UTC), TraceParent: goldenTrace, TraceState: "a=1,b=2",
			ReplayOf: "m-3", ReplayCount: 2, Body: []byte("\x00\xff not even JSON"),
		},
		subject: "redox.out.clinic-b.request",
		header: nats.Header{
			"Nats-Msg-Id": {"clinic-b:m-3:r2"}, "Redox-Message-Id": {"m-3:r2"}, "Redox-Kind": {"fhir"}, "Redox-Method": {"PUT"}, "Redox-Path": {"Patient/1?_pretty=true"},
			"Content-Type": {"application/fhir+json; charset=utf-8"}, "Accept": {"application/fhir+json"}, "Redox-Reply-To": {"_INBOX.x.1"},
			"Redox-Deadline": {"2026-11-23T10:00:00.5Z"}, "traceparent": {goldenTrace}, "tracestate": {"a=1,b=2"},
			"Redox-Replay-Of": {"m-3"}, "Redox-Replay-Count": {"2"},
		},
	},
	{
		name: "replay in order",
		message: Message{ID: "m-2:r1", Source: "clinic-a", Lane: contract.LaneOrdered, Kind: KindDataModel, Method: "POST",
			OrderToken: goldenToken, ReplayOf: "m-2", ReplayCount: 1, Position: 17, Behind: 9, PossibleDuplicate: true, Body: []byte(`{}`)},
		subject: "redox.out.clinic-a.send." + goldenToken,
		header: nats.Header{"Nats-Msg-Id": {"clinic-a:m-2:r1"}, "Redox-Message-Id": {"m-2:r1"},
			"Redox-Replay-Of": {"m-2"}, "Redox-Replay-Count": {"1"}, "Redox-Order-Position": {"17"}, "Redox-Order-Behind": {"9"}, "Redox-Possible-Duplicate": {"true"}},
	},
	{
		name:    "claim check",
		message: Message{ID: "m-4", Source: "clinic-a", Lane: contract.LaneSend, Kind: KindFile, Method: "POST", BodyObject: "clinic-a/9f"},
		subject: "redox.out.clinic-a.send",
		header:  nats.Header{"Nats-Msg-Id": {"clinic-a:m-4"}, "Redox-Message-Id": {"m-4"}, "Redox-Kind": {"file"}, "Redox-Body-Object": {"clinic-a/9f"}},
	},
	{
		name:    "a read of the platform",
		message: Message{ID: "m-5", Source: "clinic-a", Lane: contract.LaneRequest, Kind: KindPlatform, Method: "GET", Path: "v1/x"},
		subject: "redox.out.clinic-a.request",
		header:  nats.Header{"Nats-Msg-Id": {"clinic-a:m-5"}, "Redox-Message-Id": {"m-5"}, "Redox-Kind": {"platform"}, "Redox-Method": {"GET"}, "Redox-Path": {"v1/x"}},
	},
}

func TestMessage_EncodeGolden(t *testing.T) {
	t.Parallel()
	for _, tt := range goldenMessages {
		msg, err := tt.message.Encode("")
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		if msg.Subject != tt.subject || string(msg.Data) != string(tt.message.Body) {
			t.Errorf("%s: subject %q, %d bytes", tt.name, msg.Subject, len(msg.Data))
		}
		if diff := cmp.Diff(tt.header, msg.Header); diff != "" {
			t.Errorf("%s: header (-want +got)\n%s", tt.name, diff)
		}
	}
}

func TestMessage_DecodeGolden(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)
	for _, tt := range goldenMessages {
		in := Stored{Subject: tt.subject, Header: tt.header, Body: tt.message.Body, Sequence: 42, Time: at}
		got, err := Decode("", in)
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		want := tt.message
		want.Subject, want.Sequence, want.Stored = in.Subject, 42, at
		if want.Position == 0 {
			want.Position, want.Behind = 42, 41
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got)\n%s", tt.name, diff)
		}
	}
}

func TestMessage_EncodeDefaults(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name    string
		message Message
		subject string
		header  nats.Header
	}{
		{"lane and kind", Message{ID: "1", Source: "a"}, "redox.out.a.send", nats.Header{"Nats-Msg-Id": {"a:1"}, "Redox-Message-Id": {"1"}}},
		{"a token makes it ordered", Message{ID: "1", Source: "a", Lane: contract.LaneSend, OrderToken: goldenToken}, "redox.out.a.send." + goldenToken,
			nats.Header{"Nats-Msg-Id": {"a:1"}, "Redox-Message-Id": {"1"}}},
		{"malformed trace is dropped", Message{ID: "1", Source: "a", TraceParent: "00-zz", TraceState: "a=1"}, "redox.out.a.send", nats.Header{"Nats-Msg-Id": {"a:1"}, "Redox-Message-Id": {"1"}}},
		{"malformed state is dropped", Message{ID: "1", Source: "a", TraceParent: goldenTrace, TraceState: "a=\n"}, "redox.out.a.send",
			nats.Header{"Nats-Msg-Id": {"a:1"}, "Redox-Message-Id": {"1"}, "traceparent": {goldenTrace}}},
		{"default method stays off the wire", Message{ID: "1", Source: "a", Kind: KindFHIR, Path: "Patient"}, "redox.out.a.send",
			nats.Header{"Nats-Msg-Id": {"a:1"}, "Redox-Message-Id": {"1"}, "Redox-Kind": {"fhir"}, "Redox-Path": {"Patient"}}},
		{"deadline in UTC", Message{ID: "1", Source: "a", Deadline: time.Date(2026, 1, 2, 3, 4, 5, 0, time.FixedZone("", 3600))}, "redox.out.a.send",
			nats.Header{"Nats-Msg-Id": {"a:1"}, "Redox-Message-Id": {"1"}, "Redox-Deadline": {"2026-01-02T02:04:05Z"}}},
	} {
		msg, err := tt.message.Encode("")
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		if msg.Subject != tt.subject {
			t.Errorf("%s: subject %q", tt.name, msg.Subject)
		}
		if diff := cmp.Diff(tt.header, msg.Header); diff != "" {
			t.Errorf("%s: header (-want +got)\n%s", tt.name, diff)
		}
	}
}

func TestMessage_EncodeRefuses(t *testing.T) {
	t.Parallel()
	ok := Message{ID: "1", Source: "a"}
	for part, change := range map[string]func(*Message){
		"source":                         func(m *Message) { m.Source = "A.b" },
		"order key":                      func(m *Message) { m.OrderKey = "patient-secret" },
		"lane":                           func(m *Message) { m.Lane = "fast" },
		contract.HeaderMessageID:         func(m *Message) { m.ID = "" },
		contract.HeaderMessageID + " ":   func(m *Message) { m.ID = "a\r\nb" },
		contract.HeaderKind:              func(m *Message) { m.Kind = "hl7" },
		contract.HeaderMethod:            func(m *Message) { m.Kind, m.Method = KindFHIR, "patient-secret" },
		contract.HeaderPath:              func(m *Message) { m.Kind, m.Path = KindFHIR, "../patient-secret" },
		contract.HeaderContentType:       func(m *Message) { m.ContentType = "a\r\nX: patient-secret" },
		contract.HeaderAccept:            func(m *Message) { m.Accept = "é" },
		contract.HeaderReplyTo:           func(m *Message) { m.ReplyTo = "_INBOX.>" },
		contract.HeaderOrderToken:        func(m *Message) { m.Lane = contract.LaneOrdered },
		contract.HeaderOrderToken + " ":  func(m *Message) { m.OrderToken = "patient-secret" },
		contract.HeaderOrderToken + "  ": func(m *Message) { m.Lane, m.OrderToken = contract.LaneRequest, goldenToken },
		contract.HeaderBodyObject:        func(m *Message) { m.BodyObject, m.Body = "x", []byte("y") },
		contract.HeaderDeadline:          func(m *Message) { m.Deadline = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC) },
		contract.HeaderReplayCount:       func(m *Message) { m.ReplayCount = -1 },
		contract.HeaderReplayOf:          func(m *Message) { m.ReplayOf = "patient secret" },
	} {
		m := ok
		change(&m)
		_, err := m.Encode("")
		var refused *ContractError
		if !errors.As(err, &refused) || refused.Part != strings.TrimRight(part, " ") {
			t.Errorf("%s: error %v", part, err)
			continue
		}
		if strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: error holds the value: %v", part, err)
		}
	}
}

func TestMessage_Limits(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		limit int
		set   func(*Message, int)
	}{
		{"id", maxNewID, func(m *Message, n int) { m.ID = strings.Repeat("i", n) }},
		{"path", wire.MaxPath, func(m *Message, n int) { m.Kind, m.Path = KindFHIR, strings.Repeat("p", n) }},
		{"content type", maxMediaType, func(m *Message, n int) { m.ContentType = strings.Repeat("c", n) }},
		{"accept", maxMediaType, func(m *Message, n int) { m.Accept = strings.Repeat("c", n) }},
		{"reply subject", wire.MaxSubject, func(m *Message, n int) { m.ReplyTo = strings.Repeat("r", n) }},
		{"object", maxObject, func(m *Message, n int) { m.BodyObject = "a/" + strings.Repeat("o", n-2) }},
		{"replay of", wire.MaxID, func(m *Message, n int) { m.ReplayOf = strings.Repeat("i", n) }},
		{"replays", wire.MaxReplays, func(m *Message, n int) { m.ReplayCount = n }},
		{"source", wire.MaxSource, func(m *Message, n int) { m.Source = strings.Repeat("s", n) }},
	} {
		for n, ok := range map[int]bool{tt.limit: true, tt.limit + 1: false} {
			m := Message{ID: "1", Source: "a"}
			tt.set(&m, n)
			if _, err := m.Encode(""); (err == nil) != ok {
				t.Errorf("%s of %d: %v, want ok %v", tt.name, n, err, ok)
			}
		}
	}
}

// What is too long is told with the limit.
func TestMessage_TooLongNamesTheLimit(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", wire.MaxPath+1)
	for limit, m := range map[int]Message{
		maxNewID:        {ID: long},
		wire.MaxPath:    {ID: "1", Kind: KindFHIR, Path: long},
		maxMediaType:    {ID: "1", ContentType: long},
		wire.MaxSubject: {ID: "1", ReplyTo: long},
	} {
		m.Source = "a"
		if _, err := m.Encode(""); err == nil || !strings.HasSuffix(err.Error(), fmt.Sprintf(" is longer than %d bytes", limit)) {
			t.Errorf("limit %d: %v", limit, err)
		}
	}
}

func BenchmarkMessage_Encode(b *testing.B) {
	m := Message{ID: "018f-1", Source: "clinic-a", ReplyTo: "_INBOX.abc.1", Body: make([]byte, 1024)}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := m.Encode(""); err != nil {
			b.Fatal(err)
		}
	}
}

func TestTraceContext(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]bool{
		goldenTrace: true, "01" + goldenTrace[2:]: true,
		"ff" + goldenTrace[2:]: false, goldenTrace + "0": false, goldenTrace[1:]: false, strings.ToUpper(goldenTrace): false,
		strings.ReplaceAll(goldenTrace, "-", "_"): false, "": false,
	} {
		if got := isTraceParent(in); got != want {
			t.Errorf("isTraceParent(%q) = %v", in, got)
		}
	}
	for in, want := range map[string]bool{"a=1,b=2": true, strings.Repeat("s", maxState): true, strings.Repeat("s", maxState+1): false, "": false, "a=\n": false} {
		if got := isTraceState(in); got != want {
			t.Errorf("isTraceState(%.20q) = %v", in, got)
		}
	}
}
