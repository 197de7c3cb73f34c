package worker_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/topology"
	"github.com/redoxworker/redoxworker/worker"
	"github.com/redoxworker/redoxworker/worker/workertest"
	"github.com/redoxworker/redoxworker/worker/workertest/bubble"
)

// take answers the messages of the lines since the last call.
func (l *logged) take(t *testing.T) (messages []string) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	for line := range strings.Lines(l.all.String()) {
		var m map[string]any
		if err := json.Unmarshal([]byte(line), &m); err != nil {
			t.Fatal(err)
		}
		messages = append(messages, m["msg"].(string))
	}
	l.all.Reset()
	return messages
}

// How long an outage takes, and of how many sources.
const (
	outageSources = 25
	outageTime    = 10 * time.Minute
)

// outage is something that goes wrong for all sources.
type outage struct {
	begin, end  func(o *outageRig)
	first, last string // of the log: alternatives, separated by |
	kinds       int    // of lines that are repeated once a minute
}

type outageRig struct {
	*rig
	cable   *cable
	admin   jetstream.JetStream
	sources []string
	mu      sync.Mutex
	fault   error
}

func (o *outageRig) fail(err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.fault = err
}

func (o *outageRig) provision() {
	o.Helper()
	if _, err := (topology.Topology{}).Ensure(o.Context(), o.admin); err != nil {
		o.Fatal(err)
	}
}

// publishAll publishes two messages of each source.
func (o *outageRig) publishAll() {
	for _, name := range o.sources {
		for range 2 {
			o.publish(outbox.Message{Source: name})
		}
	}
}

func (o *outageRig) deadLettersLimit(n int64) {
	o.Helper()
	s, err := o.admin.Stream(o.Context(), "REDOX_DLQ")
	if err != nil {
		o.Fatal(err)
	}
	c := s.CachedInfo().Config
	c.MaxMsgs = n
	if _, err := o.admin.UpdateStream(o.Context(), c); err != nil {
		o.Fatal(err)
	}
}

var outages = map[string]outage{
	"NATS away": {
		begin: func(o *outageRig) { o.cable.plug(false) }, end: func(o *outageRig) { o.cable.plug(true) },
		first: "there is no connection to NATS", last: "messages are pulled again", kinds: 2,
	},
	"queue gone": {
		begin: func(o *outageRig) {
			if err := o.admin.DeleteStream(o.Context(), "REDOX_OUT"); err != nil {
				o.Fatal(err)
			}
		},
		end:   func(o *outageRig) { o.provision() },
		first: "the queue is missing", last: "messages are pulled again", kinds: 2,
	},
	"far side answers 503": {
		begin: func(o *outageRig) { o.fail(errors.New("status 503")); o.publishAll() }, end: func(o *outageRig) { o.fail(nil) },
		first: "paused: |attempt failed", last: "what was paused is open again", kinds: 3,
	},
	"dead letters full": {
		begin: func(o *outageRig) {
			if _, err := o.admin.Publish(o.Context(), "redox.dlq.clinic-000.rejected.one", nil); err != nil {
				o.Fatal(err)
			}
			o.deadLettersLimit(1)
			o.fail(worker.Permanent(errors.New("status 400")))
			o.publishAll()
		},
		end:   func(o *outageRig) { o.fail(nil); o.deadLettersLimit(-1) },
		first: "a dead letter could not be written", last: "settlements are confirmed again", kinds: 2,
	},
	"no token for any key": {
		begin: func(o *outageRig) { o.fail(errNoToken); o.publishAll() }, end: func(o *outageRig) { o.fail(nil) },
		first: "paused: |message waits", last: "what was paused is open again", kinds: 3,
	},
}

var errNoToken = errors.New("no token")

// However many sources, pullers and messages meet an outage, and however long it takes: its
// log is a line at each change, a burst of what befalls single messages, and a line a
// minute.
func TestLog_AnOutageIsAFewLines(t *testing.T) {
	for name, outage := range outages {
		t.Run(name, func(t *testing.T) { logOutage(t, name, outage) })
	}
}

func logOutage(t *testing.T, name string, outage outage) {
	workertest.Bubble(t, func(t *testing.T, _ jetstream.JetStream) {
		c := &cable{crashing: &crashing{T: t}}
		c.start(t.TempDir())
		defer c.stop()
		o := &outageRig{rig: &rig{T: t, js: c.connectBy(c), far: &workertest.Far{}}, cable: c, admin: c.connect()}
		defer o.admin.Conn().Close()
		defer o.js.Conn().Close()
		var list []worker.Source
		for i := range outageSources {
			o.sources = append(o.sources, fmt.Sprintf("clinic-%03d", i))
			list = append(list, worker.Source{Name: o.sources[i], Scopes: []string{"key:" + o.sources[i], "host:far"}})
		}
		o.provision()
		o.far.Answer = func(_ context.Context, m outbox.Message, _ int) (outbox.Answer, error) {
			o.mu.Lock()
			defer o.mu.Unlock()
			switch {
			case o.fault == nil:
				return outbox.Answer{Status: 200}, nil
			case errors.Is(o.fault, errNoToken):
				return outbox.Answer{}, worker.NotAttempted(o.fault, "key:"+m.Source)
			}
			return outbox.Answer{Status: 503}, o.fault
		}
		out := &logged{}
		defer o.stop()
		w, _ := o.launch(worker.Config{Sources: list, Logger: slog.New(slog.NewJSONHandler(out, nil))})
		o.until("ready", func() bool { return w.Status().Ready() })
		out.take(t)
		outage.begin(o)
		bubble.Sleep(outageTime)
		outage.end(o)
		bubble.Sleep(11 * time.Minute) // longer than the longest delay of a retry
		synctest.Wait()
		lines := out.take(t)
		limit := outage.kinds*int(outageTime/time.Minute) + 60
		t.Logf("%-22s %d sources, %v: %d lines, the first %q, the last %q", name, outageSources, outageTime, len(lines), lines[0], lines[len(lines)-1])
		if len(lines) > limit {
			t.Errorf("more than %d lines: %q", limit, lines)
		}
		if !slices.ContainsFunc(strings.Split(outage.first, "|"), func(text string) bool { return strings.Contains(lines[0], text) }) {
			t.Errorf("the first line is %q, want %q", lines[0], outage.first)
		}
		if !strings.Contains(strings.Join(lines, "\n"), outage.last) {
			t.Errorf("no line says %q", outage.last)
		}
	})
}
