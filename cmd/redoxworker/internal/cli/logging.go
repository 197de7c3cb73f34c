package cli

import (
	"io"
	"log"
	"log/slog"
	"reflect"
	"time"

	"github.com/jedib0t/go-pretty/v6/text"
	"github.com/lmittmann/tint"

	"github.com/redoxworker/redoxworker/config"
)

// Logger writes to stderr: tint on a terminal, JSON otherwise, or what the configuration
// says. NO_COLOR and TERM=dumb are honoured.
func (a *App) Logger(c config.Log) (*slog.Logger, error) {
	log, _, err := a.LeveledLogger(c)
	return log, err
}

// LeveledLogger returns a logger whose level can be changed while it is in use.
func (a *App) LeveledLogger(c config.Log) (*slog.Logger, *slog.LevelVar, error) {
	level := new(slog.LevelVar)
	if err := level.UnmarshalText([]byte(c.Level)); err != nil {
		return nil, nil, Usagef("log.level: %q is none of debug, info, warn and error", c.Level)
	}
	return slog.New(a.LogHandler(a.Stderr, c.Format, level)), level, nil
}

// LogHandler is the handler of a format: json, tint, or auto, which is tint on a terminal and JSON otherwise.
func (a *App) LogHandler(w io.Writer, format string, level slog.Leveler) slog.Handler {
	if format == "tint" || format != "json" && IsTerminal(w) {
		return tint.NewTextHandler(w, &tint.Options{Level: level, TimeFormat: time.TimeOnly, ReplaceAttr: withoutEmpty, NoColor: !a.Color(w)})
	}
	return slog.NewJSONHandler(w, &slog.HandlerOptions{Level: level, ReplaceAttr: func(groups []string, attr slog.Attr) slog.Attr {
		return readableDuration(groups, withoutEmpty(groups, attr))
	}})
}

// withoutEmpty leaves out an attribute that says nothing: an empty text or list, or nil.
func withoutEmpty(_ []string, attr slog.Attr) slog.Attr {
	switch attr.Value.Kind() {
	case slog.KindString:
		if attr.Value.String() == "" && attr.Key != slog.MessageKey {
			return slog.Attr{}
		}
	case slog.KindAny:
		switch v := reflect.ValueOf(attr.Value.Any()); v.Kind() {
		case reflect.Invalid:
			return slog.Attr{}
		case reflect.Slice, reflect.Map, reflect.String:
			if v.Len() == 0 {
				return slog.Attr{}
			}
		}
	}
	return attr
}

// DropStandardLog silences the standard logger. net/http has no other to say what it finds
// on an idle connection to Redox, and quotes it: the rest of an answer that is longer than it
// said, with a token or a patient's data in it.
func DropStandardLog() { log.SetOutput(io.Discard) }

// readableDuration writes 1.5s where JSON would have 1500000000.
func readableDuration(_ []string, attr slog.Attr) slog.Attr {
	if attr.Value.Kind() == slog.KindDuration {
		attr.Value = slog.StringValue(attr.Value.Duration().String())
	}
	return attr
}

// Paint colors a line where colors are wanted; an empty one stays empty.
func Paint(wanted bool, c text.Color, line string) string {
	if !wanted || line == "" {
		return line
	}
	return c.EscapeSeq() + line + text.Reset.EscapeSeq()
}

// Color reports whether a stream takes colors.
func (a *App) Color(stream any) bool {
	return a.Env("NO_COLOR") == "" && a.Env("TERM") != "dumb" && IsTerminal(stream)
}
