package access

import (
	"encoding/json"
	"net/http"
	"strings"
)

// Problem is why a request was not answered as it wanted, as programs are told (RFC 9457).
type Problem struct {
	Status int    `json:"status"`
	Title  string `json:"title"`
	Detail string `json:"detail"`
	// Mend is what to do about it; it may be empty.
	Mend string `json:"mend,omitempty"`
}

// Write answers a request with the problem.
func (p Problem) Write(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(p.Status)
	_ = json.NewEncoder(w).Encode(p) // whoever is gone does not read it
}

// WantsJSON reports whether a program asks, and not a browser.
func WantsJSON(r *http.Request) bool {
	accept := strings.ToLower(strings.Join(r.Header.Values("Accept"), ","))
	return strings.Contains(accept, "json") && !strings.Contains(accept, "text/html")
}
