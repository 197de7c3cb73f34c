package access

import (
	"bytes"
	_ "embed"
	"html/template"
	"net/http"
	"strings"
	"unicode"
)

//go:embed page.html
var pageText string

var pageTemplate = template.Must(template.New("page").Parse(pageText))

// page is one that a Guard shows itself.
type page struct {
	Title string
	Text  []string
	Root  string // a reference to the root of the console
	Theme string // that somebody has chosen
	// Form: a page to sign in. Named: with a name beside the secret. Elsewhere: a link to where people
	// sign in.
	Form, Named, Elsewhere bool
	Name, Next, Wrong      string
	// Onward is where the page leads by itself; Back has a link to sign in again; SignOut ends the
	// session.
	Onward        string
	Back, SignOut bool
}

// page writes a page, or problem JSON to who wants that.
func (g *Guard) page(w http.ResponseWriter, r *http.Request, status int, p page) {
	p.Root, p.Theme = Relative(r, ""), Theme(r)
	if p.Onward == "" && WantsJSON(r) {
		Problem{Status: status, Title: p.Title, Detail: strings.TrimSpace(strings.Join(append(p.Text, p.Wrong), " "))}.Write(w)
		return
	}
	var text bytes.Buffer
	if err := pageTemplate.Execute(&text, p); err != nil {
		g.refusals.ErrorContext(r.Context(), "console: a page failed", "error", err)
		http.Error(w, p.Title, http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(text.Bytes()) // whoever is gone does not read it
}

// refuse says what is not done, and why.
func (g *Guard) refuse(w http.ResponseWriter, r *http.Request, status int, title, text string) {
	g.page(w, r, status, page{Title: title, Text: []string{text}, Back: g.way != "" && (status == http.StatusUnauthorized || strings.HasPrefix(r.URL.Path, signInPath))})
}

func (g *Guard) signInPage(w http.ResponseWriter, r *http.Request, status int, next, name, wrong string) {
	p := page{Title: "Sign in", Form: g.form != nil, Elsewhere: g.cfg.Redirector != nil, Next: next, Wrong: wrong}
	if p.Form && g.form.named() {
		p.Named, p.Name = true, printable(name)
	}
	g.page(w, r, status, p)
}

// mostName bounds a name that is shown, in bytes.
const mostName = 256

// printable is a text without what cannot be printed, and not too long.
func printable(s string) string {
	s = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, ""))
	if len(s) > mostName {
		s = strings.ToValidUTF8(s[:mostName], "")
	}
	return s
}
