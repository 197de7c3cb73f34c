package redox

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/contract"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	sourceID = "7ce6f387-c33c-417d-8682-81e83628cbd9"
	otherID  = "11111111-2222-3333-4444-555555555555"
	destID   = "af394f14-b34a-464f-8d24-895f370af4c9"
)

// event is a SEND as applications publish it, without a Source.
const event = `{"Meta":{"DataModel":"PatientAdmin","EventType":"NewPatient","Test":true,"Destinations":[{"ID":"` +
	destID + `","Name":"EMR"}]},"Patient":{"Demographics":{"FirstName":"Timothy"}}}`

// sent is event as Redox must get it.
var sent = strings.Replace(event, `{"Meta":{`, `{"Meta":{"Source":{"ID":"`+sourceID+`"},`, 1)

// accepted is Redox's answer to a SEND (Redox, Send).
const accepted = `{"Meta":{"DataModel":"PatientAdmin","EventType":"NewPatient","Source":{"ID":"` + sourceID +
	`"},"Destinations":[{"ID":"` + destID + `"}],"Logs":[{"ID":"0d38b2a5-5b6a-4a2b-9a3c-5f2f9f4d1c11","AttemptID":"925d1617-2fe0-468c-a14c-f8c04b572c54"}]}}`

const acceptedLog = "0d38b2a5-5b6a-4a2b-9a3c-5f2f9f4d1c11"

func message(lane contract.Lane, body string) outbox.Message {
	return outbox.Message{ID: "m-1", Source: "clinic-a", Lane: lane, Kind: outbox.KindDataModel, Body: []byte(body)}
}

// keyring hands out token-1, token-2 and so on: the same one until it is invalidated.
type keyring struct {
	mu          sync.Mutex
	n           int
	asked       int
	invalidated []string
	err         error // returned instead of a token, after errAfter tokens were asked for
	errAfter    int
	block       bool // wait for ctx instead
}

func (k *keyring) Bearer(ctx context.Context) (string, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.asked++
	if k.block {
		<-ctx.Done()
		return "", ctx.Err()
	}
	if k.err != nil && k.asked > k.errAfter {
		return "", k.err
	}
	return fmt.Sprintf("token-%d", k.n+1), nil
}

func (k *keyring) Invalidate(bearer string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.invalidated = append(k.invalidated, bearer)
	if bearer == fmt.Sprintf("token-%d", k.n+1) {
		k.n++
	}
}

// arrival is one request as the server saw it.
type arrival struct {
	method, path, body string
	header             http.Header
	remote             string
}

// remote is an HTTP server that records what arrives.
type remote struct {
	*httptest.Server
	mu       sync.Mutex
	arrivals []arrival
}

func (r *remote) record(q *http.Request) arrival {
	body, _ := io.ReadAll(q.Body)
	a := arrival{method: q.Method, path: q.URL.RequestURI(), body: string(body), header: q.Header.Clone(), remote: q.RemoteAddr}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.arrivals = append(r.arrivals, a)
	return a
}

func (r *remote) seen() []arrival {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.arrivals)
}

// serve starts a remote that answers with h.
func serve(t testing.TB, h func(w http.ResponseWriter, a arrival)) *remote {
	t.Helper()
	r := &remote{}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		h(w, r.record(q))
	}))
	t.Cleanup(r.Close)
	return r
}

// respond answers every request alike. headers come in pairs.
func respond(status int, body string, headers ...string) func(http.ResponseWriter, arrival) {
	return func(w http.ResponseWriter, _ arrival) {
		for i := 0; i < len(headers); i += 2 {
			w.Header().Set(headers[i], headers[i+1])
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

type setting func(*Config, *Source)

// client delivers to url as source clinic-a with key main.
func client(t testing.TB, url string, keys Credentials, set ...setting) *Client {
	t.Helper()
	cfg := Config{BaseURL: url, BlobURL: url}
	src := Source{ID: sourceID, Key: "main", Environment: "development"}
	for _, f := range set {
		f(&cfg, &src)
	}
	c, err := New(map[string]Source{"clinic-a": src}, map[string]Credentials{"main": keys}, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// transport is NewTransport's, closed at the end of the test.
func transport(t testing.TB, cfg TransportConfig) *Transport {
	t.Helper()
	return dialing(t, cfg, nil)
}

// dialing is a transport whose connections dial opens, closed at the end of the test.
func dialing(t testing.TB, cfg TransportConfig, dial func(ctx context.Context, network, addr string) (net.Conn, error)) *Transport {
	t.Helper()
	if cfg.ProxyURL == "" {
		cfg.ProxyURL = "none"
	}
	tr, err := newTransport(cfg, dial)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(tr.CloseIdleConnections)
	return tr
}

func using(tr http.RoundTripper) setting { return func(c *Config, _ *Source) { c.Transport = tr } }

// failure fails the test unless err is an *Error.
func failure(t testing.TB, err error) *Error {
	t.Helper()
	var e *Error
	if !errors.As(err, &e) {
		t.Fatalf("err = %v, want an *Error", err)
	}
	return e
}
