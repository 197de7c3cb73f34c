package service

import (
	"fmt"

	"github.com/redoxworker/redoxworker/config"
	"github.com/redoxworker/redoxworker/outbox/seal"
)

// OpenRing opens the ring of keys of a configuration; nil where it has none. kms unwraps the keys
// that need one, and may be nil.
func OpenRing(c *config.Config, kms seal.KMS) (*seal.Ring, error) {
	if c.Seal.RingFile == "" {
		if c.Seal.Require {
			return nil, config.Mistakef("seal.require: is true, and there is no ring of keys: set seal.ring_file, and make the file with `redoxworker seal new-key`")
		}
		return nil, nil
	}
	ring, err := seal.Open(c.Seal.RingFile, seal.Options{KMS: kms})
	if err != nil {
		return nil, config.Mistake{Err: fmt.Errorf("seal.ring_file: %w; give the file to this process, or, where there is none anywhere, make it with `redoxworker seal new-key`", err)}
	}
	return ring, nil
}

// ringProblem says why a ring of keys cannot be used, or that what it was is used on.
func ringProblem(ring *seal.Ring) []string {
	if ring == nil {
		return nil
	}
	if err := ring.Err(); err != nil {
		return []string{fmt.Sprintf("seal.ring_file: messages wait: %v; bring the ring here again, from where it is good", err)}
	}
	if err := ring.Trouble(); err != nil {
		return []string{fmt.Sprintf("seal.ring_file: the keys that were read before are used on: %v; bring the ring here again, from where it is good", err)}
	}
	return nil
}
