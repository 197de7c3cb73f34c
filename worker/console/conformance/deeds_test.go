package conformance

import (
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/dlq"
	"github.com/redoxworker/redoxworker/worker/audit"
)

// Every action works in a browser, with scripts and without, and leaves its entry.
func TestBrowser_EveryAction(t *testing.T) {
	t.Parallel()
	for _, scripts := range []bool{true, false} {
		t.Run(fmt.Sprintf("scripts %v", scripts), func(t *testing.T) {
			t.Parallel()
			tab := newWorld(t).newTab(scripts)
			tab.signIn("admin")
			tab.says("What needs somebody", "Sign out", "12 dead letters of 3 sources")
			if strings.Contains(tab.text(), "0x") {
				t.Errorf("an address stands for a number: %s", tab.text())
			}
			tab.pauses()
			tab.filters()
			tab.deals()
			tab.reveals()
			tab.edits()
			tab.orders()
			tab.changesSources()
			tab.changesRows()
			tab.follow(`button[name=theme][value=dark]`)
			if theme := get(tab, chromedp.AttributeValue(chromedp.CSS("html"), "data-theme")); theme.Value != "dark" {
				t.Errorf("the theme is %+v", theme)
			}
			tab.follow(`form[action$="sign-out"] button`)
			tab.says("Sign in")
			tab.open("dead")
			tab.says("Sign in")
			done := map[audit.Action]int{}
			for _, d := range tab.deeds() {
				if done[d.Action]++; d.By != "admin" || d.Reason == "" && d.Action != audit.Resume || !strings.Contains(d.Detail, "console, from 127.0.0.1, as admin") {
					t.Errorf("%+v", d)
				}
			}
			want := map[audit.Action]int{audit.Pause: 2, audit.Resume: 2, audit.Replay: 2, audit.Discard: 1, audit.Reveal: 2, audit.Edit: 1, audit.Hold: 1, audit.Release: 1, audit.SourceAdd: 1, audit.SourceSet: 1, audit.SourceRemove: 1, audit.RowRetry: 1, audit.RowDiscard: 1}
			if !maps.Equal(done, want) {
				t.Errorf("the audit trail has %v, want %v", done, want)
			}
		})
	}
}

// pauses pauses a source and resumes it, then all.
func (t *tab) pauses() {
	t.Helper()
	t.click(`details:has(input[name=source][value=clinic-a]) summary`)
	form := `form[action$="pause"]:has(input[name=source][value=clinic-a])`
	t.fill(form+" input[name=reason]", "maintenance")
	t.follow(form + " button")
	t.says("Paused.", "maintenance")
	t.follow(`form[action$="resume"]:has(input[name=source][value=clinic-a]) button`)
	t.says("Resumed.")
	t.click(`details:has(input[name=all]) summary`)
	form = `form[action$="pause"]:has(input[name=all])`
	t.fill(form+" input[name=reason]", "Redox is down")
	t.follow(form + " button")
	t.says("Redox is down")
	t.follow(`form[action$="resume"]:has(input[name=all]) button`)
	t.says("Resumed.")
}

// filters looks for some dead letters.
func (t *tab) filters() {
	t.Helper()
	t.open("dead")
	t.fill("#filter", "clinic-a")
	t.fill("form.filter input[name=status]", "5xx")
	t.follow("form.filter button")
	t.says("1 shown", "exhausted")
	t.open("dead?status=9")
	t.says("status")
}

// deals replays what is chosen and what a filter selects, and discards.
func (t *tab) deals() {
	t.Helper()
	t.open("dead?source=clinic-b")
	t.click("tbody tr:nth-child(1) input[type=checkbox]")
	t.follow("button[value=discard]")
	t.says("Discard 1 dead letter")
	t.fill("input[name=reason]", "test data")
	t.follow(`form[action$="replays"] button`)
	t.ends("1 of 1, 1 discarded")
	t.open("dead?source=lab-with-a-rather-long-name")
	t.click("tbody tr:nth-child(1) input[type=checkbox]")
	t.follow("button[value=replay]")
	t.fill("input[name=reason]", "mended there")
	t.follow(`form[action$="replays"] button`)
	t.ends("1 of 1, 1 replayed")
	t.open("dead?status=5xx&source=clinic-a")
	t.follow("button[value=replay-all]")
	t.says("Replay 1 dead letter", "Dry run")
	t.fill("input[name=reason]", "up again")
	t.follow(`form[action$="replays"] button`)
	t.ends("1 of 1, 1 replayed")
	t.open("replays")
	t.says("mended there", "up again", "test data")
}

// ends waits for the end of a replay, which the page tells by itself, or when it is loaded again.
func (t *tab) ends(says string) {
	t.Helper()
	for !strings.Contains(t.text(), says) {
		t.do(chromedp.Reload())
		if t.Context().Err() != nil {
			t.Fatalf("it does not say %q: %s", says, t.text())
		}
	}
}

