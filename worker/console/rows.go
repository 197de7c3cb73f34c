package console

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redoxworker/redoxworker/outbox/sqloutbox"
	"github.com/redoxworker/redoxworker/worker/audit"
	"github.com/redoxworker/redoxworker/worker/console/access"
)

const (
	// mostRows bounds the failed rows that one deed changes: the oldest of them.
	mostRows = 20_000
	// deedRows is how many are changed before it is seen whether the console ends.
	deedRows = 1000
	// rowsTimeout bounds a deed, and rowsAnswer the writing of what came of it.
	rowsTimeout, rowsAnswer = time.Minute, 75 * time.Second
)

// chosenRows are the failed rows that something is to be done to: those of a filter, or some of them.
type chosenRows struct {
	Action  string // retry or discard
	All     bool   // of the filter
	Filter  rowFilter
	Rows    []int64
	Through int64 // the last Seq that counts: what fails later is not meant
}

// chosenRows is what a form says.
func (r *request) chosenRows() (x chosenRows, err error) {
	if err := r.ParseForm(); err != nil {
		return x, err
	}
	action, all := strings.CutSuffix(r.FormValue("action"), "-all")
	x = chosenRows{Action: action, All: all || r.FormValue("all") == "1", Filter: r.rowFilter()}
	if action != string(access.Retry) && action != string(access.Discard) {
		return x, &problem{Status: http.StatusUnprocessableEntity, Text: "action: use retry or discard"}
	}
	if err := r.user.CheckAny(access.Action(action)); err != nil {
		return x, refused(err)
	}
	through, err := r.number("through", 0, 1<<62)
	if err != nil {
		return x, err
	}
	x.Through = int64(through)
	if x.All {
		return x, nil
	}
	for _, text := range r.Form["chosen"] {
		seq, err := strconv.ParseInt(text, 10, 64)
		if err != nil || seq <= 0 {
			return x, &problem{Status: http.StatusUnprocessableEntity, Text: "chosen: use numbers of rows"}
		}
		x.Rows = append(x.Rows, seq)
	}
	switch {
	case len(x.Rows) == 0:
		return x, &problem{Status: http.StatusUnprocessableEntity, Text: "nothing is chosen", Mend: "mark some rows, or take all of the filter"}
	case len(x.Rows) > mostChosen:
		return x, &problem{Status: http.StatusUnprocessableEntity, Text: "more than " + count(mostChosen) + " are chosen one by one", Mend: "take all of a filter"}
	}
	return x, nil
}

// query is what is chosen, of what the user may do that to.
func (x chosenRows) query(r *request) (sqloutbox.FailedQuery, error) {
	if err := r.reached(); err != nil {
		return sqloutbox.FailedQuery{}, err
	}
	f := x.Filter
	if !x.All {
		f = rowFilter{}
	}
	q, err := r.rowQuery(f, access.Action(x.Action))
	q.Rows, q.Through = x.Rows, x.Through
	return q, err
}

// allowed fails where somebody has chosen a row of a source to which they may not do that.
func (x chosenRows) allowed(r *request) error {
	if x.All || r.user.May(access.Action(x.Action), "") {
		return nil
	}
	rows, err := r.rows(sqloutbox.FailedQuery{Rows: x.Rows})
	if err != nil {
		return err
	}
	for _, row := range rows {
		if err := r.may(access.Action(x.Action), row.Source); err != nil {
			return err
		}
	}
	return nil
}

// chooseRowsData is what the page before a deed shows.
type chooseRowsData struct {
	chosenRows
	Count   int64
	Most    int // how many are changed of them
	Changed bool
	Before  int64
}

// Back is where the filter was.
func (x chosenRows) Back() string { return address("outbox", x.Filter.Values()) }

// chooseRows counts what is chosen, and asks whether that is meant.
func (c *Console) chooseRows(w http.ResponseWriter, r *request) error {
	x, n, err := r.countChosen()
	if err != nil {
		return err
	}
	return c.confirmRows(w, r, chooseRowsData{chosenRows: x, Count: n})
}

// countChosen is what a form says, and how many rows that are.
func (r *request) countChosen() (x chosenRows, n int64, err error) {
	if x, err = r.chosenRows(); err != nil {
		return x, 0, err
	}
	q, err := x.query(r)
	if err == nil {
		err = x.allowed(r)
	}
	if err != nil {
		return x, 0, err
	}
	n, last, err := r.countRows(q)
	if x.Through == 0 {
		x.Through = last
	}
	return x, n, err
}

