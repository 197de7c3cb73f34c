package contract

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
		{p.DeadSubject("a", "held", "tok"), "redox.dlq.a.held.tok"},
		{p.ReplySubject("a", "x.y"), "redox.reply.a.x.y"},
		{p.SendConsumer("a"), "a-send"},
		{p.RequestConsumer("a"), "a-request"},
		{p.WakeSubjects(), "redox.wake.>"},
		{p.TurnSubject("a"), "redox.turn.a"},
		{p.OutSubjects(), "redox.out.>"},
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

const namesToken = "0123456789abcdef0123456789abcdef"

func TestParseOut(t *testing.T) {
	t.Parallel()
	tests := []struct {
		subject, source string
		lane            Lane
		token           string
		bad             bool
	}{
		{"redox.out.clinic-a.send", "clinic-a", LaneSend, "", false},
		{"redox.out.clinic-a.request", "clinic-a", LaneRequest, "", false},
		{"redox.out.clinic-a.send." + namesToken, "clinic-a", LaneOrdered, namesToken, false},
		{"redox.out.clinic-a.send.0123", "clinic-a", LaneOrdered, "", true},
		{"redox.out.clinic-a.send." + strings.ToUpper(namesToken), "clinic-a", LaneOrdered, "", true},
		{"redox.out.clinic-a.send." + namesToken + "0", "clinic-a", LaneOrdered, "", true},
		{"redox.out.clinic-a.send." + namesToken + ".0", "clinic-a", LaneOrdered, "", true},
		{"redox.out.clinic-a.send.", "clinic-a", LaneOrdered, "", true},
		{"redox.out.clinic-a.request." + namesToken, "clinic-a", "", "", true},
		{"redox.out.clinic-a.ordered.1", "clinic-a", "", "", true},
		{"redox.out.clinic-a.", "clinic-a", "", "", true},
		{"redox.out.clinic-a", "clinic-a", "", "", true},
		{"redox.out.Clinic.send", "", "", "", true},
		{"redox.out..send", "", "", "", true},
		{"redox.wake.clinic-a.send", "", "", "", true},
		{"other.out.clinic-a.send", "", "", "", true},
		{"", "", "", "", true},
	}
	for _, tt := range tests {
		source, lane, token, err := Prefix("").ParseOut(tt.subject)
		if source != tt.source || lane != tt.lane || token != tt.token || (err != nil) != tt.bad {
			t.Errorf("ParseOut(%q) = %q %q %q %v", tt.subject, source, lane, token, err)
		}
		var refused *Error
		if tt.bad && (!errors.As(err, &refused) || !refused.Poison()) {
			t.Errorf("ParseOut(%q): error %v is no poison", tt.subject, err)
		}
	}
}

func TestParseTurn(t *testing.T) {
	t.Parallel()
	for subject, want := range map[string]string{
		"redox.turn.clinic-a": "clinic-a", "redox.turn.clinic-a.x": "", "redox.turn.": "", "redox.turn.Clinic": "", "redox.wake.clinic-a": "", "other.turn.clinic-a": "", "": "",
	} {
		if source, ok := Prefix("").ParseTurn(subject); ok != (want != "") || ok && source != want {
			t.Errorf("ParseTurn(%q) = %q %v", subject, source, ok)
		}
	}
}

// A wake leads to whatever a worker reads of the queue, what it has to refuse included.
func TestParseWake(t *testing.T) {
	t.Parallel()
	for subject, want := range map[string]struct {
		source string
		lane   Lane
		ok     bool
	}{
		"redox.wake.clinic-a.send":               {"clinic-a", LaneSend, true},
		"redox.wake.clinic-a.request":            {"clinic-a", LaneRequest, true},
		"redox.wake.clinic-a.send." + namesToken: {"clinic-a", LaneOrdered, true},
		"redox.wake.clinic-a.send.patient-1":     {"clinic-a", LaneOrdered, true},
		"redox.wake.clinic-a.send.x.y":           {"clinic-a", LaneOrdered, true},
		"redox.wake.clinic-a.other":              {},
		"redox.wake.clinic-a.request.x":          {},
		"redox.wake.clinic-a":                    {},
		"redox.wake.Clinic.send":                 {},
		"redox.out.clinic-a.send":                {},
		"other.wake.clinic-a.send":               {},
		"":                                       {},
	} {
		source, lane, ok := Prefix("").ParseWake(subject)
		if source != want.source || lane != want.lane || ok != want.ok {
			t.Errorf("ParseWake(%q) = %q %q %v", subject, source, lane, ok)
		}
	}
}

func TestParseLaneConsumer(t *testing.T) {
	t.Parallel()
	var p Prefix
	for name, want := range map[string]struct {
		source string
		lane   Lane
	}{
		p.SendConsumer("clinic-a"):    {"clinic-a", LaneSend},
		p.RequestConsumer("clinic-a"): {"clinic-a", LaneRequest},
		p.SendConsumer("a-request"):   {"a-request", LaneSend},
		p.RequestConsumer("a-send"):   {"a-send", LaneRequest},
		"-send":                       {},
		"A-send":                      {},
		"clinic-a-ordered-1":          {},
		"send":                        {},
		"":                            {},
	} {
		source, lane, ok := p.ParseLaneConsumer(name)
		if source != want.source || lane != want.lane || ok != (want.source != "") {
			t.Errorf("%q: %q %q %v", name, source, lane, ok)
		}
		if ok && p.LaneConsumer(source, lane) != name {
			t.Errorf("%q becomes %q", name, p.LaneConsumer(source, lane))
		}
	}
	if p.LaneConsumer("a", LaneOrdered) != p.SendConsumer("a") {
		t.Error("ordered messages have a consumer of their own")
	}
}

func FuzzParseOut(f *testing.F) {
	for _, s := range []string{"redox.out.a.send", "redox.out.a.send." + namesToken, "redox.out.a.request", "redox.out..send", "redox.out.a.send.x", "$JS.API.>"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, subject string) {
		p := Prefix("")
		source, lane, token, err := p.ParseOut(subject)
		if rest, ok := strings.CutPrefix(subject, "redox.out."); ok {
			woken, by, ok := p.ParseWake("redox.wake." + rest)
			if ok != (lane != "") || ok && (woken != source || by != lane) {
				t.Fatalf("%q is read as source %q, lane %q, and wakes %q, %q, %v", subject, source, lane, woken, by, ok)
			}
		}
		if err != nil {
			if source != "" && CheckSource(source) != nil {
				t.Fatalf("%q: bad source %q beside an error", subject, source)
			}
			return
		}
		again := map[Lane]string{LaneSend: p.SendSubject(source), LaneRequest: p.RequestSubject(source), LaneOrdered: p.OrderedSubject(source, token)}
		if again[lane] != subject {
			t.Fatalf("%q was read as source %q, lane %q, token %q", subject, source, lane, token)
		}
	})
}

func BenchmarkParseOut(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, _, _, err := Prefix("").ParseOut("redox.out.clinic-a.send." + namesToken); err != nil {
			b.Fatal(err)
		}
	}
}
