package console

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/redoxworker/redoxworker/outbox/sqloutbox"
	"github.com/redoxworker/redoxworker/worker/console/access"
	"github.com/redoxworker/redoxworker/worker/overview"
)

const (
	// shownRows is how many failed rows a page has, mostShownRows how many it may be asked for.
	shownRows, mostShownRows = 50, 1000
	// rowsWait bounds what is asked of the database.
	rowsWait = 8 * time.Second
)

// rowFilter selects failed rows of the outbox, as a form or an address says it.
type rowFilter struct{ Source, Failed string }

func (r *request) rowFilter() rowFilter {
	return rowFilter{strings.TrimSpace(r.FormValue("source")), strings.TrimSpace(r.FormValue("failed"))}
}

// Values are the same for an address.
func (f rowFilter) Values() url.Values {
	v := url.Values{}
	for name, value := range map[string]string{"source": f.Source, "failed": f.Failed} {
		if value != "" {
			v.Set(name, value)
		}
	}
	return v
}

// Any reports whether it leaves anything out.
func (f rowFilter) Any() bool { return f != rowFilter{} }

// String is what the audit trail says of it.
func (f rowFilter) String() string {
	var all []string
	if f.Source != "" {
		all = append(all, "source "+f.Source)
	}
	if f.Failed != "" {
		all = append(all, "failed with "+strconv.Quote(f.Failed))
	}
	return strings.Join(all, ", ")
}

// outboxData is what the page of the outbox shows.
type outboxData struct {
	Status  *overview.Outbox // nil where no worker relays one, and for who may see some sources only
	Fleet   bool             // the user may see what is of no source
	Reached bool             // the console reaches the database
	Trouble string           // why it does not answer
	Filter  rowFilter
	Rows    []sqloutbox.FailedRow
	Found   int64
	More    string // the address of the next page; "" when there is none
	Newer   bool   // it is not the first page
	First   string
	Actions bool
}

// showOutbox shows the SQL outbox that workers relay, and its failed rows where the database is reached.
func (c *Console) showOutbox(w http.ResponseWriter, r *request) error {
	data := outboxData{Fleet: r.user.May(access.See, ""), Reached: c.config.Outbox != nil, Filter: r.rowFilter(), Actions: r.user.MayAny(access.Retry)}
	if data.Fleet {
		view, err := c.view.latest(r.Context())
		if err != nil && (r.json || !data.Reached) { // else what is in the database can be shown
			return err
		}
		if view != nil {
			data.Status = view.Outbox
		}
	}
	if r.json {
		r.writeJSON(w, http.StatusOK, data.Status)
		return nil
	}
	if data.Reached {
		if err := r.rowsPage(&data); err != nil {
			return err
		}
	}
	return r.live(w, r.page("outbox", "Outbox", data))
}

// rowsPage adds a stretch of the failed rows, the oldest first.
func (r *request) rowsPage(data *outboxData) error {
	after, err := r.number("after", 0, 1<<62)
	if err != nil {
		return err
	}
	q, err := r.rowQuery(data.Filter, access.See)
	if err == nil {
		data.Found, _, err = r.countRows(q)
	}
	if err == nil {
		q.After, q.Limit = int64(after), shownRows+1
		data.Rows, err = r.rows(q)
	}
	if p := (*problem)(nil); err != nil {
		if p = r.console.problemOf(err); p.Status != http.StatusServiceUnavailable {
			return err
		}
		data.Trouble = p.Text
	}
	data.Newer, data.First = after > 0, address("outbox", data.Filter.Values())
	if len(data.Rows) > shownRows {
		data.Rows = data.Rows[:shownRows]
		data.More = "outbox?" + with(data.Filter.Values(), "after", strconv.FormatInt(data.Rows[shownRows-1].Seq, 10)).Encode()
	}
	return nil
}

// showRows tells programs of failed rows, as outbox failed ls --json does; people see them with the outbox.
func (c *Console) showRows(w http.ResponseWriter, r *request) error {
	if !r.json {
		return c.showOutbox(w, r)
	}
	if err := r.reached(); err != nil {
		return err
	}
	q, err := r.rowQuery(r.rowFilter(), access.See)
	if err != nil {
		return err
	}
	after, err := r.number("after", 0, 1<<62)
	if err != nil {
		return err
	}
	limit, err := r.number("limit", shownRows, mostShownRows)
	if err != nil {
		return err
	}
	q.After, q.Limit = int64(after), int(max(1, limit))
	rows, err := r.rows(q)
	if err != nil {
		return err
	}
	if len(rows) == q.Limit {
		next := with(r.rowFilter().Values(), "after", strconv.FormatInt(rows[len(rows)-1].Seq, 10))
		next.Set("limit", strconv.Itoa(q.Limit))
		w.Header().Set("Link", "<"+access.Relative(r.Request, "outbox/failed?"+next.Encode())+`>; rel="next"`)
	}
	return writeLines(w, rows)
}

// reached fails where the console does not reach the database.
func (r *request) reached() error {
	if r.console.config.Outbox != nil {
		return nil
	}
	return &problem{Status: http.StatusNotFound, Text: "this console does not reach the database of an outbox", Mend: "set outbox.driver and outbox.dsn for it, or use `redoxworker outbox failed ls` where the database is reached"}
}

// rowQuery is what the filter selects of the rows to which the user may do something.
func (r *request) rowQuery(f rowFilter, a access.Action) (q sqloutbox.FailedQuery, err error) {
	q.Reason = f.Failed
	if f.Source != "" {
		q.Sources = []string{f.Source}
		return q, r.may(a, f.Source)
	}
	if r.user.May(a, "") {
		return q, nil
	}
	ctx, cancel := context.WithTimeout(r.Context(), rowsWait)
	defer cancel()
	sources, err := r.console.config.Outbox.FailedSources(ctx, r.console.config.Database)
	if err != nil {
		return q, r.databaseAway(err)
	}
	q.Sources = []string{noSources}
	for source := range sources {
		if r.user.May(a, source) {
			q.Sources = append(q.Sources, source)
		}
	}
	return q, nil
}

func (r *request) countRows(q sqloutbox.FailedQuery) (rows, last int64, err error) {
	ctx, cancel := context.WithTimeout(r.Context(), rowsWait)
	defer cancel()
	rows, last, err = r.console.config.Outbox.CountFailed(ctx, r.console.config.Database, q)
	return rows, last, r.databaseAway(err)
}

func (r *request) rows(q sqloutbox.FailedQuery) ([]sqloutbox.FailedRow, error) {
	ctx, cancel := context.WithTimeout(r.Context(), rowsWait)
	defer cancel()
	rows, err := r.console.config.Outbox.FailedRows(ctx, r.console.config.Database, q)
	return rows, r.databaseAway(err)
}

// databaseAway is an error of the database, whose text may name users and hosts, as people are told.
func (r *request) databaseAway(err error) error {
	if err == nil || r.Context().Err() != nil {
		return err
	}
	r.console.log.Warn("the database of the outbox does not answer as it should", "error", err)
	return &problem{Status: http.StatusServiceUnavailable, Text: "the database of the outbox does not answer as it should; the log of the console says why", Mend: "redoxworker check looks at the database, too"}
}
