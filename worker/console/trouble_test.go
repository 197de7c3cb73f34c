package console_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/dlq"
)

// Where NATS is away each page says that, and what it cannot do, and none takes long: neither while the
// connection is tried again, nor when it is closed.
func TestConsole_WithoutNATS(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.bury(0, 3, "clinic-a")
	r.get("ada", "/", "")
	must(t, r.server.Shutdown())
	for r.js.Conn().IsConnected() { // until the client has noticed
		runtime.Gosched()
	}
	for _, closed := range []bool{false, true} {
		if closed {
			r.js.Conn().Close()
		}
		for path, form := range map[string][]string{"/dead": nil, "/dead/1": nil, "/order": nil, "/order/held": nil, "/replays": nil, "/audit": nil, "/sources": nil, "/pause": {"source", "clinic-a"}, "/dead/1/reveal": {"x", "1"}, "/order/hold": {"source", "clinic-a", "id", "m"}} {
			for _, accept := range []string{asJSON, "text/html"} {
				got, began := answer{}, time.Now()
				if form == nil {
					got = r.get("ada", path, accept)
				} else {
					got = r.post("ada", path, accept, append(form, "reason", "x")...)
				}
				if page := accept == "text/html"; path == "/sources" && page { // the registry is followed, and known
					continue
				}
				if got.status != http.StatusServiceUnavailable || strings.Contains(got.body, "Planted") || time.Since(began) > 4*time.Second { // a request takes 5 s
					t.Errorf("closed %v: %s as %s: %d after %s\n%s", closed, path, accept, got.status, time.Since(began), got.body)
				}
			}
		}
	}
}

// Who does something while the session ends is told so, and not left with an empty page.
func TestConsole_TheSessionEndsMeanwhile(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.bury(0, 3, "clinic-a")
	ctx, cancel := context.WithDeadline(t.Context(), time.Now())
	defer cancel()
	for _, accept := range []string{asJSON, "text/html"} {
		if got := r.do("ada", accept, httptest.NewRequestWithContext(ctx, http.MethodGet, "http://console/dead", nil)); got.status != http.StatusUnauthorized || !strings.Contains(got.body, "your session was over") {
			t.Errorf("%d\n%s", got.status, got.body)
		}
	}
}

// Whatever guard lets people in, a page of another site has nothing done.
func TestConsole_AnotherSiteUnderAnyGuard(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for path, form := range map[string][]string{"/pause": {"all", "1", "reason", "x"}, "/theme": {"theme", "dark"}, "/outbox/failed": {"action", "discard-all"}} {
		for site, want := range map[string]bool{"cross-site": false, "same-site": false, "same-origin": true, "none": true} {
			req := r.form(path, form...)
			req.Header.Set("Sec-Fetch-Site", site)
			if got := r.do("ada", "", req); (got.status != http.StatusForbidden) != want {
				t.Errorf("%s from %s: %d", path, site, got.status)
			}
		}
	}
	if d := r.deeds(); len(d) != 2 {
		t.Errorf("%+v", d)
	}
}

// What a message is called is shown as it is, however long and strange, and is no markup.
func TestConsole_StrangeNames(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	id := `<b>"'&{{.}}` + strings.Repeat("x", 180)
	l := dlq.Letter{MessageID: id, Source: "clinic-a", Settlement: outbox.Held, Error: "</td><script>alert(1)</script>\u202e", At: time.Now(), Subject: "redox.out.clinic-a.send", Sequence: 1, Worker: `w"><i>`, Body: []byte("{}")}
	_, err := r.js.PublishMsg(t.Context(), l.Encode(""))
	must(t, err)
	for _, path := range []string{"/", "/dead", "/dead/1", "/dead?source=%3Cb%3E&error=%22%3E%3Ci%3E", "/order?source=%3Cb%3E", "/sources?q=%3Cb%3E", "/audit?by=%3Cb%3E&since=%22%3E%3Cb%3E", "/outbox?source=%3Cb%3E"} {
		if got := r.get("ada", path, "text/html"); strings.Contains(got.body, "<b>") || strings.Contains(got.body, "<i>") || strings.Contains(got.body, "<script>alert") {
			t.Errorf("%s: %d\n%s", path, got.status, got.body)
		}
	}
	if got := r.get("ada", "/dead/1", "text/html"); !strings.Contains(got.body, "{{.}}xxxx") {
		t.Errorf("%s", got.body)
	}
}
