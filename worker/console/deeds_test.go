package console_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/dlq"
	"github.com/redoxworker/redoxworker/worker"
	"github.com/redoxworker/redoxworker/worker/audit"
	"github.com/redoxworker/redoxworker/worker/console"
)

// hidden are the fields of the form on a page that posts to a path.
func hidden(t *testing.T, page, action string) (form []string) {
	t.Helper()
	_, rest, found := strings.Cut(page, `action="`+action+`"`)
	if !found {
		t.Fatalf("no form posts to %s:\n%s", action, page)
	}
	rest, _, _ = strings.Cut(rest, "</form>")
	for _, m := range regexp.MustCompile(`type="hidden" name="([^"]*)" value="([^"]*)"`).FindAllStringSubmatch(rest, -1) {
		form = append(form, m[1], m[2])
	}
	return form
}

// job is a replay as programs are told of it.
type job struct {
	ID, State, Filter, By, Reason, Error string
	Total                                int
	Outcomes                             map[dlq.Outcome]int
}

// await waits until a replay has ended, as a second tab sees it.
func (r *rig) await(at string) (j job) {
	r.Helper()
	for poll := time.NewTicker(20 * time.Millisecond); ; <-poll.C {
		got := r.get("otto", "/"+strings.TrimPrefix(at, "../"), asJSON)
		if err := json.Unmarshal([]byte(got.body), &j); err != nil || got.status != http.StatusOK {
			r.Fatalf("%d %s", got.status, got.body)
		}
		if j.State != "running" {
			poll.Stop()
			return j
		}
	}
}

// What a filter selects is counted, asked for, counted again and replayed, with scripts or without.
func TestConsole_ReplaysWhatAFilterSelects(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.bury(0, 40, "clinic-a", "lab-1")
	asked := r.post("otto", "/dead/choose", "", "action", "replay-all", "status", "5xx")
	if asked.status != http.StatusOK || !strings.Contains(asked.body, "Replay 8 dead letters?") || !strings.Contains(asked.body, "8 can go") || !strings.Contains(asked.body, "status=5xx") {
		t.Fatalf("%d\n%s", asked.status, asked.body)
	}
	form := hidden(t, asked.body, "../replays")
	r.bury(40, 10, "clinic-a") // two more that were not counted
	if got := r.post("otto", "/replays", "", append(form, "rate", "1000", "canary", "0")...); got.status != http.StatusUnprocessableEntity {
		t.Errorf("without a reason: %d", got.status)
	}
	got := r.post("otto", "/replays", "", append(form, "rate", "1000", "canary", "0", "reason", "mended")...)
	at := got.header.Get("Location")
	if got.status != http.StatusSeeOther || !strings.HasPrefix(at, "replays/") {
		t.Fatalf("%d %q\n%s", got.status, at, got.body)
	}
	j := r.await(at)
	if j.State != "done" || j.Total != 8 || j.Outcomes[dlq.Replayed] != 8 || j.By != "otto" || j.Reason != "mended" || j.Error != "" {
		t.Errorf("%+v", j)
	}
	if page := r.get("otto", "/"+at, ""); !strings.Contains(page.body, "8 of 8, 8 replayed") {
		t.Errorf("%s", page.body)
	}
	if page := r.get("otto", "/replays", ""); !strings.Contains(page.body, at) {
		t.Errorf("%s", page.body)
	}
	if left := r.get("otto", "/dead?status=5xx", asJSON); strings.Count(left.body, "\n") != 2 {
		t.Errorf("%s", left.body)
	}
	if d := r.deeds(audit.Replay); len(d) != 1 || d[0].Count != 8 || d[0].Filter != "status=5xx" || d[0].Reason != "mended" {
		t.Errorf("%+v", d)
	}
}

// Where more is selected than was counted nothing is done, and it is asked again.
func TestConsole_CountsAgainAtTheStart(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.bury(0, 10, "clinic-a")
	got := r.post("otto", "/replays", "", "action", "discard", "all", "1", "through", "10", "count", "4", "reason", "x")
	if got.status != http.StatusConflict || !strings.Contains(got.body, "There were 4 when you were asked, and there are 10 now: nothing was done") || len(r.deeds()) != 0 {
		t.Errorf("%d\n%s", got.status, got.body)
	}
	for _, form := range [][]string{{"action", "fly-all"}, {"action", "replay"}, {"action", "replay", "chosen", "x"}} {
		if got := r.post("otto", "/dead/choose", "", form...); got.status != http.StatusUnprocessableEntity {
			t.Errorf("%v: %d", form, got.status)
		}
	}
}

