package dlq

import (
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/outbox/internal/jsapi"
	"github.com/redoxworker/redoxworker/outbox/internal/wire"
)

func goldenDeadLetter() Letter {
	return Letter{
		MessageID: "m-1", Source: "clinic-a", Settlement: outbox.Rejected, Error: "status 400", Status: 400, Attempts: 3,
		At: time.Date(2026, 11, 23, 10, 0, 0, 7_000_000, time.UTC), Subject: "redox.out.clinic-a.send." + goldenToken, Sequence: 77, Behind: 70, Worker: "w-1",
		Header: nats.Header{"Redox-Reply-To": {"_INBOX.x"}, "X-Mine": {"1", "2"}}, Body: []byte("body"),
	}
}

var goldenDeadHeader = nats.Header{
	"Redox-Reply-To": {"_INBOX.x"}, "X-Mine": {"1", "2"},
	"Redox-Message-Id": {"m-1"}, "Redox-Dead-Settlement": {"rejected"}, "Redox-Dead-Error": {"status 400"}, "Redox-Dead-Status": {"400"},
	"Redox-Dead-Attempts": {"3"}, "Redox-Dead-At": {"2026-11-23T10:00:00.007Z"}, "Redox-Dead-Subject": {"redox.out.clinic-a.send." + goldenToken},
	"Redox-Dead-Sequence": {"77"}, "Redox-Dead-Behind": {"70"}, "Redox-Dead-Worker": {"w-1"}, "Nats-Expected-Last-Subject-Sequence": {"0"},
}

func TestDeadLetter_EncodeGolden(t *testing.T) {
	t.Parallel()
	d := goldenDeadLetter()
	before := maps.Clone(d.Header)
	msg := d.Encode("")
	if want := "redox.dlq.clinic-a.rejected." + contract.Prefix("").DeadToken("m-1", 77); msg.Subject != want || string(msg.Data) != "body" {
		t.Errorf("%s %s, want %s", msg.Subject, msg.Data, want)
	}
	if diff := cmp.Diff(goldenDeadHeader, msg.Header); diff != "" {
		t.Errorf("header (-want +got)\n%s", diff)
	}
	if diff := cmp.Diff(before, d.Header); diff != "" {
		t.Errorf("Encode changed the original header\n%s", diff)
	}
}

