package checkcmd

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/redoxworker/redoxworker/auth/secret"
	"github.com/redoxworker/redoxworker/cmd/redoxworker/internal/cli"
	"github.com/redoxworker/redoxworker/config"
	"github.com/redoxworker/redoxworker/outbox/seal"
)

// sealOld is the age at which a key that seals is worth a warning.
const sealOld = 366 * 24 * time.Hour

// checkRing looks at the ring of keys, where there is one.
func checkRing(c *config.Config, now time.Time, r *report) {
	const key = "seal.ring_file"
	path := c.Seal.RingFile
	if path == "" {
		if c.Seal.Require {
			r.fault(checkSeal, "seal.require", "is true, and there is no ring of keys", "set seal.ring_file, and make the file with `redoxworker seal new-key`")
		}
		return
	}
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		r.fault(checkSeal, key, fmt.Sprintf("%q does not exist: a worker does not start, and one that runs waits", path), "bring the ring here, or, where there is none anywhere, make it with `redoxworker seal new-key`")
		return
	}
	if err == nil && secret.Exposed(info) {
		r.fault(checkSeal, key, fmt.Sprintf("%q can be used by others (mode %04o)", path, info.Mode().Perm()), "chmod 600 it")
	}
	ring, err := seal.Open(path, seal.Options{})
	if err != nil {
		r.fault(checkSeal, key, err.Error(), "bring the ring here again, from where it is good")
		return
	}
	all, sealing := ring.Keys()
	shredded := 0
	for _, k := range all {
		switch {
		case !k.Shredded.IsZero():
			shredded++
		case k.Seals.After(now):
			r.warn(checkSeal, key, fmt.Sprintf("key %s seals from %s: until then all who open must have it", k.ID, cli.Clock(k.Seals)), "compare `redoxworker seal ls` of all hosts")
		}
	}
	if age := now.Sub(sealing.Seals); age > sealOld {
		r.warn(checkSeal, key, fmt.Sprintf("key %s has sealed for %d days", sealing.ID, int(age.Hours()/24)), "run `redoxworker seal rotate`")
	}
	text := fmt.Sprintf("%s, %s seals", counted(len(all)-shredded, "key", "keys"), sealing.ID)
	if shredded > 0 {
		text += fmt.Sprintf("; %d shredded", shredded)
	}
	if !c.Seal.Require {
		text += "; what is not sealed is taken too (seal.require)"
	}
	r.fine(checkSeal, text)
}