// Those that are chosen are discarded, and no other.
func TestConsole_DiscardsWhatIsChosen(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.bury(0, 10, "clinic-a", "lab-1")
	asked := r.post("otto", "/dead/choose", "", "action", "discard", "chosen", "3", "chosen", "4")
	form := append(hidden(t, asked.body, "../replays"), "reason", "test data")
	j := r.await(r.post("otto", "/replays", "", form...).header.Get("Location"))
	if j.State != "done" || j.Outcomes[dlq.Discarded] != 2 {
		t.Errorf("%+v", j)
	}
	left := r.get("otto", "/dead", asJSON)
	if strings.Count(left.body, "\n") != 8 || strings.Contains(left.body, `"m-2"`) || strings.Contains(left.body, `"m-3"`) {
		t.Errorf("%s", left.body)
	}
}

// A replay that was stopped, or whose process has ended, goes on where it was in another process; all
// of them see it.
func TestConsole_AReplayIsStoppedAndResumedElsewhere(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.bury(0, 30, "clinic-a")
	got := r.post("otto", "/replays", "", "action", "replay", "all", "1", "through", "30", "count", "30", "rate", "1", "reason", "x")
	at := got.header.Get("Location")
	other := *r
	other.handler = other.run(console.Config{JS: r.js, Guard: guard})
	if got := other.post("otto", "/"+at+"/resume", ""); got.status != http.StatusConflict {
		t.Errorf("one that runs is resumed: %d", got.status)
	}
	if got := other.post("vera", "/"+at+"/stop", ""); got.status != http.StatusForbidden {
		t.Errorf("a viewer stops it: %d", got.status)
	}
	if got := other.post("otto", "/"+at+"/stop", ""); got.status != http.StatusSeeOther {
		t.Fatalf("%d\n%s", got.status, got.body)
	}
	j := other.await(at)
	if j.State != "stopped" || j.Outcomes[dlq.Replayed] == 0 || j.Outcomes[dlq.Replayed] == 30 {
		t.Fatalf("%+v", j)
	}
	j = job{}
	if got := other.post("otto", "/"+at+"/resume", ""); got.status != http.StatusSeeOther {
		t.Fatalf("%d\n%s", got.status, got.body)
	}
	if got := r.post("otto", "/"+at+"/stop", ""); got.status != http.StatusSeeOther {
		t.Fatalf("%d\n%s", got.status, got.body)
	}
	if j = r.await(at); j.State != "stopped" || j.Total != 30 {
		t.Errorf("%+v", j)
	}
}

// Sources are paused and resumed with a reason that others see.
func TestConsole_Pauses(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	if got := r.post("otto", "/pause", "", "source", "clinic-a", "for", "30m", "reason", "maintenance"); got.status != http.StatusSeeOther || got.header.Get("Location") != "./?done=paused" {
		t.Fatalf("%d %v\n%s", got.status, got.header, got.body)
	}
	if page := r.get("vera", "/", ""); !strings.Contains(page.body, "maintenance") || !strings.Contains(page.body, "operator otto") {
		t.Errorf("%s", page.body)
	}
	if page := r.get("otto", "/", ""); strings.Join(hidden(t, page.body, "resume"), "=") != "source=clinic-a" {
		t.Error("a source without messages cannot be resumed")
	}
	if page := r.get("vera", "/", ""); strings.Contains(page.body, `action="resume"`) {
		t.Error("a viewer is asked to resume")
	}
	list, err := worker.NewPauses(r.js, "", "").List(t.Context())
	if err != nil || len(list) != 1 || list[0].Scope != "source:clinic-a" || list[0].By != "otto" {
		t.Errorf("%+v, %v", list, err)
	}
	for _, form := range [][]string{{"reason", "x"}, {"source", "a.b", "reason", "x"}, {"source", "clinic-a"}, {"source", "clinic-a", "for", "soon", "reason", "x"}, {"source", "clinic-a", "all", "1", "reason", "x"}} {
		if got := r.post("otto", "/pause", "", form...); got.status != http.StatusUnprocessableEntity {
			t.Errorf("%v: %d", form, got.status)
		}
	}
	r.bury(0, 1, "clinic-a")
	r.post("otto", "/pause", "", "source", "clinic-b", "reason", "until it is up")
	page := r.get("vera", "/", "")
	for _, link := range []string{`<a href="#pauses-title">Pauses</a> <span class="mend">redoxworker resume --source clinic-b`, `id="pauses-title"`, `<a href="dead">Dead letters</a> <span class="mend">redoxworker dlq`} {
		if !strings.Contains(page.body, link) {
			t.Errorf("no %s:\n%s", link, page.body)
		}
	}
	got := r.post("otto", "/resume", asJSON, "source", "clinic-a")
	if got.status != http.StatusOK || !strings.Contains(got.body, `"changed": true`) {
		t.Errorf("%s", got.body)
	}
	if got := r.post("otto", "/resume", "", "all", "1"); got.header.Get("Location") != "./?done=not-paused" {
		t.Errorf("%v", got.header)
	}
	// One destination alone, of a source or of all.
	got = r.post("otto", "/pause", asJSON, "source", "clinic-b", "destination", "Big-Clinic", "reason", "it moves")
	if got.status != http.StatusOK || !strings.Contains(got.body, `"scope": "dest:clinic-b:big-clinic"`) {
		t.Errorf("%s", got.body)
	}
	r.post("otto", "/pause", "", "all", "1", "destination", "other", "reason", "it moves")
	if got := r.post("otto", "/pause", "", "source", "clinic-b", "destination", "a b", "reason", "x"); got.status != http.StatusUnprocessableEntity {
		t.Errorf("what is no destination: %d", got.status)
	}
	page = r.get("otto", "/", "")
	for _, text := range []string{"dest:clinic-b:big-clinic", "dest:*:other", `aria-label="Resume dest:*:other"`, `<input type="hidden" name="destination" value="big-clinic">`} {
		if !strings.Contains(page.body, text) {
			t.Errorf("no %s:\n%s", text, page.body)
		}
	}
	for _, form := range [][]string{{"source", "clinic-b", "destination", "big-clinic"}, {"all", "1", "destination", "other"}} {
		if got := r.post("otto", "/resume", "", form...); got.header.Get("Location") != "./?done=resumed" {
			t.Errorf("%v: %v", form, got.header)
		}
	}
}

