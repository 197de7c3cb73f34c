package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"net/http"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/redoxworker/redoxworker/auth"
	"github.com/redoxworker/redoxworker/worker"
	"github.com/redoxworker/redoxworker/worker/quota"
	"github.com/redoxworker/redoxworker/worker/redox"
)

// listenAdmin opens the listener for operators.
func listenAdmin(address string) (net.Listener, error) {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return nil, usagef("admin.listen: %w; choose another address, or off for none", err)
	}
	return listener, nil
}

// handler serves /livez, /readyz, /metrics, /version and the public keys.
func (d *daemon) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, map[string]string{"status": "live"})
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		r := d.readiness()
		status := http.StatusOK
		if !r.Ready {
			status = http.StatusServiceUnavailable
		}
		writeJSON(w, status, r)
	})
	mux.HandleFunc("GET /version", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, http.StatusOK, readVersion()) })
	mux.Handle("GET /metrics", promhttp.HandlerFor(d.gatherer, promhttp.HandlerOpts{}))
	mux.Handle(jwksPath, auth.NewJWKSHandler(d.publicKeys, 0))
	for name, k := range d.keys {
		if k.oauth != nil {
			mux.Handle(jwksOfKey+name, auth.NewJWKSHandler(k.oauth.Keys, 0))
		}
	}
	return mux
}

// readiness is the body of /readyz.
type readiness struct {
	Ready bool   `json:"ready"`
	NATS  string `json:"nats"`
	// WaitsFor is what a worker that is not ready waits for; empty when nothing is known.
	WaitsFor string        `json:"waits_for,omitempty"`
	Worker   worker.Status `json:"worker"`
	// Gateway: it takes requests. Without one (gateway.enabled: false) it is left out.
	Gateway bool          `json:"gateway,omitempty"`
	Quota   *quota.Status `json:"quota,omitempty"`
	// Problems are what is missing or full at NATS, and why the quota is not shared: one line
	// each, with what to do. They are informative.
	Problems []string `json:"problems,omitempty"`
	// Keys are informative: a worker without a token is ready, its messages wait.
	Keys map[string]keyStatus `json:"keys"`
}

// keyStatus is what /readyz says about one key.
type keyStatus struct {
	auth.Status
	Type string `json:"type"`
	// Paused says that its sources pull nothing: no token can be had, or Redox refuses
	// those that were.
	Paused  bool     `json:"paused"`
	Sources []string `json:"sources"`
}

// keyStatus of a configured key, given what the worker has paused.
func (d *daemon) keyStatus(k *credentials, paused map[string]time.Duration) keyStatus {
	s := keyStatus{Status: k.cache.Status(), Type: k.key.Type, Sources: []string{}}
	_, s.Paused = paused[redox.KeyScope(k.name)]
	for _, name := range slices.Sorted(maps.Keys(d.config.Sources)) {
		if d.config.Sources[name].Key == k.name {
			s.Sources = append(s.Sources, name)
		}
	}
	return s
}

func (d *daemon) readiness() readiness {
	r := readiness{Problems: d.upkeep.found(), NATS: "never connected", Keys: make(map[string]keyStatus, len(d.keys))}
	if conn := d.conn.Load(); conn != nil {
		r.NATS = conn.Status().String()
	}
	r.WaitsFor = d.link.down()
	if w := d.running.Load(); w != nil {
		r.Worker = w.Status()
		r.Ready = r.Worker.Ready()
	}
	if g := d.answering.Load(); d.config.Gateway.Enabled {
		r.Gateway = g != nil && g.Serving()
		r.Ready = r.Ready && r.Gateway
	}
	if d.governor != nil {
		status := d.governor.Status()
		r.Quota = &status
		r.Problems = append(r.Problems, quotaProblem(status)...)
	}
	for name, k := range d.keys {
		r.Keys[name] = d.keyStatus(k, r.Worker.Paused)
	}
	return r
}

// quotaProblem says why the quota is not shared, and what is done meanwhile.
func quotaProblem(s quota.Status) []string {
	switch {
	case s.Trouble == "":
		return nil
	case s.Share > 0:
		return []string{fmt.Sprintf("quota: %s; this worker goes on within its share of %s", s.Trouble, counted(s.Share, "request"))}
	}
	return []string{"quota: " + s.Trouble}
}

// publicKeys are the current and next keys of every OAuth key.
func (d *daemon) publicKeys() []auth.Key {
	var keys []auth.Key
	for _, name := range slices.Sorted(maps.Keys(d.keys)) { // in one order, for the ETag
		if k := d.keys[name]; k.oauth != nil {
			keys = append(keys, k.oauth.Keys()...)
		}
	}
	return keys
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	_ = encoder.Encode(v) // the client went away
}