// reveals sees a body, which leaves the page again.
func (t *tab) reveals() {
	t.Helper()
	t.open("dead/1")
	if strings.Contains(t.text(), "Planted") {
		t.Error("the body is there without being asked for")
	}
	t.act("reveal", "ticket 7")
	t.says(secretOf(0), "It is in the audit trail")
	t.follow(".revealed a")
	if strings.Contains(t.text(), "Planted") {
		t.Error("the body is there although it was hidden again")
	}
}

// edits sends a dead letter with another body.
func (t *tab) edits() {
	t.Helper()
	t.open("dead/5")
	t.act("edit", "wrong unit")
	t.fill("#body", `{"Meta":{"DataModel":"Order","EventType":"New"},"Patient":{}}`)
	t.fill("input[name=reason]", "wrong unit")
	t.follow(`form[action$="send"] button`)
	t.says("Sent again.")
}

// orders holds a head back and releases an order.
func (t *tab) orders() {
	t.Helper()
	t.open("order")
	t.says("clinic-a", token)
	t.click(`details:has(form[action$="order/hold"] input[value=clinic-a]) summary`)
	form := `form[action$="order/hold"]:has(input[value=clinic-a])`
	t.fill(form+" input[name=reason]", "stuck")
	t.follow(form + " button")
	t.says("settles the message held")
	t.click(`details:has(form[action$="order/release"]) summary`)
	t.fill(`form[action$="order/release"] input[name=reason]`, "its letters are gone")
	t.follow(`form[action$="order/release"] button`)
	t.says("Released.")
}

// changesSources adds a source, changes it, and removes it.
func (t *tab) changesSources() {
	t.Helper()
	t.open("sources")
	t.click("details.act summary")
	form := `form.card`
	for name, value := range map[string]string{"name": "clinic-new", "source_id": "7ce6f387-c33c-417d-8682-81e83628cbd9", "key": "main", "reason": "a new customer"} {
		t.fill(form+" input[name="+name+"]", value)
	}
	t.follow(form + " button")
	t.says("Added")
	t.open("sources/clinic-new")
	t.fill(form+" input[name=hold]", "Order.*")
	t.fill(form+" input[name=reason]", "they want it")
	t.follow(form + " button")
	t.says("Changed")
	t.open("sources/clinic-new")
	t.click("details.act summary")
	t.fill(`form[action$="remove"] input[name=reason]`, "left")
	t.follow(`form[action$="remove"] button`)
	t.says("Removed")
}

// changesRows retries failed rows of the outbox that a filter selects, and discards one.
func (t *tab) changesRows() {
	t.Helper()
	t.open("outbox")
	t.says("7 shown of 7 rows", "no header block")
	t.fill("#filter", "clinic-a")
	t.follow("form.filter button")
	t.says("4 shown of 4 rows")
	t.follow("button[value=retry-all]")
	t.says("Retry 4 failed rows?", "source clinic-a")
	t.fill("input[name=reason]", "mended by hand")
	t.follow(`form[action$="outbox/failed"] button`)
	t.says("Put back", "No failed rows of this filter")
	t.open("outbox")
	t.click("#failed tbody tr:nth-child(1) input[type=checkbox]")
	t.follow("button[value=discard]")
	t.says("Discard 1 failed row?")
	t.fill("input[name=reason]", "a test")
	t.follow(`form[action$="outbox/failed"] button`)
	t.says("Discarded.", "2 shown of 2 rows")
}

// What a role may not do is not on its pages, and is refused with a text that names the role; a page of
// another site does nothing; a body is not shown while the audit trail cannot be written.
func TestBrowser_Refusals(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for role, has := range map[string][]string{"viewer": {}, "operator": {"choose"}, "revealer": {"choose", "reveal", "edit"}, "nobody": nil} {
		tab := w.newTab(true)
		tab.signIn(role)
		if role == "nobody" {
			tab.says("nobody is known here, and may see nothing", "viewer")
			continue
		}
		tab.open("dead/1")
		var forms []string
		for _, a := range get(tab, chromedp.AttributesAll(chromedp.CSSAll("form[method=post]"))) {
			if at := a["action"]; !strings.Contains(at, "theme") && !strings.Contains(at, "sign-out") {
				forms = append(forms, at[strings.LastIndexByte(at, '/')+1:])
			}
		}
		if !slices.Equal(forms, has) && len(forms)+len(has) > 0 {
			t.Errorf("%s is shown %v, want %v", role, forms, has)
		}
		tab.open("audit")
		tab.says(role+" may not read the audit trail: that takes the role admin", "they are "+role)
	}
	other := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("Content-Type", "text/html")
		_, _ = fmt.Fprintf(rw, `<form method="post" action="%spause"><input name="all" value="1"><input name="reason" value="evil"><button>Win</button></form><a href="%sdead">Dead letters</a>`, w.url, w.url)
	}))
	defer other.Close()
	tab := w.newTab(true)
	tab.signIn("admin")
	tab.do(chromedp.Navigate(other.URL))
	tab.follow("button")
	tab.says("another site", "Nothing was done")
	tab.do(chromedp.Navigate(other.URL)) // a link finds the session
	tab.follow("a")
	tab.do(chromedp.WaitVisible(chromedp.CSS("#dead")))
	tab.says("12 dead letters in all")
	if d := w.deeds(); len(d) != 0 {
		t.Errorf("something was done: %+v", d)
	}
	must(t, w.js.DeleteStream(t.Context(), "REDOX_AUDIT"))
	for _, action := range []string{"reveal", "edit"} {
		tab.open("dead/1")
		tab.act(action, "ticket 7")
		tab.says("its entry in the audit trail could not be written")
		if strings.Contains(tab.text(), "Planted") {
			t.Errorf("%s shows the body without an audit trail", action)
		}
	}
}

