package outbox

import (
	"errors"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
	"pgregory.net/rapid"

	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/outbox/internal/wire"
)

func TestDecode_Defaults(t *testing.T) {
	t.Parallel()
	body := []byte("b")
	got, err := Decode("team-7", Stored{Subject: "team-7.out.a.send", Body: body, Sequence: 9})
	if err != nil {
		t.Fatal(err)
	}
	want := Message{ID: "TEAM_7_OUT:9", Source: "a", Lane: contract.LaneSend, Kind: KindDataModel, Method: "POST", Body: body, Subject: "team-7.out.a.send", Sequence: 9, Position: 9, Behind: 8}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if &got.Body[0] != &body[0] {
		t.Error("the body was copied")
	}
}

func TestDecode_MethodDefaults(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, want string
		header     nats.Header
		body       string
	}{
		{"fhir read", "GET", nats.Header{contract.HeaderKind: {"fhir"}, contract.HeaderPath: {"Patient/1"}}, ""},
		{"fhir bundle", "POST", nats.Header{contract.HeaderKind: {"fhir"}}, "{}"},
		{"fhir bundle in the object store", "POST", nats.Header{contract.HeaderKind: {"fhir"}, contract.HeaderBodyObject: {"a/o"}}, ""},
		{"data model without a body", "POST", nats.Header{}, ""},
		{"platform read", "GET", nats.Header{contract.HeaderKind: {"platform"}, contract.HeaderPath: {"x"}}, ""},
	} {
		m, err := Decode("", Stored{Subject: "redox.out.a.request", Header: tt.header, Body: []byte(tt.body)})
		if err != nil || m.Method != tt.want {
			t.Errorf("%s: method %q, %v; want %q", tt.name, m.Method, err, tt.want)
		}
	}
}

// Other languages write an instant in other ways that RFC 3339 allows.
func TestDecode_Deadlines(t *testing.T) {
	t.Parallel()
	want := time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)
	for _, text := range []string{"2026-11-23T10:00:00Z", "2026-11-23t10:00:00z", "2026-11-23T11:00:00.000+01:00"} {
		m, err := Decode("", Stored{Subject: "redox.out.a.send", Header: nats.Header{contract.HeaderDeadline: {text}}, Body: []byte("{}")})
		if err != nil || !m.Deadline.Equal(want) {
			t.Errorf("%s: %v, %v", text, m.Deadline, err)
		}
	}
}

// hostileHeaders are values that must be poison, each under its header.
var hostileHeaders = map[string][]string{
	contract.HeaderID:          {"a b", "a\rb", strings.Repeat("i", wire.MaxID+1), "ü"}, // where it is the message id
	contract.HeaderKind:        {"FHIR", "hl7", " fhir"},
	contract.HeaderMethod:      {"GET", "post", "POST\r\nHost: x"},
	contract.HeaderPath:        {"Patient", "../x"}, // on a data-model message
	contract.HeaderContentType: {"a\rb", "\x00", " text", strings.Repeat("c", maxMediaType+1)},
	contract.HeaderAccept:      {"a\x7f"},
	contract.HeaderReplyTo:     {"_INBOX.>", "a b", "a..b", "*", strings.Repeat("r", wire.MaxSubject+1)},
	contract.HeaderMessageID:   {"a b", strings.Repeat("i", wire.MaxID+1)},
	contract.HeaderOrderToken:  {goldenToken, "x", strings.ToUpper(goldenToken), goldenToken + "0"},
	contract.HeaderDeadline:    {"tomorrow", "2026-11-23", "1700000000", "2026-11-23T10:00:00"},
	contract.HeaderBodyObject:  {"a b", "a/object-beside-a-body", "b/of-another-source", "no-source", "a", "/", "ab/x", strings.Repeat("o", maxObject+1)},
	contract.HeaderReplayCount: {"-1", "x", "99999999999999999999"},
	contract.HeaderReplayOf:    {"a b", strings.Repeat("i", wire.MaxID+1)},
}