func (c *Console) confirmRows(w http.ResponseWriter, r *request, data chooseRowsData) error {
	data.Most = mostRows
	status := http.StatusOK
	if data.Changed {
		status = http.StatusConflict
	}
	if r.json {
		r.writeJSON(w, status, map[string]any{"action": data.Action, "count": data.Count, "through": data.Through, "filter": data.Filter.String()})
		return nil
	}
	p := r.page("chooserows", strings.ToUpper(data.Action[:1])+data.Action[1:], data)
	p.Screen, p.status = "outbox", status
	return r.show(w, p)
}

// changeRows retries or discards what was confirmed, counted again.
func (c *Console) changeRows(w http.ResponseWriter, r *request) error {
	x, n, err := r.countChosen()
	if err != nil {
		return err
	}
	reason, err := r.reason(true)
	if err != nil {
		return err
	}
	asked, err := r.number("count", 0, 1<<62)
	if err != nil {
		return err
	}
	if x.Through == 0 && n > 0 || asked == 0 {
		return &problem{Status: http.StatusUnprocessableEntity, Text: "count and through: missing", Mend: "ask for them at outbox/choose: only what was counted is done"}
	}
	if n > int64(asked) || n == 0 {
		return c.confirmRows(w, r, chooseRowsData{chosenRows: x, Count: n, Changed: true, Before: int64(asked)})
	}
	q, err := x.query(r)
	if err != nil {
		return err
	}
	q.Limit = mostRows
	rows, err := r.rows(q)
	if err != nil {
		return err
	}
	record, err := r.recorder()
	if err != nil {
		return err
	}
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(rowsAnswer)) // where there is one
	done, ended := 0, make(chan struct{})
	if !c.begin(func(ctx context.Context) {
		defer close(ended)
		ctx, cancel := context.WithTimeout(ctx, rowsTimeout)
		defer cancel()
		done, err = c.deedOfRows(ctx, record, x, rows, reason)
	}) {
		return &problem{Status: http.StatusServiceUnavailable, Text: "the console does not run here, or is about to end: nothing was done", Mend: "try again in a moment"}
	}
	<-ended
	c.view.done()
	if err != nil {
		return r.partly(err, done)
	}
	notice := map[string]string{string(access.Retry): "put-back", string(access.Discard): "discarded"}[x.Action]
	if n > mostRows {
		notice = "some-rows"
	}
	to := with(x.Filter.Values(), "done", notice)
	return r.seeOther(w, "outbox?"+to.Encode(), map[string]any{"action": x.Action, "count": len(rows), "changed": done, "filter": x.Filter.String()})
}

// partly says how far it came before an error.
func (r *request) partly(err error, done int) error {
	if errors.Is(err, audit.ErrNotKept) {
		return err
	}
	p := *r.console.problemOf(err)
	p.Text = plural(done, "row") + " changed before this ended it: " + p.Text
	return &p
}

// deedOfRows changes the rows, once the audit trail has their entry. It returns how many it changed: what
// somebody else has taken meanwhile is not among them.
func (c *Console) deedOfRows(ctx context.Context, record *audit.Recorder, x chosenRows, rows []sqloutbox.FailedRow, reason string) (done int, err error) {
	d := audit.Deed{Action: audit.RowRetry, Count: len(rows), IDs: map[string][]string{}, Filter: x.Filter.String(), Reason: reason}
	change, word := c.config.Outbox.RetryRows, "put back"
	if x.Action == string(access.Discard) {
		d.Action, change, word = audit.RowDiscard, c.config.Outbox.DiscardRows, "deleted"
	}
	if !x.All {
		d.Filter = ""
	}
	var seqs []int64
	for _, row := range rows {
		d.Source = row.Source
		d.IDs[row.Source], seqs = append(d.IDs[row.Source], row.ID), append(seqs, row.Seq)
	}
	if len(d.IDs) > 1 {
		d.Source = ""
	}
	begun, err := record.Begin(ctx, d)
	if err != nil {
		return 0, err
	}
	for some := range slices.Chunk(seqs, deedRows) {
		var n int
		n, err = change(ctx, c.config.Database, some)
		if done += n; err != nil {
			break
		}
	}
	result := audit.Result{Counts: map[string]int{}, Err: err}
	for what, n := range map[string]int{word: done, "gone meanwhile": len(rows) - done} {
		if n > 0 && (err == nil || what == word) {
			result.Counts[what] = n
		}
	}
	if err != nil {
		c.log.Warn("failed rows of the outbox could not all be changed", "done", done, "of", len(rows), "error", err)
		result.Err = errDatabase
		if ctx.Err() != nil {
			result.Err = ctx.Err()
		}
		err = result.Err
	}
	return done, errors.Join(err, begun.End(ctx, result))
}

// errDatabase stands for an error of the database, whose text may name users and hosts.
var errDatabase = &problem{Status: http.StatusServiceUnavailable, Text: "the database of the outbox did not do it; the log of the console says why", Mend: "what was changed stays changed; look at the rows again"}