// The console is driven by keys, says where the focus is, and follows what goes on without taking it away.
func TestBrowser_Keys(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	tab := w.newTab(true)
	tab.signIn("operator")
	tab.open("dead")
	focused := func() string {
		return get(tab, chromedp.Evaluate[string](`(e => e.id || e.name || e.getAttribute("href") || e.textContent)(document.activeElement)`))
	}
	press := func(keys string) { tab.do(chromedp.KeyEvent(keys)) }
	press("\t")
	if at := focused(); at != "#main" {
		t.Errorf("the first stop is %q, not what skips to the content", at)
	}
	press("/")
	if at := focused(); at != "filter" {
		t.Errorf("/ leads to %q", at)
	}
	tab.do(chromedp.Blur(chromedp.CSS("#filter")))
	press("j")
	press("j")
	press("x")
	if n := get(tab, chromedp.Evaluate[int](`document.querySelectorAll("tbody tr:nth-child(2) input:checked").length`)); n != 1 {
		t.Errorf("j, j and x choose %d", n)
	}
	outline := get(tab, chromedp.Evaluate[string](`getComputedStyle(document.activeElement).outlineStyle`))
	if outline == "none" {
		t.Error("the focus is not to be seen")
	}
	press("?")
	if !get(tab, chromedp.Evaluate[bool](`document.querySelector("dialog").open`)) {
		t.Error("? shows no keys")
	}
	press("\x1b")
	if sent := get(tab, chromedp.Evaluate[string](`(f => [1, 2].map(() => f.dispatchEvent(new SubmitEvent("submit", {cancelable: true, bubbles: true}))).join())(document.querySelector("#bulk"))`)); sent != "true,false" {
		t.Errorf("a form that is sent twice: %s", sent)
	}
	tab.staysAcross()
	tab.open("")
	tab.click("details.act summary")
	tab.do(chromedp.Focus(chromedp.CSS("details[open] input[name=reason]")), chromedp.SendKeys(chromedp.CSS("details[open] input[name=reason]"), "half a rea"))
	before := get(tab, chromedp.Text(chromedp.CSS("#totals")))
	_, err := w.js.Publish(t.Context(), "redox.out.clinic-c.send", []byte(`{}`))
	must(t, err)
	if _, err := chromedp.Run(tab.ctx, chromedp.Poll[bool](`document.querySelector("#totals").innerText !== `+fmt.Sprintf("%q", before))); err != nil {
		t.Fatal(err)
	}
	if value := get(tab, chromedp.Value(chromedp.CSS("details[open] input[name=reason]"))); value != "half a rea" || focused() != "reason" {
		t.Errorf("what was typed is %q, and the focus at %q", value, focused())
	}
}

// staysAcross: a table of a narrow window stays where it was moved to when its page is brought up to date.
func (t *tab) staysAcross() {
	t.Helper()
	t.look(360, "light")
	t.open("dead")
	t.do(chromedp.Evaluate[chromedp.Void](`document.querySelector("#dead .scroll").scrollLeft = 120`))
	l := dlq.Letter{MessageID: "later", Source: "clinic-a", Settlement: outbox.Held, Error: "by hand", At: time.Now(), Subject: "redox.out.clinic-a.send", Sequence: 99, Worker: "worker-1", Body: []byte("{}")}
	_, err := t.js.PublishMsg(t.Context(), l.Encode(""))
	must(t, err)
	if _, err := chromedp.Run(t.ctx, chromedp.Poll[bool](`document.querySelector("#dead").innerText.includes("later")`)); err != nil {
		t.Fatal(err)
	}
	if at := get(t, chromedp.Evaluate[int](`document.querySelector("#dead .scroll").scrollLeft`)); at != 120 {
		t.Errorf("the table is at %d", at)
	}
	t.look(1440, "light")
}
