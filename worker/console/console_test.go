package console_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/redoxworker/redoxworker/config"
	"github.com/redoxworker/redoxworker/worker/audit"
	"github.com/redoxworker/redoxworker/worker/console"
)

// Every screen answers as a page and as JSON to who may see all, with nothing but what is below its
// root in its links.
func TestConsole_EveryScreenIsThere(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.bury(0, 12, "clinic-a", "lab-1")
	for path, has := range map[string]string{
		"/": "What needs somebody", "/dead": "12 shown", "/dead?status=5xx": "status 503", "/dead/3": "Identifiers: array (2)", "/replays": "Replays", "/order": "No message waits behind",
		"/order/held": "No order waits", "/sources": "0 shown of 0", "/keys": "No worker told of a key", "/workers": "No worker runs", "/outbox": "No worker relays", "/audit": "No entries",
	} {
		page := r.get("ada", path, "text/html")
		if page.status != http.StatusOK || !strings.Contains(page.body, has) || !strings.Contains(page.body, "</html>") {
			t.Errorf("%s: %d, without %q:\n%s", path, page.status, has, page.body)
		}
		for _, bad := range []string{`href="/`, `action="/`, `src="/`, "style=", "<script>", "onclick"} {
			if strings.Contains(page.body, bad) {
				t.Errorf("%s has %s", path, bad)
			}
		}
		if csp := page.header.Get("Content-Security-Policy"); !strings.HasPrefix(csp, "default-src 'none'; script-src 'self'") || page.header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: %v", path, page.header)
		}
		told := r.get("ada", path, asJSON)
		if told.status != http.StatusOK {
			t.Errorf("%s as JSON: %d %s", path, told.status, told.body)
		}
		for d := json.NewDecoder(strings.NewReader(told.body)); d.More(); {
			var v any
			if err := d.Decode(&v); err != nil {
				t.Errorf("%s as JSON: %v", path, err)
				break
			}
		}
	}
	for path, want := range map[string]int{"/nowhere": 404, "/dead/x": 404, "/dead/9999": 404, "/dead?status=9": 422, "/dead?since=soon": 422, "/replays/none": 404, "/static/console.css": 200, "/static/none": 404, "/sources/none": 404} {
		if got := r.get("ada", path, ""); got.status != want {
			t.Errorf("%s: %d, want %d: %s", path, got.status, want, got.body)
		}
	}
	if got := r.get("", "/", ""); got.status != http.StatusUnauthorized {
		t.Errorf("of nobody: %d", got.status)
	}
}

// What a viewer is told holds none of what bodies and headers hold.
func TestConsole_AViewerIsToldNothingOfBodies(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.bury(0, 60, "clinic-a", "lab-1")
	paths := []string{"/", "/dead", "/dead?limit=100", "/replays", "/order", "/sources", "/keys", "/workers", "/outbox"}
	for _, l := range []string{"1", "2", "30", "60"} {
		paths = append(paths, "/dead/"+l, "/dead/"+l+"/shape")
	}
	for _, path := range paths {
		for _, accept := range []string{"text/html", asJSON} {
			got := r.get("vera", path, accept)
			if got.status != http.StatusOK || strings.Contains(got.body, "Planted") {
				t.Errorf("%s: %d\n%s", path, got.status, got.body)
			}
		}
	}
	for _, path := range []string{"/dead/1/reveal", "/dead/1/edit", "/dead/1/send", "/dead/choose", "/replays", "/pause", "/order/hold", "/order/release", "/outbox/choose", "/outbox/failed", "/sources", "/sources/a", "/sources/a/remove"} {
		if got := r.post("vera", path, "", "reason", "x", "source", "clinic-a", "chosen", "1", "action", "replay"); got.status != http.StatusForbidden || strings.Contains(got.body, "Planted") {
			t.Errorf("%s: %d\n%s", path, got.status, got.body)
		}
	}
	if d := r.deeds(); len(d) != 0 {
		t.Errorf("%+v", d)
	}
}

// A body is shown to who may see it and says why, and not before that is in the audit trail.
func TestConsole_RevealLeavesAnEntryFirst(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.bury(0, 2, "clinic-a")
	if got := r.post("rita", "/dead/1/reveal", ""); got.status != http.StatusUnprocessableEntity || strings.Contains(got.body, "Planted") {
		t.Errorf("without a reason: %d\n%s", got.status, got.body)
	}
	got := r.post("rita", "/dead/1/reveal", "", "reason", "ticket 7")
	if got.status != http.StatusOK || !strings.Contains(got.body, secret(0)) || got.header.Get("Refresh") != "60;url=../../dead/1" || got.header.Get("Cache-Control") != "no-store, private" {
		t.Errorf("%d %v\n%s", got.status, got.header, got.body)
	}
	d := r.deeds()
	if len(d) != 1 || d[0].Action != audit.Reveal || d[0].By != "rita" || d[0].Reason != "ticket 7" || d[0].Source != "clinic-a" || !strings.Contains(d[0].Detail, "console, from 192.0.2.1, as revealer") {
		t.Errorf("%+v", d)
	}
	must(t, r.js.DeleteStream(t.Context(), "REDOX_AUDIT"))
	for _, path := range []string{"/dead/1/reveal", "/dead/1/edit"} {
		for _, accept := range []string{"", asJSON} {
			if got := r.post("rita", path, accept, "reason", "ticket 7"); got.status != http.StatusServiceUnavailable || strings.Contains(got.body, "Planted") {
				t.Errorf("%s without an audit trail: %d\n%s", path, got.status, got.body)
			}
		}
	}
}

