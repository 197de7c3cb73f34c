package main

import (
	"fmt"
	"io"
	"log"
	"log/slog"
	"time"

	"github.com/lmittmann/tint"

	"github.com/redoxworker/redoxworker/config"
)

// logger writes to stderr: tint on a terminal, JSON otherwise, or what the configuration
// says. NO_COLOR and TERM=dumb are honoured.
func (a *app) logger(c config.Log) (*slog.Logger, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(c.Level)); err != nil {
		return nil, usagef("log.level: %q is none of debug, info, warn and error", c.Level)
	}
	return slog.New(a.logHandler(a.stderr, c.Format, level)), nil
}

func (a *app) logHandler(w io.Writer, format string, level slog.Level) slog.Handler {
	if format == "tint" || format != "json" && isTerminal(w) {
		return tint.NewTextHandler(w, &tint.Options{Level: level, TimeFormat: time.TimeOnly, NoColor: !a.color(w)})
	}
	return slog.NewJSONHandler(w, &slog.HandlerOptions{Level: level, ReplaceAttr: readableDuration})
}

// dropStandardLog silences the standard logger. net/http has no other to say what it finds
// on an idle connection to Redox, and quotes it: the rest of an answer that is longer than it
// said, with a token or a patient's data in it.
func dropStandardLog() { log.SetOutput(io.Discard) }

// readableDuration writes 1.5s where JSON would have 1500000000.
func readableDuration(_ []string, attr slog.Attr) slog.Attr {
	if attr.Value.Kind() == slog.KindDuration {
		attr.Value = slog.StringValue(attr.Value.Duration().String())
	}
	return attr
}

// color reports whether a stream takes colors.
func (a *app) color(stream any) bool {
	return a.env("NO_COLOR") == "" && a.env("TERM") != "dumb" && isTerminal(stream)
}

// printf writes to stdout. A closed pipe is the reader's wish and no error.
func (a *app) printf(format string, args ...any) { fmt.Fprintf(a.stdout, format, args...) }
