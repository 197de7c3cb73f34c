package service

import (
	"testing"

	"github.com/redoxworker/redoxworker/config"
)

// A claim check may bring whatever a worker takes, and 64 MiB at least.
func TestMaxClaim(t *testing.T) {
	t.Parallel()
	c := config.Defaults()
	c.Redox.Offload.Enabled = true
	if got := maxClaim(&c); got != 64<<20 {
		t.Error(got)
	}
	c.Redox.MaxFile = 100_000_000
	if got := maxClaim(&c); got < 140_000_000 {
		t.Error(got)
	}
}
