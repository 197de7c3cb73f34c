package conformance

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// chrome is one browser for all tests.
var chrome struct {
	sync.Mutex
	ctx  context.Context
	stop []context.CancelFunc
}

func TestMain(m *testing.M) {
	code := m.Run()
	for _, stop := range chrome.stop {
		stop()
	}
	os.Exit(code)
}

// tab is one of a browser that keeps its own cookies.
type tab struct {
	*world
	ctx context.Context

	mu     sync.Mutex
	errors []string
}

// newTab opens a tab, with scripts or without.
func (w *world) newTab(scripts bool) *tab {
	w.Helper()
	chrome.Lock() // one tab at a time is made
	defer chrome.Unlock()
	if chrome.ctx == nil {
		path, err := exec.LookPath("chromium-headless-shell")
		if err != nil {
			w.Fatal("chromium-headless-shell is not installed: apt-get install chromium-headless-shell; this test looks at the console in a browser")
		}
		at, stop := chromedp.NewExecAllocator(context.Background(), chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.Headless, chromedp.DisableGPU, chromedp.NoFirstRun)
		ctx, end := chromedp.NewContext(at)
		if err := chromedp.Do(ctx, chromedp.Navigate("about:blank")); err != nil {
			w.Fatal(err)
		}
		chrome.ctx, chrome.stop = ctx, []context.CancelFunc{end, stop}
	}
	ctx, cancel := chromedp.NewContext(chrome.ctx, chromedp.WithNewBrowserContext())
	w.Cleanup(cancel)
	t := &tab{world: w, ctx: ctx}
	must(w, chromedp.Do(ctx, chromedp.Navigate("about:blank"))) // the tab lasts as long as this context
	must(w, chromedp.Listen(ctx, func(ev any) {
		t.mu.Lock()
		defer t.mu.Unlock()
		switch ev := ev.(type) {
		case *log.EventEntryAdded:
			if ev.Entry.Source != log.EntrySourceNetwork && ev.Entry.Level != log.EntryLevelInfo && ev.Entry.Level != log.EntryLevelVerbose { // a refusal is what some tests want
				t.errors = append(t.errors, ev.Entry.Text)
			}
		case *runtime.EventExceptionThrown:
			t.errors = append(t.errors, ev.ExceptionDetails.Text)
		}
	}))
	limited, stop := context.WithTimeout(ctx, patience)
	defer stop()
	_, err := chromedp.Call(limited, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: !scripts})
	must(w, err)
	w.Cleanup(func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		if len(t.errors) > 0 {
			w.Errorf("the browser complains: %q", t.errors)
		}
	})
	return t
}

// patience is how long an element is waited for that does not come: the failure then says which.
const patience = time.Minute

func (t *tab) do(steps ...chromedp.Action[chromedp.Void]) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.ctx, patience)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		t.Fatalf("at %s: %v", t.where(), err)
	}
}

// where is the address of the page.
func (t *tab) where() string {
	at, err := chromedp.Run(t.ctx, chromedp.Location())
	if err != nil {
		return err.Error()
	}
	return at
}

// get is what an action returns.
func get[T any](t *tab, a chromedp.Action[T]) T {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.ctx, patience)
	defer cancel()
	v, err := chromedp.Run(ctx, a)
	if err != nil {
		t.Fatalf("at %s: %v", t.where(), err)
	}
	return v
}

func (t *tab) open(path string) {
	t.Helper()
	t.do(chromedp.Navigate(t.url + path))
}

// follow clicks what leads to another page, and waits for that.
func (t *tab) follow(css string) {
	t.Helper()
	get(t, chromedp.WaitEvent(page.LoadEventFired, nil, chromedp.Click(chromedp.CSS(css))))
}

func (t *tab) click(css string) { t.Helper(); t.do(chromedp.Click(chromedp.CSS(css))) }

func (t *tab) fill(css, text string) {
	t.Helper()
	t.do(chromedp.SetValue(chromedp.CSS(css), text))
}

// text is what the page says.
func (t *tab) text() string { t.Helper(); return get(t, chromedp.Text(chromedp.CSS("body"))) }

// says fails the test where the page does not say something.
func (t *tab) says(all ...string) {
	t.Helper()
	text := t.text()
	for _, one := range all {
		if !strings.Contains(text, one) {
			t.Errorf("%s does not say %q:\n%s", get(t, chromedp.Location()), one, text)
		}
	}
}

// signIn signs a role in, by the page.
func (t *tab) signIn(role string) {
	t.Helper()
	t.open("")
	t.fill("#secret", t.tokens[role])
	t.follow("form button")
}

// look sets width and theme.
func (t *tab) look(width int64, theme string) {
	t.Helper()
	t.do(chromedp.EmulateViewport(width, 900))
	_, err := chromedp.Call(t.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: theme}, {Name: "prefers-reduced-motion", Value: "reduce"}}})
	must(t, err)
}

// picture keeps a picture of the page where one is wanted.
func (t *tab) picture(name string) {
	t.Helper()
	if dir := screenshots(); dir != "" {
		must(t, os.WriteFile(filepath.Join(dir, name+".png"), get(t, chromedp.FullScreenshot(100)), 0o600))
	}
}
