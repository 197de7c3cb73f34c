package console

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/redoxworker/redoxworker/config"
	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/worker/console/access"
	"github.com/redoxworker/redoxworker/worker/overview"
	"github.com/redoxworker/redoxworker/worker/service/registry"
)

// shownSources is how many sources a page has.
const shownSources = 100

// settings are those of the workers, as far as they are known.
func (c *Console) settings() *config.Config {
	if c.config.Settings != nil {
		return c.config.Settings
	}
	return &config.Config{Registry: true}
}

// sourcesData is what the page of sources shows.
type sourcesData struct {
	Query   string
	Rows    []sourceRow
	Total   int
	Found   int
	More    string // the address of the next page
	Newer   bool
	First   string
	Trouble string // why the registry cannot be read
	Known   bool   // the registry is there
	MayAdd  bool
	Keys    []string
}

// sourceRow is a source with what is known of it now.
type sourceRow struct {
	registry.Row
	State   string
	Why     string
	Backlog uint64
	Dead    uint64
	Fixed   bool // it is in a file
}

// showSources lists sources; to programs as sources ls --json does.
func (c *Console) showSources(w http.ResponseWriter, r *request) error {
	if r.json {
		return asking(c.tellSources)(w, r)
	}
	data := sourcesData{Query: strings.TrimSpace(r.FormValue("q")), MayAdd: r.user.MayAny(access.Sources), Newer: r.FormValue("after") != ""}
	all, err := r.sources()
	switch {
	case errors.Is(err, registry.ErrNoRegistry):
		if data.Trouble = err.Error(); !c.settings().Registry {
			data.Trouble = ""
		}
	case err != nil:
		data.Trouble = c.problemOf(err).Text
	default:
		data.Known = true
	}
	data.Total = len(all)
	all = slices.DeleteFunc(all, func(row registry.Row) bool { return !strings.Contains(row.Source, data.Query) })
	data.Found = len(all)
	data.page(all, r.FormValue("after"))
	view, err := r.view()
	if err != nil {
		view = &overview.Overview{}
	}
	data.know(view, c.config.Prefix)
	if data.MayAdd {
		data.Keys = r.keyNames(view)
	}
	return r.live(w, r.page("sources", "Sources", data))
}

// sources are those that the user may see, as far as they are known; the error is why those of the registry
// are not.
func (r *request) sources() ([]registry.Row, error) {
	c, known := r.console, registry.Snapshot{Err: errNothingKnown}
	if s := c.sources.Load(); s != nil {
		known = *s
	}
	all := registry.Rows(c.settings(), c.config.Prefix, known.Entries())
	return slices.DeleteFunc(all, func(row registry.Row) bool { return !r.user.May(access.See, row.Source) }), known.Err
}

// page takes a stretch of the sources.
func (d *sourcesData) page(all []registry.Row, after string) {
	from := 0
	if after != "" {
		from, _ = slices.BinarySearchFunc(all, after, func(row registry.Row, name string) int { return strings.Compare(row.Source, name) })
		for from < len(all) && all[from].Source == after {
			from++
		}
	}
	to := min(len(all), from+shownSources)
	for to > 0 && to < len(all) && all[to].Source == all[to-1].Source { // a name may stand in a file and the registry
		to++
	}
	for _, row := range all[from:to] {
		d.Rows = append(d.Rows, sourceRow{Row: row})
	}
	address := url.Values{"q": {d.Query}}
	if d.First = "sources?" + address.Encode(); to < len(all) {
		d.More = "sources?" + with(address, "after", all[to-1].Source).Encode()
	}
}

// know adds what goes on. Of thousands of backlogs and pauses each is looked at once.
func (d *sourcesData) know(v *overview.Overview, p contract.Prefix) {
	rows := map[string][]*sourceRow{}
	for i := range d.Rows {
		s := &d.Rows[i]
		s.State, s.Fixed = "serving", s.From != p.SourcesBucket()
		rows[s.Source] = append(rows[s.Source], s)
	}
	for _, b := range v.Backlogs {
		for _, s := range rows[b.Source] {
			if s.Backlog += b.Messages; s.Why == "" && (b.Why.Blocked() || s.State == "serving") {
				s.State, s.Why = string(b.Why.State), b.Why.Text
			}
		}
	}
	for _, pause := range v.Pauses {
		source, ok := sourceOfScope(pause.Scope)
		if !ok || !strings.HasPrefix(pause.Scope, "source:") {
			continue
		}
		for _, s := range rows[source] {
			s.State, s.Why = string(overview.Paused), pause.Reason
			if pause.Refused {
				s.State = string(overview.Refused)
			}
		}
	}
	for i := range d.Rows {
		d.Rows[i].judge(v)
	}
}

