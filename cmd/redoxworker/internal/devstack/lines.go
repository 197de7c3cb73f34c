package devstack

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jedib0t/go-pretty/v6/text"

	"github.com/redoxworker/redoxworker/cmd/redoxworker/internal/cli"
	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/worker"
)

// happening is a line of demo and dev: what became of a message. It names messages and
// shows nothing of their content.
type happening struct {
	At      float64 `json:"at"` // seconds since the start
	Event   string  `json:"event"`
	Message string  `json:"message,omitempty"`
	Name    string  `json:"name,omitempty"` // DataModel.EventType, where known
	Source  string  `json:"source,omitempty"`
	Lane    string  `json:"lane,omitempty"`
	Status  int     `json:"status,omitempty"`
	Attempt int     `json:"attempt,omitempty"`
	Took    float64 `json:"took,omitempty"`  // seconds
	Delay   float64 `json:"delay,omitempty"` // seconds until the next attempt
	Error   string  `json:"error,omitempty"`
	Detail  string  `json:"-"` // the rest of the line, for people
}

// happened turns a worker's event into a line; false for those that have none.
func happened(e worker.Event) (happening, bool) {
	h := happening{Event: string(e.Kind), Message: e.MessageID, Source: e.Source, Lane: string(e.Lane), Status: e.Status,
		Attempt: e.Attempt, Delay: e.Delay.Seconds(), Error: e.Error}
	switch e.Kind {
	case worker.EventSettled:
		h.Event, h.Took = string(e.Settlement), e.Duration.Seconds()
		h.Detail = settledDetail(e)
		if e.Settlement == outbox.Delivered && e.Lane == contract.LaneRequest {
			h.Event = "answered"
		}
	case worker.EventRetry:
		h.Detail = fmt.Sprintf("%s; again in %s", cause(e), short(e.Delay))
	case worker.EventWait:
		h.Detail = fmt.Sprintf("not sent: %s; again in %s", cause(e), short(e.Delay))
	case worker.EventPaused:
		if h.Message, h.Detail = e.Scope, "until it is resumed"; e.Delay > 0 {
			h.Detail = fmt.Sprintf("for %s", short(e.Delay))
		}
	case worker.EventResumed:
		h.Message = e.Scope
	case worker.EventAbandoned:
		h.Detail = "its lease was lost; another worker may have it"
	default: // an attempt begins: what comes of it is told soon
		return happening{}, false
	}
	return h, true
}

func settledDetail(e worker.Event) string {
	switch {
	case e.DeadLettered:
		return cause(e) + "; kept in " + contract.Prefix("").DeadStream()
	case e.Settlement != outbox.Delivered:
		return cause(e) + "; the caller was told"
	}
	text := fmt.Sprintf("%d in %s", e.Status, short(e.Duration))
	if e.Attempt > 1 {
		text += fmt.Sprintf(", attempt %d", e.Attempt)
	}
	if e.Error != "" {
		text += ": " + e.Error
	}
	return text
}

// cause is why a message was not delivered, beginning with the status where there is one.
func cause(e worker.Event) string {
	if e.Status == 0 {
		return e.Error
	}
	status := strconv.Itoa(e.Status)
	_, text, _ := strings.Cut(e.Error, "status "+status+": ")
	if text == "" {
		text = e.Error
	}
	return strings.TrimSuffix(status+": "+text, ": ")
}

// short shows a duration with the digits that matter.
func short(d time.Duration) string {
	switch {
	case d < time.Second:
		return d.Round(time.Millisecond).String()
	case d < time.Minute:
		return d.Round(10 * time.Millisecond).String()
	default:
		return d.Round(time.Second).String()
	}
}

// lines prints happenings without making anybody wait: where the reader is slower than the
// worker, lines are left out and counted.
type lines struct {
	out     io.Writer
	start   time.Time
	width   int // of the message's name
	json    bool
	color   bool
	queue   chan happening
	skipped atomic.Int64
	done    chan struct{}
}

// newLines starts printing to stdout; the caller ends it with close.
func newLines(a *cli.App, width int) *lines {
	l := &lines{out: a.Stdout, start: time.Now(), width: width, json: a.Globals.JSON, color: a.Color(a.Stdout),
		queue: make(chan happening, 1024), done: make(chan struct{})}
	go func() {
		defer close(l.done)
		for h := range l.queue {
			l.print(h)
		}
	}()
	return l
}

// show a happening. Not after close.
func (l *lines) show(h happening) {
	h.At = time.Since(l.start).Seconds()
	select {
	case l.queue <- h:
	default:
		l.skipped.Add(1)
	}
}

// close waits until all is printed.
func (l *lines) close() {
	close(l.queue)
	<-l.done
}

func (l *lines) print(h happening) {
	if n := l.skipped.Swap(0); n > 0 && !l.json {
		fmt.Fprintf(l.out, "         (%d lines left out)\n", n)
	}
	if l.json {
		_ = json.NewEncoder(l.out).Encode(h) // a closed pipe is the reader's wish
		return
	}
	name := h.Name
	if name == "" {
		name = h.Message
	}
	line := fmt.Sprintf("%s  %s  %-*s  %s", cli.Paint(l.color, text.Faint, fmt.Sprintf("%6.2fs", h.At)),
		cli.Paint(l.color, colorOf(h.Event), fmt.Sprintf("%-9s", h.Event)), l.width, name, cli.Paint(l.color, text.Faint, h.Detail))
	fmt.Fprintln(l.out, strings.TrimRight(line, " "))
}

func colorOf(event string) text.Color {
	switch event {
	case "delivered", "answered", "resumed":
		return text.Bold
	case "publish":
		return text.Faint
	case "retry", "renew", "wait", "paused", "abandoned":
		return text.FgMagenta
	default: // what was not delivered
		return text.FgRed
	}
}
