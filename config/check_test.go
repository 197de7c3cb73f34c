package config

import (
	"strings"
	"testing"
)

const (
	idA = "7ce6f387-c33c-417d-8682-81e83628cbd9"
	idB = "0ce6f387-c33c-417d-8682-81e83628cbd9"
)

func TestLoad_Sources(t *testing.T) {
	t.Parallel()
	const keys = "keys:\n  main: {client_id: c, kid: k, private_key_file: key.pem}\n  people: {type: user, client_id: u, kid: k, private_key_file: key.pem}\nsources:\n"
	for _, tt := range []struct {
		name, sources string
		want          []string
	}{
		{"nothing", "  a: {}", []string{
			"sources.a.id: is missing; copy the Source ID from Redox's dashboard (redoxworker.yaml:5)",
			"sources.a.key: is missing; name one of keys (redoxworker.yaml:5)"}},
		{
			"no source",
			"  # none",
			[]string{"sources: no source is configured; name one below sources, with its id and key (redoxworker.yaml:4)"},
		},
		{
			"a bad name alone",
			"  Clinic_A: {id: " + idA + ", key: main}",
			[]string{`sources.Clinic_A: "Clinic_A" is not a name; use 1 to 64 of a-z, 0-9 and - (redoxworker.yaml:5)`},
		},
		{
			"unknown key, near",
			"  a: {id: " + idA + ", key: mian}",
			[]string{`sources.a.key: no key is called "mian"; did you mean main? (redoxworker.yaml:5)`},
		},
		{
			"unknown key, no name",
			"  a: {id: " + idA + ", key: A_B_C_D_E}",
			[]string{`sources.a.key: no key is called "A_B_C_D_E"; name one of keys (redoxworker.yaml:5)`},
		},
		{
			"environment",
			"  a: {id: " + idA + ", key: main, environment: Production}",
			[]string{`sources.a.environment: "Production" is not one of development, staging, production; did you mean production? (redoxworker.yaml:5)`},
		},
		{
			"on_unknown",
			"  a: {id: " + idA + ", key: main, on_unknown: drop}",
			[]string{`sources.a.on_unknown: "drop" is not one of resend, hold; choose one (redoxworker.yaml:5)`},
		},
		{"hold", "  a: {id: " + idA + ", key: main, hold: [Order.*, Order, '*.>', '*.*']}", []string{
			`sources.a.hold: "Order" is not DataModel.EventType; write a pattern such as Order.New, Order.* or *.Delete (redoxworker.yaml:5)`,
			`sources.a.hold: "*.>" is not DataModel.EventType; write a pattern such as Order.New, Order.* or *.Delete (redoxworker.yaml:5)`}},
		{"names", "  a.b: {}\n  A: {}\n  " + strings.Repeat("a", 65) + ": {}\n  a: {id: " + idA + ", key: main}", []string{
			`sources.a.b: "a.b" is not a name; use 1 to 64 of a-z, 0-9 and - (redoxworker.yaml:5)`,
			`sources.A: "A" is not a name; use 1 to 64 of a-z, 0-9 and - (redoxworker.yaml:6)`,
			`sources.` + strings.Repeat("a", 65) + `: "` + strings.Repeat("a", 60) + `…" is not a name; use 1 to 64 of a-z, 0-9 and - (redoxworker.yaml:7)`}},
		{"key in two environments", "  a: {id: " + idA + ", key: main}\n  b: {id: " + idB + ", key: main, environment: staging}", []string{
			`sources.b.key: key main already serves sources.a in development, and this source is in staging; give each environment a key of its own (redoxworker.yaml:6)`}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			diff(t, tt.want, problemsOf(t, Options{File: writeConfig(t, keys+tt.sources+"\n")}))
		})
	}

	two := "  a: {id: " + idA + ", key: people}\n  b: {id: " + idB + ", key: people, environment: staging}\n  c: {id: " + strings.ToUpper(idA) + ", key: main}\n"
	c := mustLoad(t, Options{File: writeConfig(t, keys+two)})
	w := c.Warnings()
	if len(w) != 1 || w[0].Key != "sources.c.id" || !strings.Contains(w[0].Text, "sources.a") {
		t.Errorf("one Source ID twice: %v", w)
	}
}

