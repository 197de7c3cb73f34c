package console

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/dlq"
	"github.com/redoxworker/redoxworker/worker/console/access"
	"github.com/redoxworker/redoxworker/worker/operate"
	"github.com/redoxworker/redoxworker/worker/overview"
)

const (
	// shownLetters is how many dead letters a page has, mostLetters how many it may be asked for.
	shownLetters, mostLetters = 50, 1000
	// scanned bounds how many are looked at for one page, scannedBodies where their bodies are.
	scanned, scannedBodies = 5000, 500
)

// letterRow is a dead letter as programs are told of it: as dlq ls and dlq show do with --json.
type letterRow struct {
	operate.Row
	Headers map[string][]string `json:"headers,omitempty"`
	letterBody
}

func newLetterRow(l dlq.Stored) letterRow { return letterRow{Row: operate.NewRow(l)} }

// deadData is what the list shows.
type deadData struct {
	Filter  filter
	Rows    []letterRow
	Total   uint64 // of all that the user may see, whatever the filter
	Known   bool   // Total is
	Newer   bool   // it is not the first page
	Older   string // the address of the next page; "" when there is none
	First   string // that of the first page
	Scanned int    // looked at in vain, where the page is not full for it
	Bad     int    // messages of the stream that are no dead letters
	Reasons []overview.DeadReason
	Sample  int
	Sources []string
	Actions bool
}

var settlements = []outbox.Settlement{outbox.Rejected, outbox.Expired, outbox.Exhausted, outbox.Held, outbox.Poison}

// Settlements are those that a dead letter may have.
func (deadData) Settlements() []outbox.Settlement { return settlements }

// Kinds are those that a message may have.
func (deadData) Kinds() []outbox.Kind {
	return []outbox.Kind{outbox.KindDataModel, outbox.KindFHIR, outbox.KindFile, outbox.KindPlatform}
}

// showDead lists dead letters, the newest first; to programs as dlq ls --json does.
func (c *Console) showDead(w http.ResponseWriter, r *request) error {
	f := r.filter()
	q, err := f.query(r, access.See)
	if err != nil {
		return err
	}
	q.Models = true
	o := dlq.PageOptions{Limit: shownLetters, Scan: scanned}
	limit, err := r.number("limit", shownLetters, mostLetters)
	if err != nil {
		return err
	}
	o.Limit = int(max(1, limit))
	if o.Before, err = r.number("before", 0, 0); err != nil {
		return err
	}
	if len(q.DataModels)+len(q.EventTypes) > 0 {
		o.Scan = scannedBodies
	}
	page, err := c.lists.page(r, f, q, o)
	if err != nil {
		return err
	}
	data := deadData{Filter: f, Newer: o.Before > 0, First: address("dead", f.Values()), Bad: page.bad, Rows: page.rows}
	if page.next > 0 {
		data.Older = "dead?" + with(f.Values(), "before", strconv.FormatUint(page.next, 10)).Encode()
		if len(data.Rows) < o.Limit {
			data.Scanned = page.scanned
		}
	}
	if r.json {
		if page.next > 0 {
			w.Header().Set("Link", "<"+access.Relative(r.Request, data.Older)+`>; rel="next"`)
		}
		return writeLines(w, data.Rows)
	}
	return c.listDead(w, r, data)
}

// listDead adds what the page tells of all dead letters.
func (c *Console) listDead(w http.ResponseWriter, r *request, data deadData) error {
	if view, err := r.view(); err == nil && view.Dead != nil {
		data.Total, data.Known, data.Reasons, data.Sample = view.Dead.Messages, true, view.Dead.Reasons, view.Dead.Sample
		data.Reasons = data.Reasons[:min(len(data.Reasons), 10)]
		for source := range view.Dead.Sources {
			data.Sources = append(data.Sources, source)
		}
		slices.Sort(data.Sources)
		data.Sources = data.Sources[:min(len(data.Sources), 500)]
	}
	data.Actions = r.user.MayAny(access.Replay)
	p := r.page("dead", "Dead letters", data)
	p.Live = !data.Newer
	return r.show(w, p)
}

// address is a path with a query, where there is one.
func address(path string, query url.Values) string {
	if len(query) == 0 {
		return path
	}
	return path + "?" + query.Encode()
}

func with(v url.Values, name, value string) url.Values {
	v.Set(name, value)
	return v
}
