package console

import (
	"net/http"
	"time"

	"github.com/redoxworker/redoxworker/worker/console/access"
	"github.com/redoxworker/redoxworker/worker/overview"
)

// whole is the view of who may see all sources: what stands in it is of none.
func (r *request) whole() (*overview.Overview, error) {
	if err := r.may(access.See, ""); err != nil {
		return nil, err
	}
	return r.console.view.latest(r.Context())
}

// showKeys shows the credentials of all workers.
func (c *Console) showKeys(w http.ResponseWriter, r *request) error {
	view, err := r.whole()
	if err != nil {
		return err
	}
	if r.json {
		return writeLines(w, view.Keys)
	}
	return r.live(w, r.page("keys", "Keys", keysData{view, c.config.PublicKeys != nil}))
}

// keysData is what the page of keys shows.
type keysData struct {
	*overview.Overview
	HasSet bool // the set of public keys is to be had here
}

// showPublicKeys answers with the set of public keys (JWKS), to whoever asks and in whatever way.
func (c *Console) showPublicKeys(w http.ResponseWriter, r *request) error {
	if err := r.may(access.See, ""); err != nil {
		return err
	}
	if c.config.PublicKeys == nil {
		return &problem{Status: http.StatusNotFound, Text: "this console has no keys", Mend: "each worker serves the set at its admin listener, below /.well-known/jwks.json; redoxworker keys jwks prints it"}
	}
	c.config.PublicKeys.ServeHTTP(w, r.Request)
	return nil
}

// showWorkers shows who runs; to programs as workers --json does.
func (c *Console) showWorkers(w http.ResponseWriter, r *request) error {
	view, err := r.whole()
	if err != nil {
		return err
	}
	if r.json {
		return writeLines(w, view.Workers)
	}
	return r.live(w, r.page("workers", "Workers", view))
}

// live shows a page that is worth being kept up to date.
func (r *request) live(w http.ResponseWriter, p *page) error {
	p.Live = true
	return r.show(w, p)
}

const (
	// eventEvery is after how long without news a stream of events says that it is there, and
	// eventTimeout how long a client may take to read one.
	eventEvery, eventTimeout = 15 * time.Second, 20 * time.Second
)

// events tells a page whenever there is something new to show. What that is it asks for itself.
func (c *Console) events(w http.ResponseWriter, r *request) error {
	select {
	case c.streams <- struct{}{}:
		defer func() { <-c.streams }()
	default:
		return &problem{Status: http.StatusServiceUnavailable, Text: "too many pages are kept up to date at once", Mend: "load the page again to see what is new"}
	}
	out := http.NewResponseController(w)
	_ = out.SetReadDeadline(time.Time{}) // where there is one, it ends the request
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("X-Accel-Buffering", "no")
	quiet := time.NewTicker(eventEvery)
	defer quiet.Stop()
	_, seen, _ := c.view.now()
	for text := ": hello\n\n"; ; {
		_ = out.SetWriteDeadline(time.Now().Add(eventTimeout))
		if _, err := w.Write([]byte(text)); err != nil {
			return nil
		}
		if err := out.Flush(); err != nil {
			return nil
		}
		_, serial, changed := c.view.now()
		if serial != seen { // it was looked while this was written
			closed := make(chan struct{})
			close(closed)
			seen, changed = serial, closed
		}
		select {
		case <-changed:
			_, seen, _ = c.view.now()
			text = "event: look\ndata: 1\n\n"
		case <-quiet.C:
			text = ": still here\n\n"
		case <-c.over:
			return nil
		case <-r.Context().Done():
			return nil
		}
	}
}
