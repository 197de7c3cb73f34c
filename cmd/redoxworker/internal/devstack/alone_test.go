package devstack

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/redoxworker/redoxworker/cmd/redoxworker/internal/cli"
)

func TestStandsAlone(t *testing.T) {
	t.Parallel()
	set := map[string]string{"worker.concurrency": "1"}
	for name, tt := range map[string]struct {
		globals cli.Globals
		command string
		flag    string // that is refused
	}{
		"nothing":      {cli.Globals{}, "demo", ""},
		"log and json": {cli.Globals{LogLevel: "debug", LogFormat: "json", JSON: true}, "sim", ""},
		"settings":     {cli.Globals{Set: set}, "dev", ""},
		"sim settings": {cli.Globals{Set: set}, "sim", "--set"},
		"server":       {cli.Globals{Server: "nats://127.0.0.1:1"}, "demo", "--server"},
		"config":       {cli.Globals{ConfigFile: "x.yaml"}, "dev", "--config"},
		"context":      {cli.Globals{Context: "prod"}, "dev", "--context"},
		"creds":        {cli.Globals{Creds: "x"}, "demo", "--creds"},
		"nkey":         {cli.Globals{Nkey: "x"}, "demo", "--nkey"},
		"user":         {cli.Globals{User: "x"}, "demo", "--user"},
		"tls":          {cli.Globals{TLSCA: "x"}, "demo", "--tlsca"},
	} {
		err := standsAlone(&cli.App{Globals: tt.globals}, tt.command)
		var usage cli.UsageError
		if (err != nil) != (tt.flag != "") || err != nil && (!errors.As(err, &usage) || !strings.HasPrefix(err.Error(), tt.flag+": "+tt.command)) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// The environment of a production host must not reach a demo, except for how it logs.
func TestLogSettings(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		environ []string
		globals cli.Globals
		level   string
		want    []string
		flags   map[string]any
	}{
		"default":     {nil, cli.Globals{}, "warn", nil, map[string]any{"log.level": "warn"}},
		"none":        {nil, cli.Globals{}, "", nil, map[string]any{}},
		"flags":       {nil, cli.Globals{LogLevel: "debug", LogFormat: "json"}, "warn", nil, map[string]any{"log.level": "debug", "log.format": "json"}},
		"environment": {[]string{"REDOXWORKER_NATS_URL=nats://prod", "REDOXWORKER_LOG_LEVEL=info", "REDOXWORKER_CONFIG=x"}, cli.Globals{}, "warn", []string{"REDOXWORKER_LOG_LEVEL=info"}, map[string]any{}},
		"both":        {[]string{"REDOXWORKER_LOG_LEVEL=info"}, cli.Globals{LogLevel: "error"}, "warn", []string{"REDOXWORKER_LOG_LEVEL=info"}, map[string]any{"log.level": "error"}},
	} {
		environ, flags := logSettings(&cli.App{Environ: tt.environ, Globals: tt.globals}, tt.level)
		if diff := cmp.Diff(tt.want, environ) + cmp.Diff(tt.flags, flags); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestStandaloneLogger(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	a := &cli.App{Stderr: &out, Environ: []string{"REDOXWORKER_NATS_URL=not a url"}}
	log, err := standaloneLogger(a, "warn")
	if err != nil {
		t.Fatal(err)
	}
	log.Info("quiet")
	log.Warn("loud")
	if text := out.String(); strings.Contains(text, "quiet") || !strings.Contains(text, "loud") {
		t.Errorf("logged %s", text)
	}
	a.Globals.LogLevel = "shouting"
	if _, err := standaloneLogger(a, "warn"); err == nil || !strings.HasPrefix(err.Error(), "log.level: ") {
		t.Errorf("error %v", err)
	}
}

func TestShellWord(t *testing.T) {
	t.Parallel()
	for word, want := range map[string]string{
		"/tmp/dev-1/config.yaml": "/tmp/dev-1/config.yaml", "": "''", "my data/a.json": "'my data/a.json'", "it's": `'it'\''s'`, "$HOME": "'$HOME'", "a;b": "'a;b'", "~": "'~'",
	} {
		if got := shellWord(word); got != want {
			t.Errorf("%s: %s, want %s", word, got, want)
		}
	}
}
