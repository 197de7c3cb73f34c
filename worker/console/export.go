package console

import (
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"github.com/redoxworker/redoxworker/outbox/dlq"
	"github.com/redoxworker/redoxworker/worker/operate"
)

const (
	// exportBlock is how many dead letters of an export are written before it is seen to that they
	// leave, and exportTimeout how long that may take.
	exportBlock, exportTimeout = 100, time.Minute
)

// export answers with what is chosen, as a file of a dead letter a line, as dlq export writes it: dlq
// import takes it. With bodies=1 they are in it, and all headers.
func (c *Console) export(w http.ResponseWriter, r *request) error {
	x, err := r.chosen()
	if err != nil {
		return err
	}
	q, err := x.query(r)
	if err != nil {
		return err
	}
	desk, reason, err := r.deed()
	if err != nil {
		return err
	}
	select {
	case c.exports <- struct{}{}:
		defer func() { <-c.exports }()
	default:
		return &problem{Status: http.StatusServiceUnavailable, Text: "as many exports as may run here at once", Mend: "wait for one of them to end, or use redoxworker dlq export"}
	}
	q.Models = true
	n, bodies, out := 0, r.FormValue("bodies") == "1", http.NewResponseController(w)
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	for l, err := range desk.Export(r.Context(), q, bodies, reason) {
		if errors.As(err, new(*dlq.UnreadableError)) {
			continue
		}
		if err != nil && n == 0 {
			return err
		}
		if err != nil { // what has left already is not to be taken for all
			c.log.Warn("an export of dead letters broke off", "after", n, "error", c.problemOf(err).Text)
			panic(http.ErrAbortHandler)
		}
		if n%exportBlock == 0 {
			_ = out.SetWriteDeadline(time.Now().Add(exportTimeout)) // where there are any
		}
		if n++; n == 1 {
			exportHeaders(w.Header())
		}
		row := newLetterRow(l.Stored)
		if row.Headers = operate.RowHeaders(l.Stored, bodies); bodies {
			row.Subject = l.Subject
		}
		if bodies && l.Lost == nil {
			row.letterBody = newLetterBody(l.Body, true)
		}
		if encoder.Encode(row) != nil {
			return nil // the client went away
		}
	}
	if n == 0 {
		exportHeaders(w.Header())
	}
	return nil
}

func exportHeaders(h http.Header) {
	h.Set("Content-Type", "application/x-ndjson")
	h.Set("Content-Disposition", `attachment; filename="dead-letters.ndjson"`)
	h.Set("Cache-Control", "no-store, private")
}