// Sources are added, changed in the state that was shown, and removed.
func TestConsole_ChangesTheRegistry(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	const id = "7ce6f387-c33c-417d-8682-81e83628cbd9"
	if got := r.post("ada", "/sources", "", "name", "clinic-a", "source_id", "no uuid", "key", "main", "reason", "new"); got.status != http.StatusUnprocessableEntity || !strings.Contains(got.body, "no uuid") {
		t.Errorf("%d\n%s", got.status, got.body)
	}
	if got := r.post("ada", "/sources", "", "name", "clinic-a", "source_id", id, "key", "main", "reason", "new", "hold", "Order.*, Results.New"); got.status != http.StatusSeeOther {
		t.Fatalf("%d\n%s", got.status, got.body)
	}
	if got := r.post("ada", "/sources", "", "name", "clinic-a", "source_id", id, "key", "main", "reason", "new"); got.status != http.StatusConflict {
		t.Errorf("added twice: %d", got.status)
	}
	form := r.get("ada", "/sources/clinic-a", "")
	fields := hidden(t, form.body, "../sources/clinic-a")
	if !strings.Contains(form.body, "Order.*, Results.New") {
		t.Errorf("%s", form.body)
	}
	if got := r.post("ada", "/sources/clinic-a", "", append(fields, "source_id", id, "key", "other", "reason", "moved")...); got.status != http.StatusSeeOther {
		t.Fatalf("%d\n%s", got.status, got.body)
	}
	if got := r.post("ada", "/sources/clinic-a", "", append(fields, "source_id", id, "key", "third", "reason", "moved")...); got.status != http.StatusConflict {
		t.Errorf("changed in an old state: %d", got.status)
	}
	listed := r.get("ada", "/sources", asJSON)
	var row struct {
		Key      string
		Revision uint64
	}
	if err := json.Unmarshal([]byte(listed.body), &row); err != nil || row.Key != "other" {
		t.Fatalf("%s", listed.body)
	}
	_, err := r.js.Publish(t.Context(), "redox.out.clinic-a.send", []byte("{}"))
	must(t, err)
	revision := fmt.Sprint(row.Revision)
	if got := r.post("ada", "/sources/clinic-a/remove", "", "revision", revision, "reason", "left"); got.status != http.StatusConflict {
		t.Errorf("removed although a message waits: %d", got.status)
	}
	if got := r.post("ada", "/sources/clinic-a/remove", "", "revision", revision, "force", "1", "reason", "left"); got.status != http.StatusSeeOther {
		t.Errorf("%d\n%s", got.status, got.body)
	}
	if d := r.deeds(); len(d) != 3 || d[0].Action != audit.SourceAdd || d[2].Action != audit.SourceRemove || d[1].Reason != "moved" {
		t.Errorf("%+v", d)
	}
}

