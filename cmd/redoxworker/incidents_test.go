package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redoxworker/redoxworker/cmd/redoxworker/internal/clitest"
	"github.com/redoxworker/redoxworker/worker"
	"github.com/redoxworker/redoxworker/worker/overview"
	"github.com/redoxworker/redoxworker/worker/redoxsim"
)

// watcher is somebody who looks at `status --watch` while things break.
type watcher struct {
	*stage
	process *clitest.Process
	worker  *binary
	began   time.Time
}

// last is what the screen shows now.
func (w *watcher) last() (o overview.Overview) {
	text := w.process.Out.String()
	end := strings.LastIndexByte(text, '\n')
	if end < 0 {
		return o
	}
	line := text[strings.LastIndexByte(text[:end], '\n')+1 : end]
	if err := json.Unmarshal([]byte(line), &o); err != nil {
		w.Fatalf("%v: %s", err, line)
	}
	return o
}

// shows waits until the screen says what is true, and logs how long that took from when it was.
func (w *watcher) shows(what string, is func(overview.Overview) bool) overview.Overview {
	w.Helper()
	var o overview.Overview
	w.eventually("status shows: "+what, func() bool { o = w.last(); return is(o) },
		func() string { return fmt.Sprintf("%+v", w.last()) })
	w.Logf("%s: true after %v", what, time.Since(w.began).Round(10*time.Millisecond))
	return o
}

// needs reports whether the screen names something with all the texts in it.
func needs(o overview.Overview, person bool, texts ...string) bool {
	return slices.ContainsFunc(o.Needs, func(n overview.Need) bool {
		return n.Person == person && !slices.ContainsFunc(texts, func(text string) bool { return !strings.Contains(n.Text+" "+n.Mend, text) })
	})
}

// blocked reports whether all n messages of a source are said to wait for a reason, and no end is
// promised.
func blocked(o overview.Overview, source string, n uint64, state overview.State) bool {
	at := slices.IndexFunc(o.Backlogs, func(b overview.Backlog) bool { return b.Source == source })
	return at >= 0 && o.Backlogs[at].Why.State == state && o.Backlogs[at].Messages == n && o.Drain.About == nil && strings.Contains(o.Drain.Text, "never while")
}

// answered waits until Redox has answered a message with a status since the incident began.
func (w *watcher) answered(status int) {
	w.Helper()
	w.eventually(fmt.Sprint("Redox answers ", status), func() bool {
		all := w.messages()
		return len(all) > 0 && slices.ContainsFunc(all, func(a redoxsim.Arrival) bool { return a.Status == status && a.End.After(w.began) })
	})
	w.began = time.Now()
}

