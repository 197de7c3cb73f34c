package auth

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"
)

// nothing of this may show up in any printed form.
const hidden = "p4ssw0rd-of-the-secret"

// verbs are all verbs of fmt, and some flags.
var verbs = strings.Fields("%v %+v %#v %s %q %x %X %d %o %b %c %U %e %g %t %T %p %10s %-40v %#q %.3s %+q % x %08.3f %#x")

// holder keeps secrets where fmt cannot call methods: in unexported fields.
type holder struct {
	secret Secret
	token  Token
	key    Key
	nested struct{ deep []Secret }
	byName map[string]Token
}

func hiddenValues(t *testing.T) map[string]any {
	t.Helper()
	s := NewSecret(hidden)
	k := ecKey(hidden)
	with := *k.k
	with.id = "kid"
	k.k = &with
	token := NewToken(hidden, time.Now(), time.Now().Add(time.Minute))
	h := holder{secret: s, token: token, key: k, byName: map[string]Token{"a": token}}
	h.nested.deep = []Secret{s}
	l := must(NewLegacy(hidden, s, LegacyConfig{}))
	l.refresh = s
	c := must(NewCache(MinterFunc(func(context.Context) (Token, error) { return Token{}, errNoReturn }), CacheConfig{}))
	c.pool[0].cached.Store(must(newCachedToken(token, time.Now(), time.Now())))
	return map[string]any{
		"secret": s, "secret pointer": &s, "token": token, "token pointer": &token, "key": k,
		"struct": h, "struct pointer": &h, "slice": []Secret{s}, "map": map[string]Secret{"a": s},
		"legacy": l, "cache": c, "error": fmt.Errorf("failed with %v and %v", s, token),
		"oauth": must(NewOAuth("client", k, OAuthConfig{Next: k})), "config": OAuthConfig{Next: k},
	}
}

// leaks reports whether text shows the secret in any common writing.
func leaks(text string) bool {
	d := must(ecNumbers().Bytes())
	decimal := new(big.Int).SetBytes(d).String()
	for _, form := range []string{hidden, fmt.Sprintf("%x", hidden), fmt.Sprintf("%X", hidden), fmt.Sprintf("% x", hidden), fmt.Sprint([]byte(hidden)), decimal, fmt.Sprintf("%x", d)} {
		if strings.Contains(text, form) {
			return true
		}
	}
	return false
}

func TestSecret_HiddenInEveryVerb(t *testing.T) {
	t.Parallel()
	_, _ = time.Now().Zone() // what fmt finds behind a time by reflection is set up at its first use
	for name, v := range hiddenValues(t) {
		for _, verb := range verbs {
			if got := fmt.Sprintf(verb, v); leaks(got) {
				t.Errorf("%s with %s shows the secret", name, verb)
			}
		}
		if leaks(fmt.Sprint(v)) || leaks(fmt.Sprintln(v)) {
			t.Errorf("%s printed shows the secret", name)
		}
	}
}

func TestSecret_HiddenInEncodings(t *testing.T) {
	t.Parallel()
	for name, v := range hiddenValues(t) {
		if name == "cache" || name == "legacy" || name == "oauth" || name == "config" {
			continue // not data
		}
		j, err := json.Marshal(v)
		if err != nil || leaks(string(j)) {
			t.Errorf("%s as JSON: %v or shown", name, err)
		}
		y, err := yaml.Marshal(v)
		if err != nil || leaks(string(y)) {
			t.Errorf("%s as YAML: %v or shown", name, err)
		}
		if x, err := xml.Marshal(v); err == nil && leaks(string(x)) {
			t.Errorf("%s as XML is shown", name)
		}
	}
	if j, _ := json.Marshal(map[Secret]Token{NewSecret(hidden): {}}); leaks(string(j)) {
		t.Error("a secret as a JSON key is shown")
	}
}

func TestSecret_HiddenInSlog(t *testing.T) {
	t.Parallel()
	for name, v := range hiddenValues(t) {
		var b bytes.Buffer
		for _, h := range []slog.Handler{slog.NewTextHandler(&b, nil), slog.NewJSONHandler(&b, nil)} {
			slog.New(h).Error("m", "v", v, "group", slog.GroupValue(slog.Any("v", v)))
		}
		if leaks(b.String()) {
			t.Errorf("%s in a log line is shown", name)
		}
	}
}

// TestSecret_HiddenInPanic runs this test in a process of its own that panics.
func TestSecret_HiddenInPanic(t *testing.T) {
	t.Parallel()
	values := hiddenValues(t)
	if name := os.Getenv("AUTH_TEST_PANIC"); name != "" {
		panic(values[name])
	}
	for _, name := range []string{"secret", "token", "key", "struct", "error", "map"} {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestSecret_HiddenInPanic$")
		cmd.Env = append(os.Environ(), "AUTH_TEST_PANIC="+name)
		out, err := cmd.CombinedOutput()
		if _, ok := errors.AsType[*exec.ExitError](err); !ok || !strings.Contains(string(out), "panic:") {
			t.Fatalf("%s: the process did not panic: %v", name, err)
		}
		if leaks(string(out)) {
			t.Errorf("a panic with a %s shows the secret", name)
		}
	}
}

func TestToken_Says(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	token := NewToken("abc", at, at.Add(5*time.Minute))
	if got := token.String(); got != "[redacted] until 2026-03-01T12:05:00Z" {
		t.Errorf("String is %q", got)
	}
	if token.Value() != "abc" || token.Lifetime() != 5*time.Minute {
		t.Error("value or lifetime")
	}
	if got := fmt.Sprint(Token{}); got != "no token" {
		t.Errorf("a zero token prints %q", got)
	}
}
