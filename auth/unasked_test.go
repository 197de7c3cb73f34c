package auth

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redoxworker/redoxworker/worker/workertest/bubble"
)

// limited is a transport whose requests wait for their turn in vain, until it is free.
type limited struct{ free chan struct{} }

func (l limited) RoundTrip(r *http.Request) (*http.Response, error) {
	select {
	case <-l.free:
		return &http.Response{StatusCode: http.StatusServiceUnavailable, Body: io.NopCloser(strings.NewReader("")), Request: r}, nil
	case <-r.Context().Done():
		return nil, notAsked{fmt.Errorf("limit: no turn: %w", context.Cause(r.Context()))}
	}
}

type notAsked struct{ error }

func (notAsked) NotAsked() bool  { return true }
func (n notAsked) Unwrap() error { return n.error }

// A request that a limit keeps back is not the endpoint's failure. When the endpoint fails
// then, that is said.
func TestCache_ARequestThatIsKeptBackIsNotTheEndpointsFailure(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		logger := slog.New(slog.NewTextHandler(&log, nil))
		l := limited{make(chan struct{})}
		o, err := NewOAuth("c", must(GenerateKey(ES384, "k")), OAuthConfig{TokenURL: "https://far.example/token", Transport: l, Logger: logger})
		if err != nil {
			t.Fatal(err)
		}
		c := must(NewCache(o, CacheConfig{Logger: logger}))
		for range 3 {
			_, err = c.Bearer(t.Context())
			bubble.Sleep(time.Hour)
		}
		if err == nil || strings.Contains(err.Error(), "far.example") || !strings.Contains(err.Error(), "no token was asked for: limit: no turn") {
			t.Errorf("the error: %v", err)
		}
		if text := log.String(); strings.Count(text, "\n") != 1 || !strings.Contains(text, "level=WARN") || strings.Contains(text, "far.example") || !strings.Contains(text, "none can be asked for") {
			t.Errorf("the log: %s", text)
		}
		close(l.free)
		_, _ = c.Bearer(t.Context())
		if text := log.String(); strings.Count(text, "\n") != 2 || !strings.Contains(text, "level=ERROR") || !strings.Contains(text, "far.example") {
			t.Errorf("the log then: %s", text)
		}
	})
}
