package console

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/config"
	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/dlq"
	"github.com/redoxworker/redoxworker/worker/audit"
	"github.com/redoxworker/redoxworker/worker/console/access"
	"github.com/redoxworker/redoxworker/worker/operate"
	"github.com/redoxworker/redoxworker/worker/order"
	"github.com/redoxworker/redoxworker/worker/service/registry"
)

// request is one of a user who was let in.
type request struct {
	*http.Request
	console *Console
	user    access.User
	json    bool // wanted instead of a page
}

// serve is what answers a request. What it returns is shown as a page, or as JSON.
type serve func(w http.ResponseWriter, r *request) error

// mostForm bounds a form without a body of a message, mostBody one with it, in bytes.
const mostForm, mostBody = 1 << 20, 48 << 20

// as is a handler for what takes an action, of some source at least.
func (c *Console) as(a access.Action, do serve) http.Handler { return c.bounded(a, mostForm, do) }

func (c *Console) bounded(a access.Action, most int64, do serve) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, hr *http.Request) {
		defer c.recovered(w)
		r := &request{Request: hr, console: c, json: access.WantsJSON(hr)}
		user, ok := access.From(hr.Context())
		r.user = user
		err := error(nil)
		switch {
		case fromElsewhere(hr):
			err = &problem{Status: http.StatusForbidden, Text: "nothing was done: a page of another site asked for it", Mend: "go to the console and do it there"}
		case !ok:
			err = &problem{Status: http.StatusUnauthorized, Text: "nobody is signed in"}
		case !user.MayAny(a):
			err = refused(user.CheckAny(a))
		default:
			hr.Body = http.MaxBytesReader(w, hr.Body, most)
			err = do(w, r)
		}
		if err != nil {
			r.fail(w, err)
		}
	})
}

// fromElsewhere reports whether a browser says that a page of another site asks for a change. Guards refuse
// that, too, and not each of them.
func fromElsewhere(r *http.Request) bool {
	site := r.Header.Get("Sec-Fetch-Site")
	return r.Method != http.MethodGet && r.Method != http.MethodHead && (site == "cross-site" || site == "same-site")
}

// may fails unless the user may do something to a source; "" stands for all.
func (r *request) may(a access.Action, source string) error { return refused(r.user.Check(a, source)) }

// refused is what the page of a refusal shows: which role is missing.
func refused(err error) error {
	if err == nil {
		return nil
	}
	return &problem{Status: http.StatusForbidden, Text: err.Error(), Mend: "ask whoever gives out the roles of this console"}
}

// desk does what the user asks for, and says in the audit trail from where.
func (r *request) desk() (*operate.Desk, error) {
	record, err := r.recorder()
	if err != nil {
		return nil, err
	}
	return operate.New(r.console.config.JS, r.console.config.Prefix, r.console.letters, record)
}

func (r *request) recorder() (*audit.Recorder, error) {
	return recorder(r.console.config, r.user.Name, r.from())
}

// recorder writes what somebody does in the console.
func recorder(c Config, by, from string) (*audit.Recorder, error) {
	return audit.NewRecorder(func(ctx context.Context, d audit.Deed) error {
		if d.Outcome == "" {
			d.Detail = strings.TrimPrefix(d.Detail+"; console, from "+from, "; ")
		}
		return c.Keep(ctx, d)
	}, by)
}

// reason is why, as the user says; a deed that shows or changes much needs one.
func (r *request) reason(needed bool) (string, error) {
	reason := strings.TrimSpace(r.FormValue("reason"))
	if reason == "" && needed {
		return "", &problem{Status: http.StatusUnprocessableEntity, Text: "give a reason: it is kept in the audit trail"}
	}
	return reason, nil
}

// deed is a desk, and why it is used, which the user has to say.
func (r *request) deed() (*operate.Desk, string, error) {
	reason, err := r.reason(true)
	if err != nil {
		return nil, "", err
	}
	desk, err := r.desk()
	return desk, reason, err
}

// problem is why a request was not answered as it wanted.
type problem struct {
	Status     int
	Text, Mend string
}

func (p *problem) Error() string { return p.Text }

