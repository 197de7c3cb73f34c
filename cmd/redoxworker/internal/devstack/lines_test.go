package devstack

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/redoxworker/redoxworker/cmd/redoxworker/internal/cli"
	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/worker"
)

func TestHappened(t *testing.T) {
	t.Parallel()
	const ms = time.Millisecond
	for name, tt := range map[string]struct {
		event  worker.Event
		want   string // the event's word
		detail string
	}{
		"delivered": {worker.Event{Kind: worker.EventSettled, Lane: contract.LaneSend, Settlement: outbox.Delivered, Status: 200, Attempt: 1, Duration: 24 * ms},
			"delivered", "200 in 24ms"},
		"delivered later": {worker.Event{Kind: worker.EventSettled, Lane: contract.LaneOrdered, Settlement: outbox.Delivered, Status: 200, Attempt: 3, Duration: 75 * time.Second},
			"delivered", "200 in 1m15s, attempt 3"},
		"delivered and flagged": {worker.Event{Kind: worker.EventSettled, Settlement: outbox.Delivered, Status: 200, Attempt: 1, Error: "the answer is not JSON", Duration: 1234 * ms},
			"delivered", "200 in 1.23s: the answer is not JSON"},
		"a query": {worker.Event{Kind: worker.EventSettled, Lane: contract.LaneRequest, Settlement: outbox.Delivered, Status: 200, Attempt: 1, Duration: 5 * ms},
			"answered", "200 in 5ms"},
		"a query that was refused": {worker.Event{Kind: worker.EventSettled, Lane: contract.LaneRequest, Settlement: outbox.Rejected, Status: 403, Error: "refused: status 403: redox refused it"},
			"rejected", "403: redox refused it; the caller was told"},
		"a query of nobody": {worker.Event{Kind: worker.EventSettled, Lane: contract.LaneRequest, Settlement: outbox.Rejected, DeadLettered: true, Status: 403, Error: "refused: status 403: redox refused it"},
			"rejected", "403: redox refused it; kept in REDOX_DLQ"},
		"expired without an answer": {worker.Event{Kind: worker.EventSettled, Settlement: outbox.Expired, DeadLettered: true, Error: "the deadline passed"},
			"expired", "the deadline passed; kept in REDOX_DLQ"},
		"retry": {worker.Event{Kind: worker.EventRetry, Status: 503, Error: "unavailable: status 503: redox could not take it now", Delay: 312 * ms},
			"retry", "503: redox could not take it now; again in 312ms"},
		"retry without a text": {worker.Event{Kind: worker.EventRetry, Status: 503, Delay: 312 * ms}, "retry", "503; again in 312ms"},
		"retry of another text": {worker.Event{Kind: worker.EventRetry, Status: 504, Error: "unknown outcome", Delay: time.Second},
			"retry", "504: unknown outcome; again in 1s"},
		"wait": {worker.Event{Kind: worker.EventWait, Error: "no token", Delay: 2 * time.Second}, "wait", "not sent: no token; again in 2s"},
		"pause": {worker.Event{Kind: worker.EventPaused, Scope: "key:main", Delay: 15 * time.Second},
			"paused", "for 15s"},
		"pause by hand": {worker.Event{Kind: worker.EventPaused, Scope: "source:clinic-a", Operator: true}, "paused", "until it is resumed"},
		"resumed":       {worker.Event{Kind: worker.EventResumed, Scope: "key:main"}, "resumed", ""},
		"abandoned":     {worker.Event{Kind: worker.EventAbandoned}, "abandoned", "its lease was lost; another worker may have it"},
	} {
		got, ok := happened(tt.event)
		if !ok || got.Event != tt.want || got.Detail != tt.detail {
			t.Errorf("%s: %q, %q, %v", name, got.Event, got.Detail, ok)
		}
		if tt.event.Scope != "" && got.Message != tt.event.Scope {
			t.Errorf("%s: the scope is not named", name)
		}
	}
	if _, ok := happened(worker.Event{Kind: worker.EventAttempt}); ok {
		t.Error("the start of an attempt has a line")
	}
}

