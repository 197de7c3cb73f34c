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