// problemOf says what an error means to who asked. Errors of this module are safe to show.
func (c *Console) problemOf(err error) *problem {
	var p *problem
	var large *http.MaxBytesError
	var shared *dlq.SharedIDError
	var wrong config.Problems
	switch {
	case errors.As(err, &p):
		return p
	case errors.As(err, &large):
		return &problem{Status: http.StatusRequestEntityTooLarge, Text: fmt.Sprintf("the form is larger than %d bytes", large.Limit)}
	case errors.Is(err, audit.ErrNotKept):
		return &problem{Status: http.StatusServiceUnavailable, Text: c.config.Explain(err).Error(), Mend: "what is not in the audit trail is not done: see that its stream works, and try again"}
	case errors.Is(err, dlq.ErrNotFound), errors.Is(err, registry.ErrNotFound):
		return &problem{Status: http.StatusNotFound, Text: err.Error(), Mend: "it may have been replayed, discarded or removed meanwhile"}
	case errors.Is(err, registry.ErrNoRegistry):
		return &problem{Status: http.StatusNotFound, Text: err.Error()}
	case errors.Is(err, registry.ErrExists), errors.Is(err, registry.ErrChanged), errors.Is(err, jetstream.ErrKeyExists), errors.Is(err, order.ErrNotHead), errors.As(err, &shared):
		return &problem{Status: http.StatusConflict, Text: err.Error(), Mend: "look at it again: it is not as it was"}
	case errors.As(err, &wrong):
		return &problem{Status: http.StatusUnprocessableEntity, Text: wrong.Error()}
	case natsAway(err):
		return &problem{Status: http.StatusServiceUnavailable, Text: c.config.Explain(err).Error(), Mend: "NATS does not answer; pages are there again when it does"}
	case errors.Is(err, errNothingKnown), errors.Is(err, context.DeadlineExceeded), errors.Is(err, outbox.ErrNoStream):
		return &problem{Status: http.StatusServiceUnavailable, Text: c.config.Explain(err).Error()}
	}
	return &problem{Status: http.StatusInternalServerError, Text: c.config.Explain(err).Error()}
}

// natsAway reports whether an error is that of a server that does not answer, or of no connection to it.
func natsAway(err error) bool {
	return slices.ContainsFunc([]error{nats.ErrTimeout, nats.ErrNoResponders, nats.ErrConnectionClosed, nats.ErrConnectionReconnecting, nats.ErrDisconnected, nats.ErrStaleConnection, jetstream.ErrNoStreamResponse},
		func(one error) bool { return errors.Is(err, one) })
}

// invalid is what somebody has typed and cannot be.
func invalid(err error) error {
	return &problem{Status: http.StatusUnprocessableEntity, Text: err.Error()}
}

// fail answers a request with a problem.
func (r *request) fail(w http.ResponseWriter, err error) {
	p := r.console.problemOf(err)
	switch r.Context().Err() {
	case nil:
	case context.DeadlineExceeded: // that of the session: nothing else ends it so
		p = &problem{Status: http.StatusUnauthorized, Text: "your session was over before this was done", Mend: "sign in, and look what was done of it"}
	default:
		return // the client went away
	}
	if p.Status >= http.StatusInternalServerError {
		r.console.log.Warn("the console could not answer", "page", r.Pattern, "status", p.Status, "error", p.Text)
	}
	if r.json {
		access.Problem{Status: p.Status, Title: http.StatusText(p.Status), Detail: p.Text, Mend: p.Mend}.Write(w)
		return
	}
	page := r.page("problem", http.StatusText(p.Status), p)
	page.status = p.Status
	if err := r.show(w, page); err != nil {
		http.Error(w, p.Text, p.Status)
	}
}

// writeJSON answers with one value, as the command does with --json.
func (r *request) writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	_ = encoder.Encode(v) // the client went away
}

// writeLines answers with one value a line, as the command does with --json.
func writeLines[T any](w http.ResponseWriter, all []T) error {
	w.Header().Set("Content-Type", "application/x-ndjson")
	encoder := json.NewEncoder(w)
	for _, one := range all {
		if encoder.Encode(one) != nil {
			return nil // the client went away
		}
	}
	return nil
}

// seeOther has a browser go to another page of the console, and a program know what was done.
func (r *request) seeOther(w http.ResponseWriter, to string, done any) error {
	if r.json {
		r.writeJSON(w, http.StatusOK, done)
		return nil
	}
	w.Header().Set("Location", access.Relative(r.Request, to))
	w.WriteHeader(http.StatusSeeOther)
	return nil
}

// busyWait is how long a place of those who read much is waited for: an answer that comes after the server's
// time for one is none.
const busyWait = 8 * time.Second

// busy takes a place of those who read much; free gives it back.
func (r *request) busy() (free func(), err error) {
	limit := time.NewTimer(busyWait)
	defer limit.Stop()
	select {
	case r.console.heavy <- struct{}{}:
		return func() { <-r.console.heavy }, nil
	case <-limit.C:
		return nil, &problem{Status: http.StatusServiceUnavailable, Text: "others read through many messages here", Mend: "try again in a moment"}
	case <-r.Context().Done():
		return nil, context.Cause(r.Context())
	}
}

func typeName(v any) string { return fmt.Sprintf("%T", v) }

// panicPlace is the place in this module that panicked, without what it was called with.
func panicPlace() string {
	for line := range strings.Lines(string(debug.Stack())) {
		if line = strings.TrimSpace(line); strings.Contains(line, "/worker/console/") && !strings.Contains(line, "request.go") && !strings.Contains(line, "console.go") {
			if at := strings.LastIndex(line, " +0x"); at > 0 {
				return line[strings.LastIndexByte(line[:at], '/')+1 : at]
			}
		}
	}
	return ""
}
