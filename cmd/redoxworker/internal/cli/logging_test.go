package cli

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"
)

// A duration is for people: 1.5s, not 1500000000.
func TestLogHandler_ReadableDurations(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	slog.New((&App{}).LogHandler(&out, "json", slog.LevelInfo)).Info("paused", "for", 1500*time.Millisecond)
	if !strings.Contains(out.String(), `"for":"1.5s"`) {
		t.Error(out.String())
	}
}

// What says nothing is left out, on a terminal as in JSON.
func TestLogHandler_LeavesOutWhatIsEmpty(t *testing.T) {
	t.Parallel()
	for _, format := range []string{"json", "tint"} {
		var out bytes.Buffer
		slog.New((&App{}).LogHandler(&out, format, slog.LevelInfo)).Info("said", "text", "", "nothing", nil, "list", []string(nil), "named", named(""), "error", error(nil), "zero", 0, "full", "x")
		got := out.String()
		for _, empty := range []string{"text", "nothing", "list", "named", "error"} {
			if strings.Contains(got, empty) {
				t.Errorf("%s: %s is shown: %s", format, empty, got)
			}
		}
		if !strings.Contains(got, "zero") || !strings.Contains(got, "full") || !strings.Contains(got, "said") {
			t.Errorf("%s: %s", format, got)
		}
	}
}

type named string
