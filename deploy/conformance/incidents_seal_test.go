package conformance

import (
	"os"
	"path/filepath"
	"time"

	"github.com/redoxworker/redoxworker/outbox/seal"
)

func ofTheSeal() []incident {
	return []incident{{
		name: "the ring of keys is away", config: "seal: {ring_file: ring.json}",
		before:  func(s *site) { s.newRing() },
		happens: func(s *site) { s.must(os.Remove(filepath.Join(s.dir, "ring.json"))) },
		shows:   above("redoxworker_seal_ring_away", 0),
		fires:   []string{"RedoxworkerSealRingAway"},
		also:    []string{"RedoxworkerProblems"},
	}, {
		name: "a publisher does not seal", config: "seal: {ring_file: ring.json, require: true}",
		before:  func(s *site) { s.newRing() },
		happens: func(s *site) { s.publish("clinic-a", 1) },
		shows:   above("redoxworker_settled_total", 0, `settlement="poison"`, `source="clinic-a"`),
		fires:   []string{"RedoxworkerDeadLetters", "RedoxworkerSealRefused"},
	}}
}

// newRing makes the ring of keys that the configuration names.
func (s *site) newRing() {
	s.Helper()
	keys, _ := seal.Keys{}.With(time.Now(), time.Now())
	s.write("ring.json", string(keys.Encode()))
}
