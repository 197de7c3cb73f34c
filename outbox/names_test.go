package outbox

import (
	"errors"
	"strings"
	"testing"
)

func TestPrefix_Names(t *testing.T) {
	t.Parallel()
	tests := []struct {
		prefix                               Prefix
		out, dead, reply, adv, st, led, body string
		send, gateway                        string
	}{
		{"", "REDOX_OUT", "REDOX_DLQ", "REDOX_REPLIES", "REDOX_ADVISORIES", "REDOX_STATE", "REDOX_LEDGER", "REDOX_BODIES",
			"redox.out.clinic-a.send", "redox.gateway.clinic-a.send"},
		{"team-7", "TEAM_7_OUT", "TEAM_7_DLQ", "TEAM_7_REPLIES", "TEAM_7_ADVISORIES", "TEAM_7_STATE", "TEAM_7_LEDGER", "TEAM_7_BODIES",
			"team-7.out.clinic-a.send", "team-7.gateway.clinic-a.send"},
	}
	for _, tt := range tests {
		p := tt.prefix
		for _, pair := range [][2]string{
			{p.OutStream(), tt.out}, {p.DeadStream(), tt.dead}, {p.ReplyStream(), tt.reply}, {p.AdvisoryStream(), tt.adv},
			{p.StateBucket(), tt.st}, {p.LedgerBucket(), tt.led}, {p.BodyBucket(), tt.body},
			{p.SendSubject("clinic-a"), tt.send}, {p.GatewaySubject("clinic-a", LaneSend), tt.gateway},
		} {
			if pair[0] != pair[1] {
				t.Errorf("prefix %q: got %q, want %q", p, pair[0], pair[1])
			}
		}
	}
}

func TestPrefix_Subjects(t *testing.T) {
	t.Parallel()
	p := Prefix("")
	for _, pair := range [][2]string{
		{p.OrderedSubject("a", "0f"), "redox.out.a.send.0f"},
		{p.RequestSubject("a"), "redox.out.a.request"},
		{p.GatewaySubject("a", LaneRequest), "redox.gateway.a.request"},
		{p.GatewaySubject("a", LaneOrdered), "redox.gateway.a.send"},
		{p.DeadSubject("a", Held, "tok"), "redox.dlq.a.held.tok"},
		{p.ReplySubject("a", "x.y"), "redox.reply.a.x.y"},
		{p.SendConsumer("a"), "a-send"},
		{p.RequestConsumer("a"), "a-request"},
		{p.OrderedConsumer("a", 11), "a-ordered-11"},
	} {
		if pair[0] != pair[1] {
			t.Errorf("got %q, want %q", pair[0], pair[1])
		}
	}
}

func TestPrefix_Validate(t *testing.T) {
	t.Parallel()
	limit := strings.Repeat("a", 32)
	for prefix, ok := range map[Prefix]bool{
		"": true, "redox": true, "a-1": true, Prefix(limit): true,
		Prefix(limit + "a"): false, "Redox": false, "a.b": false, "a b": false, "a*": false, "a_b": false,
	} {
		if err := prefix.Validate(); (err == nil) != ok {
			t.Errorf("Validate(%q) = %v, want ok %v", prefix, err, ok)
		}
	}
}

func TestCheckSource_Limits(t *testing.T) {
	t.Parallel()
	limit := strings.Repeat("s", 64)
	for source, ok := range map[string]bool{
		limit: true, "clinic-a": true, "7": true,
		limit + "s": false, "": false, "A": false, "a.b": false, "a>": false, "ä": false, "a\n": false,
	} {
		if err := CheckSource(source); (err == nil) != ok {
			t.Errorf("CheckSource(%q) = %v, want ok %v", source, err, ok)
		}
	}
	if err := CheckSource(strings.Repeat("X", 5000)); len(err.Error()) > 200 {
		t.Errorf("error of %d bytes repeats the whole bad name", len(err.Error()))
	}
}