// judge adds what is wrong with it, and its dead letters.
func (s *sourceRow) judge(v *overview.Overview) {
	if s.Problem != "" {
		s.State, s.Why = "not served", s.Problem
	}
	if v.Dead != nil {
		s.Dead = v.Dead.Sources[s.Source]
	}
}

// keyNames are those that the user may give to a source: of the configuration and of the workers; for who may
// change some sources only those that these have. A key may be called as a customer is.
func (r *request) keyNames(v *overview.Overview) []string {
	var all []string
	if r.user.May(access.Sources, "") {
		for name := range r.console.settings().Keys {
			all = append(all, name)
		}
		for _, k := range v.Keys {
			all = append(all, k.Name)
		}
	} else {
		rows, _ := r.sources() // as far as they are known
		for _, row := range rows {
			if r.user.May(access.Sources, row.Source) {
				all = append(all, row.Key)
			}
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// tellSources tells programs.
func (c *Console) tellSources(w http.ResponseWriter, r *request) error {
	free, err := r.busy()
	if err != nil {
		return err
	}
	defer free()
	entries, err := registry.New(c.config.JS, registry.Options{Prefix: c.config.Prefix}).List(r.Context())
	if err != nil && !(errors.Is(err, registry.ErrNoRegistry) && !c.settings().Registry) {
		return err
	}
	rows := registry.Rows(c.settings(), c.config.Prefix, entries)
	return writeLines(w, slices.DeleteFunc(rows, func(row registry.Row) bool { return !r.user.May(access.See, row.Source) }))
}

// sourceData is what the form of one source shows.
type sourceData struct {
	registry.Row
	Keys     []string
	Waiting  uint64
	Problems []string // of a form that was sent
	status   int      // for them
	New      bool
}

// mayGive refuses a key that no source has which the user may change: messages would be sent with what is another
// customer's.
func (r *request) mayGive(key string) error {
	if r.user.May(access.Sources, "") || slices.Contains(r.keyNames(nil), key) {
		return nil
	}
	if _, err := r.sources(); err != nil && !errors.Is(err, registry.ErrNoRegistry) {
		return err // which keys they have is not known
	}
	return &problem{Status: http.StatusForbidden, Text: "you may change some sources only, and none of these has that key; nothing was changed", Mend: "give a key that one of them has, or ask somebody who may change all sources"}
}

// registry is that of the user, with a reason.
func (r *request) registry() (*registry.Registry, error) {
	reason, err := r.reason(true)
	if err != nil {
		return nil, err
	}
	record, err := r.recorder()
	if err != nil {
		return nil, err
	}
	return registry.New(r.console.config.JS, registry.Options{Prefix: r.console.config.Prefix, Audit: record, Reason: reason}), nil
}

// showSource shows one source of the registry in a form.
func (c *Console) showSource(w http.ResponseWriter, r *request) error {
	name := r.PathValue("name")
	if err := r.may(access.Sources, name); err != nil {
		return err
	}
	e, err := registry.New(c.config.JS, registry.Options{Prefix: c.config.Prefix}).Get(r.Context(), name)
	if err != nil {
		return err
	}
	row := registry.Rows(&config.Config{Registry: true}, c.config.Prefix, []registry.Entry{e})[0]
	if r.json {
		r.writeJSON(w, http.StatusOK, row)
		return nil
	}
	return c.sourceForm(w, r, sourceData{Row: row})
}

func (c *Console) sourceForm(w http.ResponseWriter, r *request, data sourceData) error {
	view, err := c.view.latest(r.Context())
	if err != nil {
		view = &overview.Overview{}
	}
	data.Keys = r.keyNames(view)
	for _, b := range view.Backlogs {
		if b.Source == data.Source {
			data.Waiting += b.Messages
		}
	}
	title := "Source " + data.Source
	if data.New {
		title = "Add a source"
	}
	p := r.page("source", title, data)
	if p.Screen = "sources"; len(data.Problems) > 0 {
		p.status = data.status
	}
	return r.show(w, p)
}

// addSource stores a source that the registry does not have.
func (c *Console) addSource(w http.ResponseWriter, r *request) error {
	return c.putSource(w, r, strings.TrimSpace(r.FormValue("name")), true)
}

// setSource stores a source in place of the one that was shown.
func (c *Console) setSource(w http.ResponseWriter, r *request) error {
	return c.putSource(w, r, r.PathValue("name"), false)
}

func (c *Console) putSource(w http.ResponseWriter, r *request, name string, isNew bool) error {
	if err := contract.CheckSource(name); err != nil {
		return invalid(err)
	}
	if err := r.may(access.Sources, name); err != nil {
		return err
	}
	reg, err := r.registry()
	if err != nil {
		return err
	}
	s := config.Source{ID: strings.TrimSpace(r.FormValue("source_id")), Key: strings.TrimSpace(r.FormValue("key")), Environment: r.FormValue("environment"), SlugGuard: r.FormValue("slug_guard"), OnUnknown: r.FormValue("on_unknown")}
	for one := range strings.SplitSeq(r.FormValue("hold"), ",") {
		if one = strings.TrimSpace(one); one != "" {
			s.Hold = append(s.Hold, one)
		}
	}
	if err := r.mayGive(s.Key); err != nil {
		return err
	}
	var revision uint64
	if !isNew {
		if revision, err = r.number("revision", 0, 0); err != nil || revision == 0 {
			return &problem{Status: http.StatusUnprocessableEntity, Text: "revision: missing: a change says which state it follows"}
		}
	}
	e, err := reg.Put(r.Context(), name, s, revision)
	var wrong config.Problems
	status := http.StatusUnprocessableEntity
	if errors.Is(err, registry.ErrExists) {
		status, wrong = http.StatusConflict, config.Problems{{Key: "name", Text: "there is a source " + name + " already", Mend: "choose another name, or change that one"}}
	}
	if (errors.As(err, &wrong) || len(wrong) > 0) && !r.json {
		data := sourceData{Row: registry.Row{Source: name, ID: s.ID, Key: s.Key, Environment: s.Environment, SlugGuard: s.SlugGuard, OnUnknown: s.OnUnknown, Hold: s.Hold, Revision: revision}, New: isNew, status: status}
		for _, p := range wrong {
			data.Problems = append(data.Problems, p.String())
		}
		return c.sourceForm(w, r, data)
	}
	if err != nil {
		return err
	}
	c.view.done()
	done := "set"
	if isNew {
		done = "added"
	}
	return r.seeOther(w, "sources?done="+done+"&q="+name, map[string]any{"source": name, "action": map[bool]string{true: "add", false: "set"}[isNew], "changed": true, "revision": e.Revision})
}

// removeSource takes a source out of the registry for which no message waits, unless that is meant.
func (c *Console) removeSource(w http.ResponseWriter, r *request) error {
	name := r.PathValue("name")
	if err := r.may(access.Sources, name); err != nil {
		return err
	}
	reg, err := r.registry()
	if err != nil {
		return err
	}
	revision, err := strconv.ParseUint(r.FormValue("revision"), 10, 64)
	if err != nil {
		return &problem{Status: http.StatusUnprocessableEntity, Text: "revision: missing: a change says which state it follows"}
	}
	waiting, err := reg.Waiting(r.Context(), name)
	if err != nil {
		return err
	}
	if waiting > 0 && r.FormValue("force") != "1" {
		return &problem{Status: http.StatusConflict, Text: fmt.Sprintf("%s of %s are in the queue, which nobody would serve; nothing was changed", plural(waiting, "message"), name), Mend: "wait until they are delivered, or say that they may stay"}
	}
	if err := reg.Delete(r.Context(), name, revision); err != nil {
		return err
	}
	c.view.done()
	return r.seeOther(w, "sources?done=removed", map[string]any{"source": name, "action": "rm", "changed": true, "waiting": waiting})
}
