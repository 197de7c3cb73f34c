package bulkexport

import (
	"strings"
	"testing"
	"time"

	"github.com/redoxworker/redoxworker/outbox/seal"
	"github.com/redoxworker/redoxworker/worker"
	"github.com/redoxworker/redoxworker/worker/redoxsim"
)

// With a ring of keys all that an export and a worker hand each other is sealed, and the files are what they were; a ring that
// lacks a key says so.
func TestRun_Sealed(t *testing.T) {
	now := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC) // when a bubble begins
	ks, _ := seal.Keys{}.With(now, now.Add(-time.Hour))
	both, _ := ks.With(now, now.Add(-time.Minute))
	foreign, _ := seal.Keys{}.With(now, now.Add(-time.Hour))
	for name, tc := range map[string]struct {
		export, worker seal.Keys
		want           string
	}{
		"the same ring":        {ks, ks, ""},
		"the worker's is old":  {both, ks, "held: sealed: sealed with a key that the ring does not have: "},
		"the export's is old":  {ks, both, "sealed with a key that the ring does not have: "},
		"it has another's key": {foreign, ks, "sealed with a key that the ring does not have: "},
	} {
		t.Run(name, func(t *testing.T) {
			o := simulated(redoxsim.Export{Resources: 1500, LineBytes: 1000})
			o.Worker = func(c *worker.Config) { c.Ring, c.RequireSeal = seal.NewRing(tc.worker), true }
			inBubble(t, o, func(r *rig) {
				sealed := func(c *Config) { c.Ring, c.RequireSeal = seal.NewRing(tc.export), true }
				if tc.want == "" {
					r.run(sealed)
					r.whole(1500, usual...)
					return
				}
				if _, err := r.export(sealed).Run(r.t.Context()); err == nil || !strings.Contains(err.Error(), tc.want) {
					r.t.Errorf("%v, not %q", err, tc.want)
				}
			})
		})
	}
}
