package config

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// outputs prints a value in every way there is.
func outputs(t *testing.T, v any) string {
	t.Helper()
	var b bytes.Buffer
	for _, verb := range "vTtbcdoOqxXUeEfFgGspw" {
		for _, flags := range []string{"", "+", "#", "-20", "010", " "} {
			fmt.Fprintf(&b, "%"+flags+string(verb)+"\n", v)
		}
	}
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	b.Write(text)
	if text, err = yaml.Marshal(v); err != nil {
		t.Fatal(err)
	}
	b.Write(text)
	for _, h := range []slog.Handler{slog.NewTextHandler(&b, nil), slog.NewJSONHandler(&b, nil)} {
		slog.New(h).Info("x", "v", v)
		slog.New(h).With("v", v).WithGroup("g").Info("x", slog.Group("h", "v", v))
	}
	return b.String()
}

func TestSecret_NeverShows(t *testing.T) {
	t.Parallel()
	secret, address := NewSecret("hunter2"), NewURL("nats://me:hunter2@host:4222")
	type hidden struct {
		secret Secret
	}
	for name, v := range map[string]any{
		"secret": secret, "pointer": &secret, "field": struct{ S Secret }{secret}, "slice": []Secret{secret}, "map": map[string]Secret{"a": secret},
		"url": address, "url field": struct{ U *URL }{&address}, "config": Config{NATS: NATS{URL: address, Password: secret}, Keys: map[string]Key{"a": {Secret: secret}}},
		"error": fmt.Errorf("x %v %s %q", secret, secret, address),
	} {
		if got := outputs(t, v); strings.Contains(got, "hunter2") || strings.Contains(got, "68756e746572") {
			i := max(strings.Index(got, "hunter2"), 40)
			t.Errorf("%s shows itself: %s", name, got[i-40:i+20])
		}
	}
	if got := fmt.Sprintf("%v %+v %#v", hidden{secret}, hidden{secret}, &hidden{secret}); strings.Contains(got, "hunter2") {
		t.Errorf("a field that is not exported shows itself: %s", got)
	}
	text, err := json.Marshal(map[Secret]int{secret: 1})
	if err != nil || strings.Contains(string(text), "hunter2") {
		t.Errorf("as key of a map: %s, %v", text, err)
	}
}

func TestSecret(t *testing.T) {
	t.Parallel()
	s := NewSecret("x")
	if !s.IsSet() || s.Reveal() != "x" || !s.Equal(NewSecret("x")) || s.Equal(NewSecret("y")) || s.Equal(Secret{}) || s.String() != "[redacted]" {
		t.Error("a secret that is set")
	}
	var zero Secret
	if zero.IsSet() || NewSecret("").IsSet() || zero.Reveal() != "" || !zero.Equal(NewSecret("")) || fmt.Sprint(zero) != "" {
		t.Error("a secret that is unset")
	}
}

func TestURL_String(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"":                                 "",
		"nats://a:1,nats://b:2":            "nats://a:1,nats://b:2",
		"nats://u:p@a,nats://b":            "nats://[redacted]@a,nats://b",
		"nats://token@a":                   "nats://[redacted]@a",
		"u:p@a":                            "[redacted]@a",
		"nats://u:p@ss@a":                  "nats://[redacted]@a",
		"nats://u:p/w?x#y@a":               "nats://[redacted]@a",
		"nats://u:p,w@a,nats://b":          "nats://[redacted]@a,nats://b",
		"nats://h1,u:p@h2":                 "nats://[redacted]@h2",
		"nats://a,nats://u:p,w@b":          "nats://a,nats://[redacted]@b",
		"http://user:pass@proxy:3128/path": "http://[redacted]@proxy:3128/path",
	} {
		if got := NewURL(in).String(); got != want {
			t.Errorf("%s prints as %s, want %s", in, got, want)
		}
	}
	if u := NewURL("nats://u:p@a"); u.Reveal() != "nats://u:p@a" || fmt.Sprintf("%q", u) != `"nats://[redacted]@a"` {
		t.Error("Reveal or the quoted form")
	}
}
