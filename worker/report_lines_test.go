package worker_test

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/worker"
)

// A line says what there is to say, and names nothing that is empty. A dead letter is a warning.
func TestReport_LinesNameNothingEmpty(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.far.Answer = func(_ context.Context, m outbox.Message, n int) (outbox.Answer, error) {
			switch {
			case m.ID == "rejected":
				return outbox.Answer{Status: 400}, worker.Permanent(errors.New("no"))
			case m.ID == "waits" && n == 1:
				return outbox.Answer{}, worker.NotAttempted(errFar, "")
			case m.ID == "retried" && n == 1:
				return outbox.Answer{}, errors.New("reset")
			}
			return outbox.Answer{Status: 200, LogIDs: []string{"log"}}, nil
		}
		out := new(logged)
		stop := r.start(worker.Config{Version: "v1.2.3", Logger: slog.New(slog.NewJSONHandler(out, &slog.HandlerOptions{Level: slog.LevelDebug}))})
		for _, id := range []string{"rejected", "waits", "retried", "delivered"} {
			r.publish(outbox.Message{ID: id})
		}
		r.publish(outbox.Message{ID: "late", Deadline: time.Now().Add(-time.Hour)})
		for _, id := range []string{"rejected", "waits", "retried", "delivered", "late"} {
			r.awaitSettled(id)
		}
		stop()
		levels := map[string]string{}
		for line := range strings.Lines(out.String()) {
			var m map[string]any
			if err := json.Unmarshal([]byte(line), &m); err != nil {
				t.Fatal(err)
			}
			for key, value := range m {
				if value == nil || value == "" || (value == 0.0 || value == false) && slices.Contains([]string{"status", "delay", "possible_duplicate"}, key) {
					t.Errorf("%s is empty: %s", key, line)
				}
			}
			if m["msg"] == "message settled" {
				levels[m["message"].(string)] = m["level"].(string)
			}
			if m["msg"] == "worker started" && m["version"] != "v1.2.3" {
				t.Errorf("no version: %s", line)
			}
		}
		for id, want := range map[string]string{"rejected": "WARN", "late": "WARN", "delivered": "DEBUG", "retried": "DEBUG"} {
			if levels[id] != want {
				t.Errorf("%s was settled with a line at %q, want %s", id, levels[id], want)
			}
		}
	})
}
