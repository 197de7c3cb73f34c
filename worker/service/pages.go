package service

import (
	"encoding/json"
	"net/http"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/redoxworker/redoxworker/auth"
)

// Paths of the set of all public keys, and below which each configured key has its own set, by its
// name.
const (
	PathJWKS      = "/.well-known/jwks.json"
	pathJWKSOfKey = "/.well-known/jwks/"
)

// Handler serves the pages for operators: /livez, /readyz (200 or 503, with [Status] as the body),
// /metrics, /version and the public keys. Run serves it at admin.listen, where that is set; it may
// be mounted elsewhere as well, before Run and after it. The pages hold no secret and no patient
// data; restrict access in front of them.
func (s *Service) Handler() http.Handler { return s.pages }

func (s *Service) newPages() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, map[string]string{"status": "live"})
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		now := s.Status()
		status := http.StatusOK
		if !now.Ready {
			status = http.StatusServiceUnavailable
		}
		writeJSON(w, status, now)
	})
	mux.HandleFunc("GET /version", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, http.StatusOK, s.build) })
	if s.gatherer != nil { // OpenMetrics has exemplars
		mux.Handle("GET /metrics", promhttp.HandlerFor(s.gatherer, promhttp.HandlerOpts{EnableOpenMetrics: true}))
	}
	mux.Handle(PathJWKS, auth.NewJWKSHandler(s.keys.Public, 0))
	mux.HandleFunc(pathJWKSOfKey+"{key}", func(w http.ResponseWriter, r *http.Request) {
		k := s.keys.Get(r.PathValue("key"))
		if k == nil || k.OAuth == nil {
			http.NotFound(w, r)
			return
		}
		auth.NewJWKSHandler(k.OAuth.Keys, 0).ServeHTTP(w, r)
	})
	return mux
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	_ = encoder.Encode(v) // the client went away
}
