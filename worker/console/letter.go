package console

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/redoxworker/redoxworker/outbox/dlq"
	"github.com/redoxworker/redoxworker/worker/console/access"
	"github.com/redoxworker/redoxworker/worker/operate"
)

const (
	// timelineWait bounds the search for what happened to a message, and timelineScan how many
	// messages of the queue are looked at for it.
	timelineWait, timelineScan = 1500 * time.Millisecond, 500
	// revealedFor is how long a page with a body stays.
	revealedFor = 60 * time.Second
)

// letterBody is empty unless it is revealed; see [operate.RowBody].
type letterBody struct {
	Body       json.RawMessage `json:"body,omitempty"`
	BodyText   string          `json:"body_text,omitempty"`
	BodyBase64 []byte          `json:"body_base64,omitempty"`
}

func newLetterBody(body []byte, exact bool) (b letterBody) {
	b.Body, b.BodyText, b.BodyBase64 = operate.RowBody(body, exact)
	return b
}

// header is one as a page shows it.
type header struct {
	Name, Value string
	Hidden      bool
}

// letterData is what the page of one dead letter shows.
type letterData struct {
	letterRow
	List       []header
	Shape      []shapeRow
	NoShape    string // why there is none
	Place      *operate.Place
	NoTimeline string
	// Of who may see and has said why.
	Revealed   string
	RevealedIn []byte // what is no text
	Until      time.Time
	// Of who may edit it.
	Editable string
}

// letter is the one of the request, as it is stored, if the user may do something to it.
func (r *request) letter(a access.Action) (dlq.Stored, error) {
	sequence, err := strconv.ParseUint(r.PathValue("sequence"), 10, 64)
	if err != nil {
		return dlq.Stored{}, &problem{Status: http.StatusNotFound, Text: "there is no such dead letter"}
	}
	l, err := r.console.letters.At(r.Context(), sequence)
	if err != nil {
		return dlq.Stored{}, err
	}
	return l, r.may(a, sourceName(l.Source))
}

// showLetter shows one dead letter, without its body; to programs as dlq show --json does.
func (c *Console) showLetter(w http.ResponseWriter, r *request) error {
	l, err := r.letter(access.See)
	if err != nil {
		return err
	}
	row := newLetterRow(l)
	row.Headers = operate.RowHeaders(l, false)
	if r.json {
		w.Header().Set("Content-Type", "application/json")
		encoder := json.NewEncoder(w)
		encoder.SetEscapeHTML(false)
		_ = encoder.Encode(row) // the client went away
		return nil
	}
	data := letterData{letterRow: row, List: listed(row.Headers)}
	data.Shape, data.NoShape = r.shape(l)
	data.Place, data.NoTimeline = r.timeline(l)
	return r.show(w, r.letterPage(data))
}

func (r *request) letterPage(data letterData) *page {
	p := r.page("letter", "Dead letter "+data.ID, data)
	p.Screen = "dead"
	return p
}

// showShape tells programs of the shape of a body.
func (c *Console) showShape(w http.ResponseWriter, r *request) error {
	l, err := r.letter(access.See)
	if err != nil {
		return err
	}
	rows, why := r.shape(l)
	if why != "" {
		return &problem{Status: http.StatusUnprocessableEntity, Text: why}
	}
	r.writeJSON(w, http.StatusOK, rows)
	return nil
}

func listed(headers map[string][]string) []header {
	var all []header
	for _, name := range slices.Sorted(maps.Keys(headers)) {
		value := strings.Join(headers[name], ", ")
		all = append(all, header{Name: name, Value: value, Hidden: value == operate.Hidden})
	}
	return all
}

// shape is that of the body; why there is none says the second.
func (r *request) shape(l dlq.Stored) ([]shapeRow, string) {
	if l.Sealed() {
		return nil, "the message is sealed with key " + l.SealedBy() + ": what it holds is shown to who may see its body alone"
	}
	body := l.Body
	if l.Object() != "" {
		free, err := r.busy()
		if err != nil {
			return nil, err.Error()
		}
		defer free()
		if body, err = r.console.letters.Body(r.Context(), l); err != nil {
			return nil, "the body cannot be read: " + r.console.problemOf(err).Text
		}
	}
	rows, err := shapeOf(body)
	if err != nil {
		return nil, err.Error()
	}
	return rows, ""
}