func TestDecode_HostileHeaders(t *testing.T) {
	t.Parallel()
	for name, values := range hostileHeaders {
		for _, value := range values {
			h := nats.Header{contract.HeaderID: {"m-1"}, contract.HeaderReplyTo: {"_INBOX.a"}}
			h[name] = []string{value}
			m, err := Decode("", Stored{Subject: "redox.out.a.send", Header: h, Body: []byte("{}"), Sequence: 3})
			var refused *ContractError
			if !errors.As(err, &refused) || refused.Part != name || !refused.Poison() {
				t.Errorf("%s %q: error %v", name, value, err)
				continue
			}
			if len(value) > 8 && strings.Contains(err.Error(), value) {
				t.Errorf("%s: error holds the value: %v", name, err)
			}
			wantID, wantReply := "m-1", "_INBOX.a"
			if name == contract.HeaderID {
				wantID = "REDOX_OUT:3"
			}
			if name == contract.HeaderReplyTo {
				wantReply = ""
			}
			if m.ID != wantID || m.ReplyTo != wantReply || m.Source != "a" || m.Lane != contract.LaneSend || string(m.Body) != "{}" {
				t.Errorf("%s %q: beside the error: %+v", name, value, m)
			}
		}
	}
}

// The subject decides about the order; a header that says otherwise is a mistake, and so is a
// fourth part that is no token, which may hold what nobody may see.
func TestDecode_OrderToken(t *testing.T) {
	t.Parallel()
	other := strings.Repeat("0", wire.TokenDigits)
	for _, tt := range []struct{ last, header, token, bad string }{
		{goldenToken, "", goldenToken, ""}, // a plain client's
		{goldenToken, goldenToken, goldenToken, ""},
		{goldenToken, other, goldenToken, contract.HeaderOrderToken},
		{goldenToken, "MRN-4711", goldenToken, contract.HeaderOrderToken},
		{"MRN-4711", "", "", "subject"},
		{"MRN-4711", goldenToken, "", "subject"},
		{goldenToken + ".x", "", "", "subject"},
	} {
		h := nats.Header{}
		if tt.header != "" {
			h.Set(contract.HeaderOrderToken, tt.header)
		}
		m, err := Decode("", Stored{Subject: "redox.out.clinic-a.send." + tt.last, Header: h, Body: []byte("{}"), Sequence: 3})
		var refused *ContractError
		if (tt.bad != "") != errors.As(err, &refused) || refused != nil && (refused.Part != tt.bad || strings.Contains(err.Error(), "4711")) {
			t.Errorf("%s, header %q: error %v", tt.last, tt.header, err)
		}
		if m.OrderToken != tt.token || m.Lane != contract.LaneOrdered || m.Source != "clinic-a" {
			t.Errorf("%s, header %q: %+v", tt.last, tt.header, m)
		}
	}
}

func TestDecode_HeaderGivenTwice(t *testing.T) {
	t.Parallel()
	for _, name := range []string{contract.HeaderID, contract.HeaderKind, contract.HeaderMethod, contract.HeaderPath, contract.HeaderContentType, contract.HeaderAccept, contract.HeaderReplyTo,
		contract.HeaderOrderToken, contract.HeaderDeadline, contract.HeaderBodyObject, contract.HeaderReplayOf, contract.HeaderReplayCount} {
		h := nats.Header{contract.HeaderID: {"m-1"}}
		h[name] = []string{"x", "y"}
		m, err := Decode("", Stored{Subject: "redox.out.a.send", Header: h})
		var refused *ContractError
		if !errors.As(err, &refused) || refused.Part != name || m.ReplyTo != "" {
			t.Errorf("%s twice: %v", name, err)
		}
	}
}

func TestDecode_BadSubjectKeepsTheRest(t *testing.T) {
	t.Parallel()
	m, err := Decode("", Stored{Subject: "redox.out.a.nowhere", Header: nats.Header{contract.HeaderID: {"m-1"}, contract.HeaderReplyTo: {"_INBOX.a"}}})
	if err == nil || m.ID != "m-1" || m.Source != "a" || m.ReplyTo != "_INBOX.a" {
		t.Errorf("Decode = %+v, %v", m, err)
	}
}

func TestDecode_IgnoresTheRest(t *testing.T) {
	t.Parallel()
	plain := nats.Header{contract.HeaderID: {"m-1"}}
	noisy := maps.Clone(plain)
	for name, value := range map[string]string{"Authorization": "Bearer x", "X-Redox-Kind": "fhir", "Redoxworker": "x", "Nats-Msg-Idx": "x", "Host": "evil", "traceparent": "junk"} {
		noisy[name] = []string{value}
	}
	a, err1 := Decode("", Stored{Subject: "redox.out.a.send", Header: plain})
	b, err2 := Decode("", Stored{Subject: "redox.out.a.send", Header: noisy})
	if diff := cmp.Diff(a, b); diff != "" || err1 != nil || err2 != nil {
		t.Errorf("%v, %v (-plain +noisy)\n%s", err1, err2, diff)
	}
}

