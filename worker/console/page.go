package console

import (
	"bytes"
	"embed"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/redoxworker/redoxworker/worker/console/access"
)

//go:embed templates/*.html
var templates embed.FS

//go:embed static/console.css static/console.js
var static embed.FS

// parsePages parses each page together with what all have in common.
func parsePages() (map[string]*template.Template, error) {
	files, err := templates.ReadDir("templates")
	if err != nil {
		return nil, err
	}
	pages := map[string]*template.Template{}
	for _, f := range files {
		name := strings.TrimSuffix(f.Name(), ".html")
		if name == "layout" {
			continue
		}
		if pages[name], err = template.New(name).Funcs(functions).ParseFS(templates, "templates/layout.html", "templates/"+f.Name()); err != nil {
			return nil, fmt.Errorf("console: %w", err)
		}
	}
	return pages, nil
}

// page is what every template is given.
type page struct {
	Name   string // of the template
	Title  string
	Screen string // of the navigation
	User   access.User
	Theme  string // light, dark or "" for that of the system
	Root   string // a reference to the first page
	Here   string // of this page, below the root
	Prefix string
	Data   any
	Now    time.Time
	Notice string // what was done
	Live   bool   // it is worth being kept up to date

	status  int
	request *request
}

// page is one of the console.
func (r *request) page(name, title string, data any) *page {
	p := &page{Name: name, Title: title, Screen: name, User: r.user, Root: access.Relative(r.Request, ""), Data: data, Now: time.Now(),
		Prefix: r.console.config.Prefix.String(), Theme: access.Theme(r.Request), status: http.StatusOK, request: r, Notice: notices[r.URL.Query().Get("done")]}
	if r.Method == http.MethodGet {
		p.Here = here(r.URL)
	}
	return p
}

// notices are what a page may say after a deed, by the value of done in its address.
var notices = map[string]string{
	"paused": "Paused. Workers stop pulling within a second; what is in flight goes on.", "resumed": "Resumed.", "not-paused": "It was not paused by an operator.",
	"held":     "A worker settles the message held at its next step, and those behind it go on.",
	"released": "Released.", "added": "Added: workers serve it within a second.", "set": "Changed: workers follow within a second.",
	"removed": "Removed: workers finish what they have of it.", "replayed": "Sent again.", "stopping": "It stops after what is under way.",
	"put-back": "Put back: a relay publishes them next.", "discarded": "Discarded.", "some-rows": "Done with the oldest; the others are still here.",
}

// To is a reference to another page of the console.
func (p *page) To(path string, args ...any) string {
	if len(args) > 0 {
		path = fmt.Sprintf(path, args...)
	}
	return access.Relative(p.request.Request, path)
}

// May reports whether the user may do something to a source; "" stands for all.
func (p *page) May(action, source string) bool { return p.User.May(access.Action(action), source) }

// MayAny reports whether there can be a source to which the user may do it.
func (p *page) MayAny(action string) bool { return p.User.MayAny(access.Action(action)) }

// Screens are the entries of the navigation that the user may open.
func (p *page) Screens() []screen {
	var shown []screen
	for _, s := range screens {
		if p.User.MayAny(s.action) && (!s.all || p.User.May(s.action, "")) {
			shown = append(shown, s)
		}
	}
	return shown
}

// screen is an entry of the navigation.
type screen struct {
	Name, Path, Title string
	action            access.Action
	all               bool // it takes the right for all sources
}

var screens = [...]screen{
	{"overview", "", "Overview", access.See, false}, {"dead", "dead", "Dead letters", access.See, false}, {"replays", "replays", "Replays", access.See, false},
	{"order", "order", "Order", access.See, false}, {"sources", "sources", "Sources", access.See, false}, {"keys", "keys", "Keys", access.See, true},
	{"workers", "workers", "Workers", access.See, true}, {"outbox", "outbox", "Outbox", access.See, false}, {"audit", "audit", "Audit", access.Audit, false},
}

// show renders a page. Nothing is sent of one that fails.
func (r *request) show(w http.ResponseWriter, p *page) error {
	var out bytes.Buffer
	if err := r.console.pages[p.Name].ExecuteTemplate(&out, "layout", p); err != nil {
		return fmt.Errorf("console: page %s: %w", p.Name, err)
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(p.status)
	_, _ = w.Write(out.Bytes()) // the client went away
	return nil
}

// here is the address of a page below the root, without what was done before it.
func here(u *url.URL) string {
	q := u.Query()
	q.Del("done")
	return address(strings.TrimPrefix(u.EscapedPath(), "/"), q)
}

// theme keeps the colours that somebody wants, and goes back to where they were.
func (c *Console) theme(w http.ResponseWriter, hr *http.Request) {
	defer c.recovered(w)
	if fromElsewhere(hr) {
		http.Error(w, "a page of another site asked for this", http.StatusForbidden)
		return
	}
	hr.Body = http.MaxBytesReader(w, hr.Body, mostForm)
	access.SetTheme(w, hr, hr.FormValue("theme"))
	w.Header().Set("Location", access.Inside(hr, hr.FormValue("back")))
	w.WriteHeader(http.StatusSeeOther)
}

// assets are the style and the script.
func assets() http.Handler {
	files := http.FileServerFS(static)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-cache")
		files.ServeHTTP(w, r)
	})
}