// timeline is what is known to have happened to a message.
func (r *request) timeline(l dlq.Stored) (*operate.Place, string) {
	ctx, cancel := context.WithTimeout(r.Context(), timelineWait)
	defer cancel()
	found, err := operate.Find(ctx, r.console.config.JS, r.console.config.Prefix, l.MessageID, operate.FindOptions{Source: l.Source, Scan: timelineScan})
	if err != nil {
		return nil, "it could not be looked up in time; redoxworker find looks longer"
	}
	for _, p := range found.Places {
		if p.Source == l.Source {
			switch p.State { // what to do stands on the page
			case operate.DeadLettered:
				p.Why = ""
			case operate.Held:
				p.Why = "a person must decide"
			}
			return &p, strings.ReplaceAll(strings.Join(found.Unlearned, "; "), "--scan -1", "redoxworker find --scan -1")
		}
	}
	return nil, "nothing is known but the dead letter"
}

// reveal shows the body and all headers to who may see them and says why, once the audit trail has it.
func (c *Console) reveal(w http.ResponseWriter, r *request) error {
	l, err := r.letter(access.Reveal)
	if err != nil {
		return err
	}
	body, err := r.revealed(l)
	if err != nil {
		return err
	}
	if l.Header, err = c.letters.Header(r.Context(), l); err != nil {
		return err
	}
	row := newLetterRow(l)
	row.Headers, row.Subject = operate.RowHeaders(l, true), l.Subject
	w.Header().Set("Cache-Control", "no-store, private")
	if r.json {
		row.letterBody = newLetterBody(body, false)
		w.Header().Set("Content-Type", "application/json")
		encoder := json.NewEncoder(w)
		encoder.SetEscapeHTML(false)
		_ = encoder.Encode(row) // the client went away
		return nil
	}
	data := letterData{letterRow: row, List: listed(row.Headers), Until: time.Now().Add(revealedFor)}
	if data.Revealed = pretty(body); !utf8.Valid(body) {
		data.Revealed, data.RevealedIn = "", body
	}
	w.Header().Set("Refresh", fmt.Sprintf("%d;url=%s", int(revealedFor.Seconds()), access.Relative(r.Request, fmt.Sprintf("dead/%d", l.DeadSequence)))) // with scripts or without
	return r.show(w, r.letterPage(data))
}

// revealed is the body, once the audit trail says who sees it, and why.
func (r *request) revealed(l dlq.Stored) ([]byte, error) {
	desk, reason, err := r.deed()
	if err != nil {
		return nil, err
	}
	free, err := r.busy()
	if err != nil {
		return nil, err
	}
	defer free()
	return desk.Reveal(r.Context(), l, reason)
}

// pretty is JSON as people read it, and anything else as it is.
func pretty(body []byte) string {
	var out bytes.Buffer
	if json.Indent(&out, body, "", "  ") != nil {
		return string(body)
	}
	return out.String()
}

// edit shows the body in a form, once the audit trail has that.
func (c *Console) edit(w http.ResponseWriter, r *request) error {
	l, err := r.letter(access.Edit)
	if err != nil {
		return err
	}
	body, err := r.revealed(l)
	if err != nil {
		return err
	}
	if !utf8.Valid(body) {
		return &problem{Status: http.StatusUnprocessableEntity, Text: "the body is no text", Mend: fmt.Sprintf("save it with `redoxworker dlq show --reveal`, change it, and send it with `redoxworker dlq edit %s`", l.MessageID)}
	}
	p := r.page("edit", "Edit "+l.MessageID, letterData{letterRow: newLetterRow(l), Editable: string(body)})
	p.Screen = "dead"
	return r.show(w, p)
}

// send sends a dead letter again with the body of the form.
func (c *Console) send(w http.ResponseWriter, r *request) error {
	l, err := r.letter(access.Edit)
	if err != nil {
		return err
	}
	desk, reason, err := r.deed()
	if err != nil {
		return err
	}
	body := r.FormValue("body")
	if body == "" {
		return &problem{Status: http.StatusUnprocessableEntity, Text: "the body is empty"}
	}
	if body, err = r.lineEnds(l, body); err != nil {
		return err
	}
	handled, err := desk.Edit(r.Context(), l, []byte(body), dlq.ReplayOptions{}, reason)
	if err != nil {
		return err
	}
	if !handled.Outcome.Removed() {
		return &problem{Status: http.StatusConflict, Text: "it was not sent: " + string(handled.Outcome) + ": " + handled.Reason}
	}
	c.view.done()
	return r.seeOther(w, "dead?done=replayed", handled)
}

// lineEnds gives a body that came in a form, whose lines end as those of a form do, the line ends of l.
func (r *request) lineEnds(l dlq.Stored, body string) (string, error) {
	if !strings.Contains(body, "\r\n") {
		return body, nil
	}
	free, err := r.busy()
	if err != nil {
		return "", err
	}
	defer free()
	was, _ := r.console.letters.Body(r.Context(), l) // one that is lost has none
	if !bytes.Contains(was, []byte("\r\n")) {
		body = strings.ReplaceAll(body, "\r\n", "\n")
	}
	return body, nil
}