func TestPrefix_DeadToken(t *testing.T) {
	t.Parallel()
	p := Prefix("")
	// printf 'm-1\0007' | sha256sum | cut -c1-32
	const golden = "dbb50e4aa408317de8984132c2bee151"
	if got := p.DeadToken("m-1", 7); got != golden {
		t.Errorf("DeadToken = %q, want %q: stored dead letters would not be recognised", got, golden)
	}
	if p.DeadToken("m-1", 7) == p.DeadToken("m-1", 8) || p.DeadToken("m-1", 1) == p.DeadToken("m-11", 1) {
		t.Error("different messages share a token")
	}
}

func TestPrefix_IsReplySubject(t *testing.T) {
	t.Parallel()
	for subject, want := range map[string]bool{
		"redox.reply.a.1": true, "redox.reply.a": true,
		"redox.reply.": false, "redox.reply": false, "redoxx.reply.a.1": false, "_INBOX.redox.reply.a": false, "": false,
	} {
		if got := Prefix("").IsReplySubject(subject); got != want {
			t.Errorf("IsReplySubject(%q) = %v", subject, got)
		}
	}
}

func TestParseOut(t *testing.T) {
	t.Parallel()
	tests := []struct {
		subject, source string
		lane            Lane
		partition       int
		bad             bool
	}{
		{"redox.out.clinic-a.send", "clinic-a", LaneSend, -1, false},
		{"redox.out.clinic-a.request", "clinic-a", LaneRequest, -1, false},
		{"redox.out.clinic-a.ordered.0", "clinic-a", LaneOrdered, 0, false},
		{"redox.out.clinic-a.ordered.127", "clinic-a", LaneOrdered, 127, false},
		{"redox.out.clinic-a.send.0123", "clinic-a", "", -1, true}, // stored so only without the transform
		{"redox.out.clinic-a.ordered.01", "clinic-a", "", -1, true},
		{"redox.out.clinic-a.ordered.+1", "clinic-a", "", -1, true},
		{"redox.out.clinic-a.ordered.-0", "clinic-a", "", -1, true},
		{"redox.out.clinic-a.ordered.1.2", "clinic-a", "", -1, true},
		{"redox.out.clinic-a.ordered.", "clinic-a", "", -1, true},
		{"redox.out.clinic-a.ordered", "clinic-a", "", -1, true},
		{"redox.out.clinic-a.", "clinic-a", "", -1, true},
		{"redox.out.clinic-a", "clinic-a", "", -1, true},
		{"redox.out.Clinic.send", "", "", -1, true},
		{"redox.out..send", "", "", -1, true},
		{"redox.in.clinic-a.send", "", "", -1, true},
		{"other.out.clinic-a.send", "", "", -1, true},
		{"", "", "", -1, true},
	}
	for _, tt := range tests {
		source, lane, n, err := Prefix("").ParseOut(tt.subject)
		if source != tt.source || lane != tt.lane || n != tt.partition || (err != nil) != tt.bad {
			t.Errorf("ParseOut(%q) = %q %q %d %v", tt.subject, source, lane, n, err)
		}
		var contract *ContractError
		if tt.bad && (!errors.As(err, &contract) || !contract.Poison()) {
			t.Errorf("ParseOut(%q): error %v is no poison", tt.subject, err)
		}
	}
}

func FuzzParseOut(f *testing.F) {
	for _, s := range []string{"redox.out.a.send", "redox.out.a.ordered.3", "redox.out.a.request", "redox.out..send", "redox.out.a.ordered.99999999999999999999", "$JS.API.>"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, subject string) {
		p := Prefix("")
		source, lane, n, err := p.ParseOut(subject)
		if err != nil {
			if source != "" && CheckSource(source) != nil {
				t.Fatalf("%q: bad source %q beside an error", subject, source)
			}
			return
		}
		again := map[Lane]string{LaneSend: p.SendSubject(source), LaneRequest: p.RequestSubject(source), LaneOrdered: p.orderedSubject(source, n)}
		if again[lane] != subject {
			t.Fatalf("%q was read as source %q, lane %q, partition %d", subject, source, lane, n)
		}
	})
}

func BenchmarkParseOut(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, _, _, err := Prefix("").ParseOut("redox.out.clinic-a.ordered.12"); err != nil {
			b.Fatal(err)
		}
	}
}
