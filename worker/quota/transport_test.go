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