func TestCheckSubject(t *testing.T) {
	t.Parallel()
	for subject, want := range map[string]bool{
		"a": true, "a.b": true, "a.*.c": true, "a.>": true, ">": true, "*": true, "_INBOX.x-y_z": true, "ä.b": true,
		"": false, ".": false, "a.": false, ".a": false, "a..b": false, "a.>.b": false, "a.b*": false, "a.>b": false, "a b": false, "a\tb": false, "a.\x7f": false,
		strings.Repeat("a", maxSubject): true, strings.Repeat("a", maxSubject+1): false,
	} {
		if got := checkSubject(subject) == nil; got != want {
			t.Errorf("checkSubject(%q) = %v, want %v", subject, got, want)
		}
	}
}

func TestReplyFault(t *testing.T) {
	t.Parallel()
	for pattern, want := range map[string]string{
		"_INBOX.>":                   "",
		"_INBOX_{source}.>":          "",
		"app.{source}.replies.>":     "",
		"redox.reply.{source}.x":     "",
		"redoxx.out.>":               "",
		">":                          "covers subjects of the server",
		"*.out.>":                    "covers subjects of the server",
		"*.>":                        "covers subjects of the server",
		"$JS.API.>":                  "reaches subjects of the server",
		"$SYS.>":                     "reaches subjects of the server",
		"$KV.REDOX_STATE.>":          "reaches subjects of the server",
		"redox.out.clinic-a.send":    "reaches subjects of redox",
		"redox.>":                    "reaches subjects of redox",
		"redox":                      "reaches subjects of redox",
		"redox.*.clinic-a.send":      "reaches subjects of redox",
		"redox.reply.>":              "reaches subjects of redox",
		"redox.reply.other.>":        "reaches subjects of redox",
		"redox.dlq.>":                "reaches subjects of redox",
		"{source}.out.>":             "for source \"redox\"",
		"re{source}.out.>":           "for source \"dox\"",
		"{source}redox.out.>":        "for source \"\"",
		"a b":                        "is not a NATS subject",
		"":                           "is not a NATS subject",
		"a.{sauce}.>":                "is not a NATS subject",
		"a.{source":                  "is not a NATS subject",
		"a." + sourceMark + "*":      "is not a NATS subject",
		"a.{source}{source}.replies": "",
	} {
		got, _ := replyFault(pattern, "redox", []string{"clinic-a", "dox", "redox"})
		if (want == "") != (got == "") || !strings.Contains(got, want) {
			t.Errorf("%q: %q, want %q", pattern, got, want)
		}
	}
}

func TestCheckURL_Accepts(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ key, value string }{
		{"redox.base_url", "http://127.0.0.2:9000"}, {"redox.base_url", "http://[::1]"}, {"redox.base_url", "http://LOCALHOST:1"},
		{"redox.base_url", "http://[::ffff:127.0.0.1]:80"}, {"redox.base_url", "https://gateway.example/redox/"},
		{"redox.proxy_url", "socks5://proxy:1080"}, {"redox.proxy_url", "http://u:p@proxy.corp:3128"},
		{"nats.url", "localhost"}, {"nats.url", "127.0.0.1:4222, [::1]:4222"}, {"nats.url", "wss://u:p@nats.example:443/path"},
		{"admin.listen", ":0"}, {"admin.listen", "[::1]:80"}, {"admin.listen", "off"}, {"admin.listen", "0.0.0.0:8466"},
	} {
		if _, err := Load(Options{Flags: map[string]any{tt.key: tt.value}, Skip: PartKeys | PartSources}); err != nil {
			t.Errorf("%s: %v", tt.value, err)
		}
	}
	for _, value := range []string{"http://10.0.0.1", "http://127.1", "http://localhost.example", "http://0.0.0.0", "https://", "https://:443", "ftp://localhost",
		"https://h#", "https://h?", "https://h:", "http://2130706433", "https://h\\@x", "//host", "http://[::1", "https://h:0"} {
		if _, err := Load(Options{Flags: map[string]any{"redox.base_url": value}, Skip: PartKeys | PartSources}); err == nil {
			t.Errorf("%s is accepted", value)
		}
	}
}