func TestDeadLetter_DecodeGolden(t *testing.T) {
	t.Parallel()
	want := goldenDeadLetter()
	got, err := Decode("", outbox.Stored{Subject: want.Encode("").Subject, Header: goldenDeadHeader, Body: want.Body, Sequence: 5})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestDeadLetter_UnknownSource(t *testing.T) {
	t.Parallel()
	d := goldenDeadLetter()
	for _, source := range []string{"", "A.b", ">"} {
		d.Source = source
		msg := d.Encode("")
		if !strings.HasPrefix(msg.Subject, "redox.dlq._.rejected.") {
			t.Errorf("source %q: subject %s", source, msg.Subject)
		}
		got, err := Decode("", outbox.Stored{Subject: msg.Subject, Header: msg.Header})
		if err != nil || got.Source != "" {
			t.Errorf("source %q: decoded %q, %v", source, got.Source, err)
		}
	}
}

// TestDeadLetter_StripsInstructions: each of these in the original would act on
// the dead-letter stream, or forge the dead letter.
func TestDeadLetter_StripsInstructions(t *testing.T) {
	t.Parallel()
	d := goldenDeadLetter()
	for _, name := range []string{"Nats-Msg-Id", "Nats-Rollup", "Nats-TTL", "Nats-Expected-Stream", "Nats-Expected-Last-Msg-Id", "Nats-Expected-Last-Sequence",
		"Nats-Expected-Last-Subject-Sequence", "Nats-Expected-Last-Subject-Sequence-Subject", "Nats-Schedule", "Nats-Marker-Reason", "Nats-Batch-Id", "Nats-Incr",
		"nats-rollup", "NATS-MSG-ID", "Redox-Dead-Settlement", "redox-dead-error", "Redox-Message-Id", "redox-message-id"} {
		d.Header[name] = []string{"hostile", "all"}
	}
	msg := d.Encode("")
	if diff := cmp.Diff(goldenDeadHeader, msg.Header); diff != "" {
		t.Errorf("header (-want +got)\n%s", diff)
	}
}

func TestDeadLetter_EncodeCleansText(t *testing.T) {
	t.Parallel()
	d := goldenDeadLetter()
	d.Error, d.Worker = "a\r\nNats-Rollup: all", strings.Repeat("w", 1000)
	msg := d.Encode("")
	if text := wire.First(msg.Header, HeaderDeadError); strings.ContainsAny(text, "\r\n") {
		t.Errorf("error %q", text)
	}
	if worker := wire.First(msg.Header, HeaderDeadWorker); len(worker) != wire.MaxLine {
		t.Errorf("worker of %d bytes", len(worker))
	}
}

func TestDecodeDeadLetter_Refuses(t *testing.T) {
	t.Parallel()
	subject := goldenDeadLetter().Encode("").Subject
	for name, change := range map[string]func(*outbox.Stored){
		"no header":          func(s *outbox.Stored) { s.Header = nil },
		"another subject":    func(s *outbox.Stored) { s.Subject = "redox.out.clinic-a.send" },
		"another prefix":     func(s *outbox.Stored) { s.Subject = "team" + s.Subject[5:] },
		"settlement differs": func(s *outbox.Stored) { s.Header[HeaderDeadSettlement] = []string{"held"} },
		"unknown settlement": func(s *outbox.Stored) {
			s.Header[HeaderDeadSettlement] = []string{"gone"}
			s.Subject = "redox.dlq.clinic-a.gone.x"
		},
		"bad source":   func(s *outbox.Stored) { s.Subject = "redox.dlq.A.rejected.x" },
		"no token":     func(s *outbox.Stored) { s.Subject = "redox.dlq.clinic-a.rejected." },
		"two tokens":   func(s *outbox.Stored) { s.Subject += ".x" },
		"bad status":   func(s *outbox.Stored) { s.Header[HeaderDeadStatus] = []string{"x"} },
		"bad attempts": func(s *outbox.Stored) { s.Header[HeaderDeadAttempts] = []string{"-1"} },
		"bad time":     func(s *outbox.Stored) { s.Header[HeaderDeadAt] = []string{"now"} },
		"bad sequence": func(s *outbox.Stored) { s.Header[HeaderDeadSequence] = []string{"-1"} },
		"no id":        func(s *outbox.Stored) { delete(s.Header, contract.HeaderMessageID) },
	} {
		in := outbox.Stored{Subject: subject, Header: maps.Clone(goldenDeadHeader)}
		change(&in)
		if d, err := Decode("", in); err == nil {
			t.Errorf("%s: %+v", name, d)
		}
	}
}

func FuzzDecodeDeadLetter(f *testing.F) {
	golden := goldenDeadLetter().Encode("")
	f.Add(golden.Subject, "NATS/1.0\r\nRedox-Message-Id: m-1\r\nRedox-Dead-Settlement: rejected\r\nRedox-Dead-At: 2026-11-23T10:00:00Z\r\nRedox-Dead-Sequence: 1\r\n\r\n")
	f.Add("redox.dlq._.poison.x", "NATS/1.0\r\nRedox-Message-Id: m\r\nRedox-Dead-Settlement: poison\r\nNats-Rollup: all\r\n\r\n")
	f.Add("redox.dlq", "NATS/1.0\r\n\r\n")
	f.Fuzz(func(t *testing.T, subject, raw string) {
		header, err := nats.DecodeHeadersMsg([]byte(raw))
		if err != nil {
			return
		}
		d, err := Decode("", outbox.Stored{Subject: subject, Header: header})
		if err != nil {
			return
		}
		for name := range d.Encode("").Header {
			if wire.HasPrefixFold(name, "nats-") && name != jetstream.ExpectedLastSubjSeqHeader {
				t.Fatalf("header %q passes", name)
			}
		}
		if d.Source != "" && contract.CheckSource(d.Source) != nil || !d.Settlement.Valid() {
			t.Fatalf("%+v", d)
		}
	})
}

func TestErrors_Texts(t *testing.T) {
	t.Parallel()
	contract := &outbox.ContractError{Part: contract.HeaderPath, Reason: "is bad"}
	for _, pair := range [][2]string{
		{contract.Error(), "outbox: contract: Redox-Path is bad"},
		{contract.SafeError(), "contract: Redox-Path is bad"},
		{(&outbox.SizeError{What: "body", Size: 11, Limit: 10, Name: "max body"}).Error(), "outbox: body of 11 bytes is over 10 bytes, the max body"},
		{(&outbox.SizeError{What: "body", Size: -1, Limit: 10, Name: "max body"}).Error(), "outbox: body is over 10 bytes, the max body"},
		{(&outbox.GatewayError{Code: "503", Text: "queue full"}).Error(), "outbox: gateway: 503 queue full"},
	} {
		if pair[0] != pair[1] {
			t.Errorf("got %q, want %q", pair[0], pair[1])
		}
	}
	if jsapi.AlreadyStored(errors.New("x")) || jsapi.AlreadyStored(nil) {
		t.Error("any error counts as already stored")
	}
}

func BenchmarkDeadLetter_Encode(b *testing.B) {
	d := goldenDeadLetter()
	b.ReportAllocs()
	for b.Loop() {
		d.Encode("")
	}
}

// More headers than a stream takes beside those of a dead letter: what a worker reads stays.
func TestDeadLetter_TooManyHeaders(t *testing.T) {
	t.Parallel()
	for name, h := range map[string]nats.Header{
		"one":       {"X-Large": {strings.Repeat("x", 65_000)}},
		"contract":  {contract.HeaderReplyTo: {strings.Repeat("x", 65_000)}},
		"one twice": {"X-Large": {strings.Repeat("x", 40_000), strings.Repeat("x", 25_000)}},
	} {
		h[contract.HeaderKind], h[contract.HeaderBodyObject] = []string{"nonsense"}, []string{"a/x"}
		d := Letter{MessageID: "m", Source: "a", Settlement: outbox.Poison, Error: "why", At: time.Now(), Header: h}
		msg := d.Encode("")
		if size := wire.Size(&nats.Msg{Header: msg.Header}); size > 65_535-1024 {
			t.Errorf("%s: %d bytes of headers", name, size)
		}
		got, err := Decode("", outbox.Stored{Subject: msg.Subject, Header: msg.Header})
		if err != nil || wire.First(got.Header, contract.HeaderKind) != "nonsense" || wire.First(got.Header, contract.HeaderBodyObject) != "a/x" || got.Error != "why; 1 of its headers were too large to keep" {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
		if len(d.Header) != 3 {
			t.Errorf("%s: the message's own headers were changed", name)
		}
	}
	many := nats.Header{contract.HeaderKind: {"fhir"}}
	for i := range 1000 {
		many[fmt.Sprint("X-", i)] = []string{strings.Repeat("x", 60)}
	}
	if msg := (Letter{MessageID: "m", Source: "a", Settlement: outbox.Poison, At: time.Now(), Header: many}).Encode(""); wire.Size(msg) > maxDeadHeaders+100 || wire.First(msg.Header, contract.HeaderKind) != "fhir" {
		t.Errorf("many: %d bytes", wire.Size(msg))
	}
}