func TestLines_Text(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	l := newLines(&cli.App{Stdout: &out}, 10)
	l.show(happening{Event: "publish", Message: "m-1", Detail: "clinic-a, send"})
	l.show(happening{Event: "delivered", Message: "m-1", Name: "Order.New", Detail: "200 in 4ms"})
	l.show(happening{Event: "resumed", Message: "key:main"})
	l.close()
	var got []string
	for line := range strings.Lines(out.String()) {
		at, rest, _ := strings.Cut(strings.TrimLeft(line, " "), "s")
		if len(at) < len("0.00") {
			t.Errorf("no time in %q", line)
		}
		got = append(got, rest)
	}
	want := []string{"  publish    m-1         clinic-a, send\n", "  delivered  Order.New   200 in 4ms\n", "  resumed    key:main\n"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestLines_Color(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	l := &lines{out: &out, color: true, width: 3}
	for event, color := range map[string]string{"delivered": "1", "answered": "1", "publish": "2", "retry": "35", "renew": "35",
		"wait": "35", "rejected": "31", "poison": "31"} {
		out.Reset()
		l.print(happening{Event: event, Message: "m", Detail: "x"})
		if want := "\x1b[" + color + "m" + event; !strings.Contains(out.String(), want) || strings.Count(out.String(), "\x1b[0m") != 3 {
			t.Errorf("%s: %q", event, out.String())
		}
	}
}

func TestLines_JSON(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	a := &cli.App{Stdout: &out, Globals: cli.Globals{JSON: true}}
	l := newLines(a, 10)
	l.show(happening{Event: "retry", Message: "m-1", Source: "clinic-a", Lane: "send", Status: 503, Attempt: 1, Delay: 0.5, Error: "unavailable", Detail: "not here"})
	l.close()
	var got map[string]any
	if err := json.Unmarshal(out.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	delete(got, "at")
	want := map[string]any{"event": "retry", "message": "m-1", "source": "clinic-a", "lane": "send", "status": 503.0, "attempt": 1.0, "delay": 0.5, "error": "unavailable"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// stuckWriter blocks the first write until it is let go.
type stuckWriter struct {
	bytes.Buffer
	entered, release chan struct{}
}

func (w *stuckWriter) Write(p []byte) (int, error) {
	if w.entered != nil {
		close(w.entered)
		<-w.release
		w.entered = nil
	}
	return w.Buffer.Write(p)
}

// A terminal that stands still must not hold up deliveries.
func TestLines_SlowReaderLosesLinesAndHoldsUpNobody(t *testing.T) {
	t.Parallel()
	w := &stuckWriter{entered: make(chan struct{}), release: make(chan struct{})}
	entered := w.entered
	l := newLines(&cli.App{Stdout: w}, 5)
	l.show(happening{Event: "publish", Message: "first"})
	<-entered
	for range cap(l.queue) + 7 {
		l.show(happening{Event: "delivered", Message: "later"})
	}
	close(w.release)
	l.close()
	if text := w.String(); !strings.Contains(text, "(7 lines left out)") || strings.Count(text, "later") != cap(l.queue) {
		t.Errorf("%d lines, %.200s", strings.Count(text, "later"), text)
	}
}

type closedPipe struct{}

func (closedPipe) Write([]byte) (int, error) { return 0, errors.New("broken pipe") }

func TestLines_ClosedPipe(t *testing.T) {
	t.Parallel()
	for _, asJSON := range []bool{false, true} {
		l := newLines(&cli.App{Stdout: closedPipe{}, Globals: cli.Globals{JSON: asJSON}}, 5)
		l.show(happening{Event: "publish"})
		l.close()
	}
}

func TestShort(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration]string{
		0: "0s", 400 * time.Microsecond: "0s", 24*time.Millisecond + 600*time.Microsecond: "25ms", 1234 * time.Millisecond: "1.23s",
		59994 * time.Millisecond: "59.99s", 75*time.Second + 300*time.Millisecond: "1m15s", 2 * time.Hour: "2h0m0s",
	} {
		if got := short(d); got != want {
			t.Errorf("%v: %s, want %s", d, got, want)
		}
	}
}
