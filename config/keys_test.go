package config

import (
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// valid gives each key a value that is not its default, and what it needs beside it.
func valid(f field, dir string) (value string, beside map[string]string) {
	pem := filepath.Join(dir, "key.pem")
	section, own := "nats.", strings.TrimPrefix(f.key, "console.")
	if own != f.key && strings.HasPrefix(own, section) { // the connection of the console is said like that of the workers
		section = "console.nats."
	} else {
		own = f.key
	}
	switch last := f.last(); {
	case own == "nats.url":
		return "nats://other.example:4223", nil
	case strings.HasPrefix(own, "nats.creds"):
		if f.kind == kindSecret {
			return "-----BEGIN NATS USER JWT-----", nil
		}
		return filepath.Join(dir, "user.creds"), nil
	case own == "nats.nkey":
		return "SUAXXXX", nil
	case own == "nats.nkey_file":
		return filepath.Join(dir, "user.nk"), nil
	case own == "nats.user":
		return "me", map[string]string{section + "password": "x"}
	case strings.HasPrefix(own, "nats.password"):
		beside = map[string]string{section + "user": "me"}
	case own == "nats.tls.cert_file":
		beside = map[string]string{section + "tls.key_file": pem}
	case own == "nats.tls.key_file":
		beside = map[string]string{section + "tls.cert_file": pem}
	case f.key == "redox.client_cert_file":
		beside = map[string]string{"redox.client_key_file": pem}
	case f.key == "redox.client_key_file":
		beside = map[string]string{"redox.client_cert_file": pem}
	case f.key == "redox.endpoint_path" || f.key == "redox.fhir_path":
		return "/other", nil
	case f.key == "redox.proxy_url":
		return "http://proxy.example:3128", nil
	case f.key == "admin.listen":
		return "0.0.0.0:1", nil
	case f.key == "console.listen":
		return "127.0.0.1:1", map[string]string{"console.tokens": oneToken, "console.viewers": "*"}
	case f.key == "console.base_path":
		return "/ops", nil
	case f.key == "console.trusted_proxies":
		return "10.0.0.0/24", nil
	case f.key == "console.tokens":
		return oneToken, nil
	case f.key == "console.session_key":
		return strings.Repeat("k", 32), nil
	case f.key == "console.session_key_file":
		return filepath.Join(dir, "session.key"), nil
	case f.key == "console.session":
		return "2h", nil
	case f.key == "outbox.driver":
		return DriverMySQL, map[string]string{"outbox.dsn": "x"}
	case f.key == "outbox.poll":
		return "3s", nil
	case f.key == "worker.retry.max":
		return "3s", nil
	case f.key == "reconcile.give_up":
		return "2h", nil
	case last == "hold":
		return "Order.*", nil
	case f.key == "keys.*.type":
		return KeyLegacy, nil
	case len(f.types) > 0 && f.types[0] == KeyLegacy:
		beside = map[string]string{"keys.extra.type": KeyLegacy}
	case f.key == "sources.*.id":
		return idB, nil
	case f.key == "sources.*.key":
		return "main", nil
	}
	if strings.Contains(f.key, "next.private_key") {
		beside = map[string]string{"keys.extra.next.kid": "n"}
	}
	if f.key == "keys.*.next.kid" {
		beside = map[string]string{"keys.extra.next.private_key_file": pem}
	}
	return byKind(f, pem), beside
}

// oneToken is one of console.tokens.
var oneToken = "ann=sha256:" + strings.Repeat("0", 64)

func byKind(f field, pem string) string {
	if len(f.values) > 0 {
		return f.values[len(f.values)-1]
	}
	switch f.kind {
	case kindURL:
		return "https://other.example"
	case kindInteger:
		return "2"
	case kindNumber:
		return "0.3"
	case kindBoolean:
		return strconv.FormatBool(f.def == "false")
	case kindDuration:
		if f.least == "1h" {
			return "2h"
		}
		return "1s"
	case kindSize:
		return "3MiB"
	case kindList:
		if f.key == "redox.headers" {
			return "X-Other"
		}
		return "other.>"
	case kindFile, kindNewFile, kindSecretFile:
		return pem
	case kindDir:
		return filepath.Dir(pem)
	case kindSecret:
		return "-----BEGIN PRIVATE KEY-----"
	default:
		return "other"
	}
}

// TestLoad_EveryKeyInEveryLayer sets each key in the file, in the environment and
// on the command line: it takes effect, and the same effect.
func TestLoad_EveryKeyInEveryLayer(t *testing.T) {
	t.Parallel()
	base := writeConfig(t, minimal)
	dir := filepath.Dir(base)
	write(t, dir, "user.creds", "-----BEGIN NATS USER JWT-----")
	write(t, dir, "user.nk", "SUAXXXX")
	write(t, dir, "session.key", strings.Repeat("k", 32))
	for _, f := range fields {
		t.Run(f.key, func(t *testing.T) {
			t.Parallel()
			value, beside := valid(f, dir)
			key := f.named("extra")
			all := map[string]string{key: value}
			for k, v := range beside {
				all[k] = v
			}
			var environ, lines []string
			flags := map[string]any{}
			for k, v := range all {
				environ = append(environ, envName(k)+"="+v)
				flags[k] = v
				lines = append(lines, nested(k, v))
			}
			skip := PartSources | PartKeys
			want := mustLoad(t, Options{Flags: flags, Skip: skip})
			if got := want.Origin(key); got != onCommandLine {
				t.Errorf("origin: %s", got)
			}
			without := Defaults()
			if cmpConfigs(want, &without) == "" {
				t.Fatalf("%s = %s changes nothing", key, value)
			}
			if d := cmpConfigs(want, mustLoad(t, Options{Environ: environ, Skip: skip})); d != "" {
				t.Errorf("(-command line +environment)\n%s", d)
			}
			if len(lines) > 1 {
				return // two keys would need one section in the file; the other tests have that
			}
			file := write(t, t.TempDir(), "x.yaml", lines[0])
			if d := cmpConfigs(want, mustLoad(t, Options{File: file, Skip: skip})); d != "" {
				t.Errorf("(-command line +file)\n%s", d)
			}
		})
	}
}

// nested writes one key as YAML in flow style.
func nested(key, value string) string {
	parts := strings.Split(key, ".")
	return strings.Join(parts, ": {") + fmt.Sprintf(": %q", value) + strings.Repeat("}", len(parts)-1)
}

func TestLoad_Bounds(t *testing.T) {
	t.Parallel()
	tried := 0
	for _, f := range fields {
		for _, tt := range bounds(f) {
			tried++
			key := f.named("extra")
			_, err := Load(Options{Flags: map[string]any{key: tt.value}, Skip: PartKeys | PartSources})
			got := err == nil || !strings.Contains(err.Error(), key+": ") // another key may miss something beside it
			if got != tt.ok {
				t.Errorf("%s = %s: accepted %v, want %v: %v", key, tt.value, got, tt.ok, err)
			}
		}
	}
	if tried < 40 {
		t.Errorf("only %d bounds were tried", tried)
	}
}

type bound struct {
	value string
	ok    bool
}

// bounds lists the last values that are allowed, and the first that are not.
func bounds(f field) []bound {
	step := func(text string, by int) string {
		switch f.kind {
		case kindDuration:
			d, _ := parseDuration(text)
			return (d + time.Duration(by)*time.Microsecond).String()
		case kindNumber:
			return fmt.Sprint(f.kind.amount(text) + float64(by)*0.001)
		default:
			return fmt.Sprint(int64(f.kind.amount(text)) + int64(by))
		}
	}
	var out []bound
	if f.least != "" {
		out = append(out, bound{f.least, true}, bound{step(f.least, -1), false})
	}
	if f.most != "" {
		out = append(out, bound{f.most, !f.below}, bound{step(f.most, 1), false}, bound{step(f.most, -1), true})
	}
	for _, v := range f.values {
		out = append(out, bound{v, true}, bound{v + "x", false})
	}
	return out
}

func TestLoad_ManyAtOnce(t *testing.T) {
	t.Parallel()
	file := writeConfig(t, everything)
	want := string(mustLoad(t, Options{File: file}).YAML())
	results := make(chan string)
	for range 8 {
		go func() {
			c, err := Load(Options{File: file})
			if err != nil {
				results <- err.Error()
				return
			}
			results <- string(c.YAML())
		}()
	}
	for range 8 {
		if got := <-results; got != want {
			t.Errorf("another result: %s", got)
		}
	}
}

func TestConfig_ListsAreCopies(t *testing.T) {
	t.Parallel()
	c := mustLoad(t, Options{File: writeConfig(t, everything)})
	files := c.Files()
	files[0] = "changed"
	if slices.Contains(c.Files(), "changed") {
		t.Error("Files gives its own list away")
	}
	ref := Reference()
	for i := range ref {
		if len(ref[i].Values) > 0 {
			ref[i].Values[0] = "changed"
		}
	}
	for _, f := range Reference() {
		if slices.Contains(f.Values, "changed") {
			t.Fatalf("Reference gives the table's values of %s away", f.Key)
		}
	}
}

func BenchmarkLoad(b *testing.B) {
	file := writeConfig(b, everything)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Load(Options{File: file}); err != nil {
			b.Fatal(err)
		}
	}
}
