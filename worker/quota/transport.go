package quota

import (
	"fmt"
	"io"
	"net/http"
	"sync"
)

// Transport counts the requests of another client, such as those for tokens, in the same
// limit. base sends them; nil means [http.DefaultTransport]. A request waits for its grant
// as long as its context lasts, before all others. The grant is in use until the answer's
// body was closed.
func (g *Governor) Transport(base http.RoundTripper) http.RoundTripper {
	if base == nil {
		base = http.DefaultTransport
	}
	return &transport{governor: g, base: base}
}

type transport struct {
	governor *Governor
	base     http.RoundTripper
}

// RoundTrip closes the request's body on every path, as net/http demands.
func (t *transport) RoundTrip(r *http.Request) (*http.Response, error) {
	done, err := t.governor.Extra(r.Context())
	if err != nil {
		if r.Body != nil {
			_ = r.Body.Close()
		}
		return nil, t.governor.notAsked(err)
	}
	ended := sync.OnceFunc(func() { done(true) }) // whether a failed one arrived is not known
	open := false
	defer func() {
		if !open { // also when base panics
			ended()
		}
	}()
	response, err := t.base.RoundTrip(r)
	if err != nil || response == nil || response.Body == nil {
		return response, err
	}
	response.Body, open = &countedBody{ReadCloser: response.Body, done: ended}, true
	return response, nil
}

// notAsked is why a request was not made.
func (g *Governor) notAsked(err error) error {
	s := g.Status()
	why := "no grant was free"
	switch {
	case s.Trouble != "":
		why = s.Trouble
	case !s.Allotted:
		why = "there was no turn at the book yet"
	}
	return notAskedError{fmt.Errorf("quota: a request waits for its turn in group %s: %s: %w", s.Group, why, err)}
}

// notAskedError says that a request was not made, in a way that package auth understands.
type notAskedError struct{ error }

// NotAsked returns true.
func (notAskedError) NotAsked() bool { return true }

func (e notAskedError) Unwrap() error { return e.error }

type countedBody struct {
	io.ReadCloser
	done func()
}

func (b *countedBody) Close() error {
	defer b.done()
	return b.ReadCloser.Close()
}
