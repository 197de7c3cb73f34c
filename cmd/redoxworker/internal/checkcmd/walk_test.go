package checkcmd

import (
	"bytes"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/worker"
)

func TestWalkThrough_IsWhatAWorkerDoes(t *testing.T) {
	t.Parallel()
	r := worker.Config{}.WithDefaults().Retry
	for name, tt := range map[string]struct {
		retry       worker.Retry
		limit, took time.Duration
		part        float64
		attempts    int
		ends        outbox.Settlement
		lasts       time.Duration // at most
	}{
		"a day with the longest waits": {retry: r, limit: 24 * time.Hour, part: 1, attempts: 159, ends: outbox.Expired, lasts: 24 * time.Hour},
		"a day of answers that hang":   {retry: r, limit: 24 * time.Hour, took: 150 * time.Second, part: 1, attempts: 122, ends: outbox.Expired, lasts: 24*time.Hour + 150*time.Second},
		"for ever":                     {retry: r, part: 1},
		"no time at all":               {retry: r, limit: time.Second, part: 1, attempts: 1, ends: outbox.Expired, lasts: time.Second},
		"attempts first":               {retry: attempts(r, 4), limit: 24 * time.Hour, part: 1, attempts: 4, ends: outbox.Exhausted, lasts: 14 * time.Second},
		"age first":                    {retry: attempts(r, 4), limit: 5 * time.Second, part: 1, attempts: 3, ends: outbox.Expired, lasts: 5 * time.Second},
		"many attempts":                {retry: attempts(r, 1000000), part: 1, attempts: 1000000, ends: outbox.Exhausted, lasts: 600000000 * time.Second},
		"tiny steps":                   {retry: worker.Retry{Initial: time.Millisecond, Max: time.Millisecond}, limit: time.Hour, part: 1, attempts: 3600001, ends: outbox.Expired, lasts: time.Hour},
	} {
		w := walkThrough(tt.retry, tt.limit, tt.took, tt.part)
		if w.attempts != tt.attempts || w.ends != tt.ends || w.lasts > tt.lasts {
			t.Errorf("%s: %d attempts, %q after %v", name, w.attempts, w.ends, w.lasts)
		}
	}
}

func attempts(r worker.Retry, n int) worker.Retry {
	r.MaxAttempts = n
	return r
}

// A walk that skips what is alike ends where one does that takes each step.
func TestWalkThrough_SkipsNothingThatMatters(t *testing.T) {
	t.Parallel()
	r := worker.Config{}.WithDefaults().Retry
	for limit := 3 * time.Hour; limit < 30*time.Hour; limit += 17*time.Minute + 13*time.Second {
		for _, part := range []float64{0.5, 1} {
			w := walkThrough(r, limit, time.Second, part)
			n, now := slowly(r, limit, time.Second, part)
			if w.attempts != n || w.lasts != now {
				t.Errorf("%v: %d attempts in %v, want %d in %v", limit, w.attempts, w.lasts, n, now)
			}
		}
	}
}

func slowly(r worker.Retry, limit, took time.Duration, part float64) (n int, now time.Duration) {
	for n = 1; ; n++ {
		now += took
		wait, drawn, ok := r.Next(n, 0, limit-now, true)
		if !ok {
			return n, now
		}
		if drawn {
			wait = time.Duration(float64(wait) * part)
		}
		now += wait
	}
}

// The figures of pauses are those that worker/DESIGN.md has, and the code.
func TestAnswers_PausesAreThoseOfTheWorker(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../../../worker/DESIGN.md")
	if err != nil {
		t.Fatal(err)
	}
	for row, want := range map[string]string{
		"| `key:": "| 2 s, 60 s |", "| `host:": "| 1 s, 4 s |", "| `group:": "| 15 s, 5 min |", "| `dest:": "| 1 s, 30 s ",
	} {
		for line := range strings.Lines(string(text)) {
			if strings.HasPrefix(line, row) && !strings.Contains(line, want) {
				t.Errorf("%s: not %q", strings.TrimSpace(line), want)
			}
		}
		if !bytes.Contains(text, []byte(row)) {
			t.Errorf("no row %q", row)
		}
	}
	for got, want := range map[pauses]string{pausesOfKey: "2s to 1m", pausesOfHost: "1s to 4s", pausesOfGroup: "15s to 5m", pausesOfNarrow: "1s to 30s"} {
		if got.String() != want {
			t.Errorf("%v, want %s", got, want)
		}
	}
}

func TestSpan(t *testing.T) {
	t.Parallel()
	for want, d := range map[string]time.Duration{
		"0s": 0, "5ms": 5 * time.Millisecond, "2s": 2 * time.Second, "10m": 10 * time.Minute, "24h": 24 * time.Hour, "1h5m": time.Hour + 5*time.Minute, "2m6s": 126 * time.Second,
	} {
		if got := span(d); got != want {
			t.Errorf("%v: %s, want %s", d, got, want)
		}
	}
}
