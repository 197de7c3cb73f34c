package main

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestStandsAlone(t *testing.T) {
	t.Parallel()
	set := map[string]string{"worker.concurrency": "1"}
	for name, tt := range map[string]struct {
		globals globals
		command string
		flag    string // that is refused
	}{
		"nothing":      {globals{}, "demo", ""},
		"log and json": {globals{LogLevel: "debug", LogFormat: "json", JSON: true}, "sim", ""},
		"settings":     {globals{Set: set}, "dev", ""},
		"sim settings": {globals{Set: set}, "sim", "--set"},
		"server":       {globals{Server: "nats://127.0.0.1:1"}, "demo", "--server"},
		"config":       {globals{ConfigFile: "x.yaml"}, "dev", "--config"},
		"context":      {globals{Context: "prod"}, "dev", "--context"},
		"creds":        {globals{Creds: "x"}, "demo", "--creds"},
		"nkey":         {globals{Nkey: "x"}, "demo", "--nkey"},
		"user":         {globals{User: "x"}, "demo", "--user"},
		"tls":          {globals{TLSCA: "x"}, "demo", "--tlsca"},
	} {
		err := (&app{globals: tt.globals}).standsAlone(tt.command)
		var usage usageError
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
		globals globals
		level   string
		want    []string
		flags   map[string]any
	}{
		"default":     {nil, globals{}, "warn", nil, map[string]any{"log.level": "warn"}},
		"none":        {nil, globals{}, "", nil, map[string]any{}},
		"flags":       {nil, globals{LogLevel: "debug", LogFormat: "json"}, "warn", nil, map[string]any{"log.level": "debug", "log.format": "json"}},
		"environment": {[]string{"REDOXWORKER_NATS_URL=nats://prod", "REDOXWORKER_LOG_LEVEL=info", "REDOXWORKER_CONFIG=x"}, globals{}, "warn", []string{"REDOXWORKER_LOG_LEVEL=info"}, map[string]any{}},
		"both":        {[]string{"REDOXWORKER_LOG_LEVEL=info"}, globals{LogLevel: "error"}, "warn", []string{"REDOXWORKER_LOG_LEVEL=info"}, map[string]any{"log.level": "error"}},
	} {
		environ, flags := (&app{environ: tt.environ, globals: tt.globals}).logSettings(tt.level)
		if diff := cmp.Diff(tt.want, environ) + cmp.Diff(tt.flags, flags); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestStandaloneLogger(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	a := &app{stderr: &out, environ: []string{"REDOXWORKER_NATS_URL=not a url"}}
	log, err := a.standaloneLogger("warn")
	if err != nil {
		t.Fatal(err)
	}
	log.Info("quiet")
	log.Warn("loud")
	if text := out.String(); strings.Contains(text, "quiet") || !strings.Contains(text, "loud") {
		t.Errorf("logged %s", text)
	}
	a.globals.LogLevel = "shouting"
	if _, err := a.standaloneLogger("warn"); err == nil || !strings.HasPrefix(err.Error(), "log.level: ") {
		t.Errorf("error %v", err)
	}
}

// A duration is for people: 1.5s, not 1500000000.
func TestLogHandler_ReadableDurations(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	slog.New((&app{}).logHandler(&out, "json", slog.LevelInfo)).Info("paused", "for", 1500*time.Millisecond)
	if !strings.Contains(out.String(), `"for":"1.5s"`) {
		t.Error(out.String())
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