// TestDecode_ReadsWhatEncodeWrites draws messages and sends them both ways.
func TestDecode_ReadsWhatEncodeWrites(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringMatching(`[!-~]{0,30}`)
		m := Message{
			ID: rapid.StringMatching(`[!-~]{1,200}`).Draw(t, "id"), Source: rapid.StringMatching(`[a-z0-9-]{1,64}`).Draw(t, "source"),
			Lane: rapid.SampledFrom([]contract.Lane{contract.LaneSend, contract.LaneRequest}).Draw(t, "lane"),
			Kind: rapid.SampledFrom([]Kind{KindDataModel, KindFHIR, KindFile, KindPlatform}).Draw(t, "kind"),
			Path: text.Draw(t, "path"), ContentType: text.Draw(t, "type"), ReplyTo: text.Draw(t, "reply"),
			ReplayCount: rapid.IntRange(0, wire.MaxReplays).Draw(t, "replays"), Body: rapid.SliceOf(rapid.Byte()).Draw(t, "body"),
		}
		msg, err := m.Encode("")
		if err != nil {
			return
		}
		got, err := Decode("", Stored{Subject: msg.Subject, Header: msg.Header, Body: msg.Data})
		if err != nil {
			t.Fatalf("Encode took it, Decode does not: %v", err)
		}
		m.fill()
		m.Subject = msg.Subject
		if diff := cmp.Diff(m, got); diff != "" {
			t.Fatalf("(-want +got)\n%s", diff)
		}
	})
}

func FuzzDecode(f *testing.F) {
	f.Add("redox.out.a.send", "NATS/1.0\r\nNats-Msg-Id: 1\r\nRedox-Kind: fhir\r\nRedox-Path: Patient/1\r\n\r\n", []byte("{}"))
	f.Add("redox.out.a.send."+goldenToken, "NATS/1.0\r\nRedox-Order-Token: "+goldenToken+"\r\nRedox-Deadline: 2026-11-23T10:00:00Z\r\n\r\n", []byte(""))
	f.Add("redox.out.a.request", "NATS/1.0\r\nRedox-Reply-To: $JS.API.x\r\nRedox-Reply-To: b\r\n\r\n", []byte(""))
	f.Add("redox.out.a.send", "NATS/1.0\r\nredox-deadline: x\r\nRedox-Kind: \r\nTraceparent: "+goldenTrace+"\r\n\r\n", []byte(""))
	f.Add("redox.dlq.a", "NATS/1.0 503\r\n\r\n", []byte(nil))
	f.Fuzz(func(t *testing.T, subject, raw string, body []byte) {
		header, err := nats.DecodeHeadersMsg([]byte(raw))
		if err != nil {
			return
		}
		m, err := Decode("", Stored{Subject: subject, Header: header, Body: body, Sequence: 1})
		if checkID(contract.HeaderMessageID, m.ID, wire.MaxID) != nil || (m.ReplyTo != "" && checkSubject("", m.ReplyTo) != nil) || (m.Source != "" && contract.CheckSource(m.Source) != nil) {
			t.Fatalf("unsafe beside error %v: id %q, reply %q, source %q", err, m.ID, m.ReplyTo, m.Source)
		}
		if err != nil {
			var refused *ContractError
			if !errors.As(err, &refused) {
				t.Fatalf("error %T", err)
			}
			return
		}
		if m.OrderToken != "" && m.Lane != contract.LaneOrdered {
			t.Fatalf("an order that %s does not keep", subject)
		}
		if m.Lane == contract.LaneOrdered && m.OrderToken == "" {
			t.Fatalf("no token in %s", subject)
		}
		if len(m.ID) > maxNewID {
			return // may be stored so by others, but not by Encode
		}
		if _, err := m.Encode(""); err != nil {
			t.Fatalf("Decode took it, Encode does not: %v", err)
		}
	})
}

func benchmarkStored() Stored {
	return Stored{Subject: "redox.out.clinic-a.send." + goldenToken, Body: make([]byte, 1024), Sequence: 1, Header: nats.Header{
		contract.HeaderID: {"018f0000-0000-7000-8000-000000000000"}, contract.HeaderReplyTo: {"_INBOX.abcdefghijk.1"}, contract.HeaderOrderToken: {goldenToken},
		contract.HeaderTraceParent: {goldenTrace}, contract.HeaderContentType: {"application/json"},
	}}
}

func TestDecode_DoesNotAllocate(t *testing.T) {
	in := benchmarkStored()
	if n := testing.AllocsPerRun(200, func() {
		if _, err := Decode("", in); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations for each message, want 0", n)
	}
}

func BenchmarkDecode(b *testing.B) {
	in := benchmarkStored()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Decode("", in); err != nil {
			b.Fatal(err)
		}
	}
}
