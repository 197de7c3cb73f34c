package conformance

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

// screen is a page of the console: its path, and what is done there to come to it.
type screen struct {
	name, path string
	then       func(*tab)
}

// screens are all of them, as an admin sees them.
var screens = []screen{
	{"overview", "", nil},
	{"overview-pause", "", func(t *tab) { t.click("details.act summary") }},
	{"dead", "dead", nil},
	{"dead-more", "dead?model=Order&status=4xx", nil},
	{"letter", "dead/1", nil},
	{"choose", "dead", func(t *tab) { t.follow("button[value=replay-all]") }},
	{"revealed", "dead/2", func(t *tab) { t.act("reveal", "ticket 7") }},
	{"edit", "dead/3", func(t *tab) { t.act("edit", "ticket 7") }},
	{"replays", "replays", nil},
	{"order", "order", nil},
	{"order-held", "order/held", nil},
	{"sources", "sources", nil},
	{"sources-add", "sources", func(t *tab) { t.click("details.act summary") }},
	{"keys", "keys", nil},
	{"workers", "workers", nil},
	{"outbox", "outbox", nil},
	{"outbox-choose", "outbox", func(t *tab) { t.follow("button[value=retry-all]") }},
	{"audit", "audit", nil},
	{"refusal", "dead/99", nil},
	{"sign-in", "sign-in", nil},
}

// wide are the screens that are looked at on the widest displays, too.
var wide = []string{"overview", "dead", "letter", "outbox", "choose", "sign-in"}

// tooWide says what does not fit a display, and which text has lines that nobody reads: over 110 letters of
// middling width.
const tooWide = `(() => {
  const over = document.documentElement.scrollWidth - document.documentElement.clientWidth;
  if (over > 0) return "it is wider than the window by " + over;
  for (const el of document.querySelectorAll("main p, main li, main label")) {
    const range = document.createRange();
    range.selectNodeContents(el);
    const letters = range.getBoundingClientRect().width / parseFloat(getComputedStyle(el).fontSize) * 2;
    if (letters > 110 && el.children.length < 4) return "a line of " + Math.round(letters) + " letters: " + el.textContent.trim().slice(0, 80);
  }
  return "";
})()`

// act opens what asks for a reason, and gives one.
func (t *tab) act(action, reason string) {
	t.Helper()
	form := `form[action$="/` + action + `"]`
	t.do(chromedp.Click(chromedp.CSS(`details:has(> ` + form + `) > summary`)))
	t.fill(form+" input[name=reason]", reason)
	t.follow(form + " button")
}

// violation is what axe-core finds.
type violation struct {
	ID, Impact, Help string
	Nodes            []struct{ HTML, FailureSummary string }
}

// axe returns what axe-core finds in the page, which it was put into.
func (t *tab) axe() (found []violation) {
	t.Helper()
	text := get(t, chromedp.Evaluate[string](`axe.run(document, {resultTypes: ["violations"]}).then(r => JSON.stringify(r.violations))`, chromedp.EvalAwaitPromise))
	must(t, json.Unmarshal([]byte(text), &found))
	return found
}

// axe-core finds nothing on any screen, in both themes, on a phone and on a desk; and none is wider than
// the window.
func TestBrowser_AxeFindsNothing(t *testing.T) {
	t.Parallel()
	source, err := os.ReadFile(filepath.Join(npmDir, "node_modules", "axe-core", "axe.min.js"))
	if err != nil {
		t.Fatalf("axe-core is missing: run npm ci --prefix worker/console/conformance/%s: %v", npmDir, err)
	}
	w := newWorld(t)
	tab := w.newTab(true)
	tab.signIn("admin")
	looked := 0
	for _, s := range screens {
		if s.name == "sign-in" {
			tab.open("")
			tab.follow(`form[action$="sign-out"] button`)
		}
		tab.look(1440, "light")
		tab.open(s.path)
		if s.then != nil {
			s.then(tab)
		}
		if _, err := chromedp.Run(tab.ctx, chromedp.Evaluate[any](string(source)+";0")); err != nil {
			t.Fatal(err)
		}
		for _, theme := range []string{"light", "dark"} {
			for _, width := range []int64{360, 1440} {
				name := fmt.Sprintf("%s-%s-%d", s.name, theme, width)
				tab.look(width, theme)
				for _, v := range tab.axe() {
					t.Errorf("%s: %s (%s): %s", name, v.ID, v.Impact, v.Help)
					for _, n := range v.Nodes {
						t.Logf("  %s\n    %s", n.HTML, strings.ReplaceAll(n.FailureSummary, "\n", " "))
					}
				}
				if over := get(tab, chromedp.Evaluate[int](`document.documentElement.scrollWidth - document.documentElement.clientWidth`)); over > 0 {
					t.Errorf("%s is wider than the window by %d", name, over)
				}
				tab.picture(name)
				looked++
			}
			if slices.Contains(wide, s.name) {
				tab.look(3840, theme)
				if found := get(tab, chromedp.Evaluate[string](tooWide)); found != "" {
					t.Errorf("%s-%s-3840: %s", s.name, theme, found)
				}
				tab.picture(fmt.Sprintf("%s-%s-3840", s.name, theme))
				looked++
			}
		}
	}
	t.Logf("%d looks", looked)
}
