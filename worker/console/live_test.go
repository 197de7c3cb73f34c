package console_test

import (
	"bufio"
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/redoxworker/redoxworker/outbox/dlq"
	"github.com/redoxworker/redoxworker/worker/console"
	"github.com/redoxworker/redoxworker/worker/console/access"
)

// One look serves all who watch, and a page of dead letters reads no more than it shows.
func TestConsole_OneLookServesAll(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.bury(0, 2000, "clinic-a", "clinic-b", "lab-1")
	r.get("ada", "/", "")
	asked := func(path string, times int) uint64 {
		before := r.js.Conn().Stats().OutMsgs
		for range times {
			if got := r.get("ada", path, ""); got.status != http.StatusOK {
				t.Fatalf("%d\n%s", got.status, got.body)
			}
		}
		return r.js.Conn().Stats().OutMsgs - before
	}
	const look = 60 // requests of a look in the background, and more
	if n := asked("/", 200); n > 2*look {
		t.Errorf("200 pages made %d requests", n)
	}
	if n := asked("/dead", 50); n > 50+4*(70+look) { // each looks at the stream, and some read 50 data models
		t.Errorf("50 pages of dead letters made %d requests", n)
	}
	if got := r.post("otto", "/replays", asJSON, "action", "discard", "chosen", "2000", "count", "1", "through", "2000", "reason", "x"); got.status != http.StatusOK {
		t.Errorf("%d %s", got.status, got.body)
	} else {
		r.await("replays/" + strings.Split(strings.Split(got.body, `"id": "`)[1], `"`)[0])
	}
	if got := r.get("ada", "/dead", ""); strings.Contains(got.body, `>m-1999<`) || !strings.Contains(got.body, `>m-1998<`) {
		t.Error("what is gone is shown on")
	}
	if n := asked("/order", 50); n > 2*look {
		t.Errorf("50 pages of orders made %d requests", n)
	}
}

// Settlements are too many to be read again with every look.
func TestConsole_TheAuditTrailIsFollowedWithoutSettlements(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for path, live := range map[string]bool{"/audit": true, "/audit?settlements=1": false} {
		if got := r.get("ada", path, ""); strings.Contains(got.body, "data-events") != live {
			t.Errorf("%s: %d\n%s", path, got.status, got.body)
		}
	}
}

// A page hears of what is new, and of no more after the console has ended.
func TestConsole_TellsOfWhatIsNew(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	c, err := console.New(console.Config{JS: r.js, Guard: guard})
	must(t, err)
	ctx, end := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- c.Run(ctx) }()
	server := httptest.NewServer(c)
	defer server.Close()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+"/events", nil)
	must(t, err)
	req.Header.Set("X-User", "vera")
	answer, err := http.DefaultTransport.RoundTrip(req)
	must(t, err)
	defer func() { _ = answer.Body.Close() }()
	if kind := answer.Header.Get("Content-Type"); kind != "text/event-stream" || answer.StatusCode != http.StatusOK {
		t.Fatalf("%d %s", answer.StatusCode, kind)
	}
	events, lines := 0, bufio.NewScanner(answer.Body)
	for events < 2 && lines.Scan() {
		if lines.Text() == "event: look" {
			events++
		}
	}
	end()
	for lines.Scan() { // until the console ends the stream
	}
	must(t, <-ended)
	if events != 2 {
		t.Errorf("%d events", events)
	}
}

// A replay whose console has ended is interrupted, not lost: another goes on with what is left.
func TestConsole_AReplaySurvivesItsProcess(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.bury(0, 30, "clinic-a")
	first := *r
	c, err := console.New(console.Config{JS: r.js, Guard: guard})
	must(t, err)
	ctx, end := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- c.Run(ctx) }()
	first.handler = c
	at := ""
	for poll := time.NewTicker(10 * time.Millisecond); at == ""; <-poll.C { // until it runs
		at = first.post("otto", "/replays", "", "action", "replay", "all", "1", "through", "30", "count", "30", "rate", "1", "reason", "x").header.Get("Location")
	}
	end()
	must(t, <-ended)
	j := r.await(at)
	if j.State != "interrupted" || j.Outcomes[dlq.Replayed] == 30 {
		t.Fatalf("%+v", j)
	}
	if got := first.post("otto", "/"+at+"/resume", ""); got.status != http.StatusServiceUnavailable {
		t.Errorf("where nothing runs: %d\n%s", got.status, got.body)
	}
	if got := r.post("otto", "/"+at+"/resume", "", "rate", "1000"); got.status != http.StatusSeeOther {
		t.Fatalf("%d\n%s", got.status, got.body)
	}
	if j = r.await(at); j.State != "done" || j.Total != 30 || j.Outcomes[dlq.Replayed] != 30 {
		t.Errorf("%+v", j)
	}
}

// A guard or an audit sink that panics ends a request and nothing else, and tells nothing of what it
// panicked with.
func TestConsole_APanicIsOneRequests(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	c, err := console.New(console.Config{JS: r.js, Guard: func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, hr *http.Request) {
			if hr.URL.Path == "/keys" {
				panic("secret of the guard")
			}
			next.ServeHTTP(w, hr.WithContext(access.With(hr.Context(), users["ada"])))
		})
	}})
	must(t, err)
	r.handler = c
	if got := r.get("", "/keys", ""); got.status != http.StatusInternalServerError || strings.Contains(got.body, "secret") {
		t.Errorf("%d\n%s", got.status, got.body)
	}
	if got := r.get("", "/static/console.js", ""); got.status != http.StatusOK {
		t.Errorf("%d", got.status)
	}
	if got := r.get("", "/replays", ""); got.status != http.StatusOK {
		t.Errorf("%d", got.status)
	}
}

func TestNew_NeedsConnectionAndGuard(t *testing.T) {
	t.Parallel()
	if _, err := console.New(console.Config{}); err == nil {
		t.Error("it needs neither")
	}
}
