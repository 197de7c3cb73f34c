package service

import (
	"errors"
	"strings"
	"testing"

	"github.com/redoxworker/redoxworker/config"
)

// A header that no message may set is a mistake in the configuration, of a key that is named.
func TestNew_HeadersThatNoMessageMaySet(t *testing.T) {
	t.Parallel()
	c := clinics("k1", map[string]string{"a": "k1"})
	c.Redox.Headers = []string{"Prefer", "Authorization"}
	_, err := New(c, Options{})
	if !errors.As(err, new(config.Mistake)) || !strings.HasPrefix(err.Error(), "redox.headers: ") || !strings.Contains(err.Error(), "Authorization: no message may set it: remove it") {
		t.Error(err)
	}
	c.Redox.Headers = []string{"Prefer"}
	newService(t, c)
}
