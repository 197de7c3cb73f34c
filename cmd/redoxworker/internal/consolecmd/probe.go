package consolecmd

import (
	"encoding/json"
	"net/http"

	"github.com/redoxworker/redoxworker/cmd/redoxworker/internal/cli"
)

// probed is what /readyz says, by the names of a worker's page.
type probed struct {
	Ready    bool   `json:"ready"`
	WaitsFor string `json:"waits_for,omitempty"`
}

// probe answers /livez and /readyz, which ask nobody to sign in and tell nothing but whether there is a
// connection to NATS. It reports whether the request was one of them.
func probe(w http.ResponseWriter, r *http.Request, session *cli.Session) bool {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		return false
	}
	now, status := probed{Ready: session != nil && session.Connected()}, http.StatusOK
	switch r.URL.Path {
	case "/livez":
		now = probed{Ready: true}
	case "/readyz":
		if !now.Ready {
			now.WaitsFor, status = "NATS", http.StatusServiceUnavailable
		}
	default:
		return false
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(now) // whoever asked and left does not need it
	return true
}
