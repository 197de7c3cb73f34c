package service

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/redoxworker/redoxworker/outbox/seal"
)

// A ring that is away, or whose file is broken, is a problem that /readyz and redoxworker status name, until it is there again.
func TestStatus_RingProblem(t *testing.T) {
	t.Parallel()
	ks, _ := seal.Keys{}.With(time.Now(), time.Now())
	file := filepath.Join(t.TempDir(), "ring.json")
	for _, tc := range []struct{ text, want string }{
		{string(ks.Encode()), ""},
		{"", "seal.ring_file: messages wait: "},
		{"{", "seal.ring_file: messages wait: "},
	} {
		_ = os.Remove(file)
		if tc.text != "" {
			if err := os.WriteFile(file, []byte(tc.text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		s := newService(t, clinics("k1", map[string]string{"a": "k1"}))
		s.ring = seal.Follow(file, seal.Options{})
		got := strings.Join(s.Status().Problems, "\n")
		if tc.want == "" && got != "" || !strings.HasPrefix(got, tc.want) {
			t.Errorf("%q: %q, not %q", tc.text, got, tc.want)
		}
	}
}