// Heads are held, and tokens released, with an entry.
func TestConsole_HoldsAndReleases(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	pub, err := outbox.NewPublisher(r.js, outbox.PublisherConfig{OrderSecret: []byte("0123456789abcdef0123456789abcdef")})
	must(t, err)
	for _, id := range []string{"first", "second"} {
		_, err := pub.Publish(t.Context(), outbox.Message{ID: id, Source: "clinic-a", OrderKey: "patient 1", Body: []byte("{}")})
		must(t, err)
	}
	page := r.get("otto", "/order", "")
	form := hidden(t, page.body, "order/hold")
	if len(form) != 4 || form[3] != "first" || strings.Contains(page.body, "patient 1") {
		t.Fatalf("%v\n%s", form, page.body)
	}
	if got := r.post("otto", "/order/hold", "", append(form, "reason", "stuck")...); got.status != http.StatusSeeOther {
		t.Errorf("%d\n%s", got.status, got.body)
	}
	if got := r.post("otto", "/order/hold", "", "source", "clinic-a", "id", "second", "reason", "x"); got.status != http.StatusConflict {
		t.Errorf("one that is no head: %d", got.status)
	}
	if page := r.get("otto", "/order", ""); !strings.Contains(page.body, "by hand") {
		t.Errorf("%s", page.body)
	}
	const token = "0123456789abcdef0123456789abcdef"
	if got := r.post("otto", "/order/release", "", "source", "clinic-a", "token", token, "reason", "x"); got.status != http.StatusConflict {
		t.Errorf("one that is not held: %d", got.status)
	}
	_, err = dlq.NewHeldTokens(r.js, "").Hold(t.Context(), dlq.OrderPlace{Source: "clinic-a", Token: token, Position: 7, Sequence: 7})
	must(t, err)
	if got := r.post("otto", "/order/release", "", "source", "clinic-a", "token", token, "reason", "its letters are gone"); got.status != http.StatusSeeOther {
		t.Errorf("%d\n%s", got.status, got.body)
	}
	if d := r.deeds(audit.Hold, audit.Release); len(d) != 3 || d[2].Reason != "its letters are gone" {
		t.Errorf("%+v", d)
	}
}

// What is chosen leaves as a file, with bodies for who says so, and an entry.
func TestConsole_Exports(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.bury(0, 6, "clinic-a", "lab-1")
	for _, action := range []string{"export", "export-all"} {
		if got := r.post("otto", "/dead/choose", "", "action", action, "chosen", "1"); got.status != http.StatusForbidden {
			t.Errorf("an operator exports: %d\n%s", got.status, got.body)
		}
	}
	asked := r.post("rita", "/dead/choose", "", "action", "export-all", "source", "lab-1")
	form := append(hidden(t, asked.body, "../dead/export"), "reason", "for the vendor")
	for _, bodies := range []string{"", "1"} {
		got := r.post("rita", "/dead/export", "", append(form, "bodies", bodies)...)
		if got.status != http.StatusOK || strings.Count(got.body, "\n") != 3 || strings.Contains(got.body, "Planted") != (bodies == "1") || strings.Contains(got.body, "clinic-a") || !strings.Contains(got.header.Get("Content-Disposition"), "attachment") {
			t.Errorf("%d %v\n%s", got.status, got.header, got.body)
		}
	}
	if d := r.deeds(audit.Export); len(d) != 2 || d[1].Count != 3 || !strings.HasPrefix(d[1].Detail, "with bodies") || d[1].Source != "lab-1" {
		t.Errorf("%+v", d)
	}
	stuck, going := &slowReader{ResponseRecorder: httptest.NewRecorder(), reached: make(chan struct{}), goOn: make(chan struct{})}, sync.WaitGroup{}
	for range 2 {
		going.Go(func() {
			req := r.form("/dead/export", append(form, "bodies", "1")...)
			req.Header.Set("X-User", "rita")
			r.handler.ServeHTTP(stuck, req)
		})
		<-stuck.reached
	}
	if got := r.post("rita", "/dead/export", "", append(form, "bodies", "1")...); got.status != http.StatusServiceUnavailable {
		t.Errorf("beside exports that nobody reads: %d", got.status)
	}
	if got := r.get("ada", "/audit", ""); got.status != http.StatusOK {
		t.Errorf("beside exports that nobody reads: %d", got.status)
	}
	close(stuck.goOn)
	going.Wait()
	must(t, r.js.DeleteStream(t.Context(), "REDOX_AUDIT"))
	if got := r.post("rita", "/dead/export", "", append(form, "bodies", "1")...); got.status != http.StatusServiceUnavailable || strings.Contains(got.body, "Planted") {
		t.Errorf("without an audit trail: %d\n%s", got.status, got.body)
	}
}

// slowReader takes nothing before it may go on.
type slowReader struct {
	*httptest.ResponseRecorder
	reached, goOn chan struct{}
}

func (s *slowReader) Write(p []byte) (int, error) {
	select {
	case s.reached <- struct{}{}:
	case <-s.goOn:
	}
	<-s.goOn
	return len(p), nil
}
