package quota

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// A request that waited in vain says that it was not made, and what it waited for.
func TestTransport_ARequestThatIsNotMadeSaysWhy(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g, err := New(Config{Requests: 100, Per: 10 * time.Second, Group: "east"})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
		defer cancel()
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://far.example", nil)
		if err != nil {
			t.Fatal(err)
		}
		_, err = g.Transport(nil).RoundTrip(r)
		var unmade interface{ NotAsked() bool }
		if !errors.As(err, &unmade) || !unmade.NotAsked() || !errors.Is(err, context.DeadlineExceeded) ||
			!strings.Contains(err.Error(), "in group east: there was no turn at the book yet") {
			t.Errorf("the error: %v", err)
		}
	})
}

// roundTripper is a transport of somebody else.
type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// A grant comes back whatever the transport below does.
func TestTransport_CarelessBase(t *testing.T) {
	t.Parallel()
	for name, base := range map[string]roundTripper{
		"panic":     func(*http.Request) (*http.Response, error) { panic("at the far side") },
		"nothing":   func(*http.Request) (*http.Response, error) { return nil, nil },
		"no body":   func(*http.Request) (*http.Response, error) { return &http.Response{}, nil },
		"an error":  func(*http.Request) (*http.Response, error) { return nil, errCut },
		"both ways": func(*http.Request) (*http.Response, error) { return &http.Response{Body: http.NoBody}, errCut },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g, err := New(Config{Requests: 100, Per: time.Minute})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := g.takeTurn(t.Context(), &memoryStore{}, true); err != nil {
				t.Fatal(err)
			}
			r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://far.example", nil)
			if err != nil {
				t.Fatal(err)
			}
			func() {
				defer func() { _ = recover() }()
				_, _ = g.Transport(base).RoundTrip(r)
			}()
			if s := g.Status(); s.InFlight != 0 {
				t.Errorf("%d in flight", s.InFlight)
			}
		})
	}
}