// Who may change some sources is offered the keys of these and may give no other, which would send with what is
// another customer's. A key may be called as a customer is: of others nothing is told.
func TestConsole_KeysOfSomeSourcesOnly(t *testing.T) {
	t.Parallel()
	settings := &config.Config{
		Keys:     map[string]config.Key{"lab-key": {}, "clinic-a-key": {}, "unused-key": {}},
		Sources:  map[string]config.Source{"lab-1": {Key: "lab-key"}, "clinic-a": {Key: "clinic-a-key"}},
		Registry: true,
	}
	r := newRig(t, func(c *console.Config) { c.Settings = settings })
	for poll := time.NewTicker(20 * time.Millisecond); !strings.Contains(r.get("lisa", "/sources", "text/html").body, "Add a source"); <-poll.C {
		if t.Context().Err() != nil {
			t.Fatal("the registry is never known")
		}
	}
	if got := r.get("lisa", "/sources", "text/html"); !strings.Contains(got.body, `<option value="lab-key">`) {
		t.Errorf("not even hers is offered\n%s", got.body)
	}
	for _, path := range []string{"/sources", "/sources/lab-2", "/", "/dead", "/order", "/replays", "/audit"} {
		for _, accept := range []string{"text/html", asJSON} {
			if got := r.get("lisa", path, accept); strings.Contains(got.body, "clinic-a-key") || strings.Contains(got.body, "unused-key") {
				t.Errorf("%s, %q tells of keys of others: %d\n%s", path, accept, got.status, got.body)
			}
		}
	}
	for key, want := range map[string]int{"clinic-a-key": http.StatusForbidden, "unused-key": http.StatusForbidden, "no-key": http.StatusForbidden, "lab-key": http.StatusOK} {
		form := []string{"name", "lab-3", "source_id", "00000000-0000-4000-8000-000000000001", "key", key, "environment", "development", "on_unknown", "resend", "slug_guard", "on", "reason", "x"}
		if got := r.post("lisa", "/sources", asJSON, form...); got.status != want {
			t.Errorf("with %s she gets %d, want %d: %s", key, got.status, want, got.body)
		}
	}
	if got := r.get("ada", "/sources", "text/html"); !strings.Contains(got.body, "unused-key") || !strings.Contains(got.body, "clinic-a-key") {
		t.Errorf("who may see all sources is offered\n%s", got.body)
	}
}

// Who may see some sources is told of no other.
func TestConsole_SomeSourcesOnly(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.bury(0, 20, "clinic-a", "lab-1")
	for _, path := range []string{"/", "/dead", "/order", "/sources", "/replays", "/audit"} {
		for _, accept := range []string{"text/html", asJSON} {
			if got := r.get("lisa", path, accept); got.status != http.StatusOK || strings.Contains(got.body, "clinic-a") {
				t.Errorf("%s: %d\n%s", path, got.status, got.body)
			}
		}
	}
	if got := r.get("lisa", "/dead", asJSON); strings.Count(got.body, "\n") != 10 {
		t.Errorf("%s", got.body)
	}
	for path, want := range map[string]int{"/keys": 403, "/keys/jwks.json": 403, "/workers": 403, "/dead?source=clinic-a": 403, "/dead/1": 403, "/dead/2": 200, "/order?source=clinic-a": 403, "/sources/clinic-a": 403, "/audit?source=clinic-a": 403} {
		if got := r.get("lisa", path, ""); got.status != want {
			t.Errorf("%s: %d, want %d\n%s", path, got.status, want, got.body)
		}
	}
	for _, form := range [][]string{{"/pause", "all", "1"}, {"/pause", "source", "clinic-a"}, {"/dead/choose", "action", "replay", "chosen", "1"}, {"/dead/1/reveal", "a", ""}, {"/sources/clinic-a/remove", "revision", "1"}} {
		if got := r.post("lisa", form[0], "", append(form[1:], "reason", "x")...); got.status != http.StatusForbidden {
			t.Errorf("%v: %d\n%s", form, got.status, got.body)
		}
	}
	if got := r.post("lisa", "/dead/choose", asJSON, "action", "discard-all"); got.status != http.StatusOK || !strings.Contains(got.body, `"count": 10`) {
		t.Errorf("all of a filter: %s", got.body)
	}
}
