package quota

import (
	"io"
	"net/http"
	"sync"
)

// Transport counts the requests of another client, such as those for tokens, in the same
// limit. base sends them; nil means [http.DefaultTransport]. A request waits for its slot
// as long as its context lasts, before all others. The slot is in use until the answer's
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
		return nil, err
	}
	response, err := t.base.RoundTrip(r)
	if err != nil {
		done(true) // whether it arrived is not known
		return nil, err
	}
	response.Body = &countedBody{ReadCloser: response.Body, done: sync.OnceFunc(func() { done(true) })}
	return response, nil
}

type countedBody struct {
	io.ReadCloser
	done func()
}

func (b *countedBody) Close() error {
	defer b.done()
	return b.ReadCloser.Close()
}
