package service

import (
	"fmt"
	"slices"
	"strings"

	"github.com/redoxworker/redoxworker/auth"
	"github.com/redoxworker/redoxworker/worker"
	"github.com/redoxworker/redoxworker/worker/quota"
	"github.com/redoxworker/redoxworker/worker/redox"
	"github.com/redoxworker/redoxworker/worker/service/feed"
)

// Status is what a [Service] is doing, and the body of /readyz.
type Status struct {
	// Ready means connected to NATS, the work queue found, and the gateway serving.
	Ready bool `json:"ready"`
	// NATS is the state of the connection, as nats.go names it.
	NATS string `json:"nats"`
	// WaitsFor says what a worker that is not ready waits for; empty if that is not
	// known.
	WaitsFor string `json:"waits_for,omitempty"`
	// Worker is zero before there is a connection.
	Worker worker.Status `json:"worker"`
	// Gateway reports that the gateway takes requests. Without one (gateway.enabled: false) it is left out.
	Gateway bool `json:"gateway,omitempty"`
	// Quota is nil if none is kept.
	Quota *quota.Status `json:"quota,omitempty"`
	// Problems are what is missing or full at NATS, that the ring of keys is away, which source the gateway may not take requests
	// of, why the quota is not shared, and what of files and registry cannot be used: one line each,
	// with what to do. They are informative.
	Problems []string `json:"problems,omitempty"`
	// Sources counts what is served, and the files and entries that are refused, which Problems
	// names. It is left out if neither files nor the registry are followed.
	Sources *feed.Status `json:"sources,omitempty"`
	// Keys is informative: a worker without a token is ready, and its messages wait.
	Keys map[string]KeyStatus `json:"keys"`
}

// KeyStatus is what a [Status] says about one key.
type KeyStatus struct {
	auth.Status
	// Type is that of the configuration: oauth, legacy or user.
	Type string `json:"type"`
	// Paused reports that its sources pull nothing: no token can be obtained, or Redox refuses the
	// tokens.
	Paused bool `json:"paused"`
	// Sources lists the sources that use it, sorted.
	Sources []string `json:"sources"`
}

// keyStatuses of all keys, given what the worker has paused.
func (s *Service) keyStatuses(pauses []worker.Paused) map[string]KeyStatus {
	paused := make(map[string]bool, len(pauses))
	for _, p := range pauses {
		paused[p.Scope] = true
	}
	all := make(map[string]KeyStatus)
	for _, k := range s.keys.All() {
		is := KeyStatus{Status: k.Tokens.Status(), Type: k.Config.Type, Sources: []string{}}
		is.Paused = paused[redox.KeyScope(k.Name)]
		all[k.Name] = is
	}
	sources := s.served.Load()
	for _, name := range sources.names() {
		key := sources.sources[name].Key
		if is, ok := all[key]; ok {
			is.Sources = append(is.Sources, name)
			all[key] = is
		}
	}
	return all
}

// Status returns what the service is doing. It makes no request.
func (s *Service) Status() Status {
	r := Status{Problems: append(s.upkeep.found(), ringProblem(s.ring)...), NATS: "never connected"}
	if conn := s.conn.Load(); conn != nil {
		r.NATS = conn.Status().String()
	}
	r.WaitsFor = s.link.Down()
	if w := s.worker.Load(); w != nil {
		r.Worker = w.Status()
		r.Ready = r.Worker.Ready()
	}
	if g := s.gateway.Load(); s.config.Gateway.Enabled {
		r.Gateway = g != nil && g.Serving()
		r.Ready = r.Ready && r.Gateway
	}
	if s.governor != nil {
		status := s.governor.Status()
		r.Quota = &status
		r.Problems = append(r.Problems, quotaProblem(status)...)
	}
	if s.feed.Needed() {
		sources := s.feed.Status()
		r.Sources = &sources
		r.Problems = append(r.Problems, sources.Problems...)
	}
	r.Problems = append(r.Problems, s.refusedByGateway(r.Problems)...)
	r.Problems = append(r.Problems, s.relayProblems()...)
	r.Keys = s.keyStatuses(r.Worker.Pauses)
	return r
}

// refusedByGateway names the sources whose requests the gateway may not take, but for those that
// are named already.
func (s *Service) refusedByGateway(named []string) (lines []string) {
	g := s.gateway.Load()
	if g == nil {
		return nil
	}
	err := g.Refused()
	if err == nil {
		return nil
	}
	for line := range strings.SplitSeq(err.Error(), "\n") {
		if !slices.ContainsFunc(named, func(other string) bool { return strings.Contains(other, line) }) {
			lines = append(lines, line)
		}
	}
	return lines
}

// quotaProblem says why the quota is not shared, and what is done meanwhile.
func quotaProblem(s quota.Status) []string {
	switch {
	case s.Trouble == "":
		return nil
	case s.Share == 1:
		return []string{fmt.Sprintf("quota: %s; this worker goes on within its share of 1 request", s.Trouble)}
	case s.Share > 0:
		return []string{fmt.Sprintf("quota: %s; this worker goes on within its share of %d requests", s.Trouble, s.Share)}
	}
	return []string{"quota: " + s.Trouble}
}
