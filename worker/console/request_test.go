package console

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"
)

// Who waits for those who read much is told so before the server would break off.
func TestRequest_BusyEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := &request{Request: httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil), console: &Console{heavy: make(chan struct{})}}
		began := time.Now()
		_, err := r.busy()
		var p *problem
		if !errors.As(err, &p) || p.Status != http.StatusServiceUnavailable || time.Since(began) != busyWait {
			t.Errorf("after %s: %v", time.Since(began), err)
		}
	})
}