// The screen tells the truth while things break: what it says is compared with the record of the
// simulator, and with what the server has stored.
func TestStatus_DuringIncidents(t *testing.T) {
	t.Parallel()
	w := &watcher{stage: newStage(t, &redoxsim.Server{}, "quota: {requests: 80, per: 10m}\n")}
	w.addSource("clinic-b", "8ce6f387-c33c-417d-8682-81e83628cbd9", "main")
	w.reconfigure("nats: {url:", "nats: {provision: never, url:")
	if code, _, errs := w.command("provision", "--config", w.config); code != 0 {
		t.Fatal(errs)
	}
	w.worker = w.start()
	w.process = clitest.Start(t, run, "\n", "status", "--watch", "--json", "--server", w.nats.URL())
	t.Cleanup(func() { w.process.Stop() })
	p := w.publisher()
	w.began = time.Now()
	w.shows("all is well", func(o overview.Overview) bool {
		return o.Healthy() && len(o.Workers) == 1 && o.Drain.Text == "nothing waits"
	})

	// The key is refused: a token that is at hand does not belie it.
	w.must(w.sim.SetProfile("unauthorized"))
	w.publish(p, "clinic-a", "refused", 2)
	w.answered(http.StatusUnauthorized)
	w.shows("the key is refused", func(o overview.Overview) bool {
		return needs(o, true, "key main does not work, ", "waiting", "401") && blocked(o, "clinic-a", w.queued("REDOX_OUT"), overview.NoToken) &&
			slices.ContainsFunc(o.Pauses, func(p overview.Pause) bool { return p.Scope == "key:main" })
	})

	// Redox is down.
	w.must(w.sim.SetProfile("none"))
	w.drained()
	w.must(w.sim.SetProfile("down"))
	w.publish(p, "clinic-a", "down", 6)
	w.answered(http.StatusServiceUnavailable)
	w.eventually("five requests failed", func() bool { return len(w.refused(http.StatusServiceUnavailable)) >= 5 })
	w.began = time.Now()
	w.shows("Redox is down", func(o overview.Overview) bool {
		return needs(o, false, "source:clinic-a does not work", "6 messages waiting", "503") && blocked(o, "clinic-a", 6, overview.Down)
	})

	// A source is paused.
	w.must(w.sim.SetProfile("none"))
	w.drained()
	w.must(worker.NewPauses(w.js, "", "ann@ops").Pause(t.Context(), "clinic-b", 0, "the hospital moves"))
	w.eventually("the worker knows of the pause", func() bool { return strings.Contains(w.worker.err.String(), `"scope":"source:clinic-b"`) })
	w.publish(p, "clinic-b", "paused", 5)
	w.began = time.Now()
	sent := len(w.messages())
	w.shows("a source is paused", func(o overview.Overview) bool {
		return needs(o, true, "clinic-b is paused, 5 messages waiting", "by ann@ops: the hospital moves", "redoxworker resume --source clinic-b") && blocked(o, "clinic-b", 5, overview.Paused)
	})
	if n := len(w.messages()); n != sent {
		t.Errorf("%d messages of a paused source were sent", n-sent)
	}

	// The quota is used up.
	w.publish(p, "clinic-a", "many", 90)
	w.began = time.Now()
	o := w.shows("the quota is used up", func(o overview.Overview) bool {
		at := slices.IndexFunc(o.Backlogs, func(b overview.Backlog) bool { return b.Source == "clinic-a" })
		return at >= 0 && o.Backlogs[at].Why.State == overview.Limited && o.Quotas[0].Left == 0 || at >= 0 && o.Backlogs[at].Why.State == overview.Paced && *o.Drain.AtLeast > time.Minute
	})
	if used := len(w.sim.Arrivals()); o.Quotas[0].Requests != 80 || o.Quotas[0].Used+o.Quotas[0].Held < used {
		t.Errorf("%+v, and %d requests arrived", o.Quotas[0], used)
	}

	// The worker is killed.
	w.must(w.worker.Process.Kill())
	w.began = time.Now()
	w.shows("the worker is gone", func(o overview.Overview) bool {
		return len(o.Workers) == 0 && needs(o, true, "no worker runs") && o.Queue.Messages == w.queued("REDOX_OUT") && o.Drain.Messages == 0
	})

	// The queue is deleted.
	w.must(w.js.DeleteStream(t.Context(), "REDOX_OUT"))
	w.began = time.Now()
	w.shows("the queue is deleted", func(o overview.Overview) bool {
		return o.Queue == nil && needs(o, true, "stream REDOX_OUT does not exist: run `redoxworker provision`") && strings.HasPrefix(o.Drain.Text, "not known")
	})

	// NATS is gone.
	w.must(w.nats.Shutdown())
	w.began = time.Now()
	w.shows("NATS is gone", func(o overview.Overview) bool {
		return o.Queue == nil && needs(o, true, "NATS: reconnecting") && len(o.Unknown) == 1 && strings.HasPrefix(o.Unknown[0], "everything: ")
	})
	w.stillSaysSo()
}

func (w *watcher) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

// refused are the messages that Redox answered with a status since the incident began.
func (w *watcher) refused(status int) []redoxsim.Arrival {
	return slices.DeleteFunc(w.messages(), func(a redoxsim.Arrival) bool { return a.Status != status })
}

// stillSaysSo: a status without a connection fails, and says why.
func (w *watcher) stillSaysSo() {
	w.Helper()
	if code, out, errs := w.command("status", "--server", w.nats.URL()); code != 1 || out != "" || !strings.Contains(errs, "nats: cannot connect to ") {
		w.Errorf("status: exit code %d: %s%s", code, out, errs)
	}
}
