package auth

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// A program that needs tokens alone is at most 1 MB larger with this package than with
// x/oauth2's clientcredentials, which knows neither assertions nor keys.
func TestSize_OfAProgramThatNeedsTokensAlone(t *testing.T) {
	t.Parallel()
	size := map[string]int64{}
	for _, program := range []string{"auth", "clientcredentials"} {
		out := filepath.Join(t.TempDir(), program)
		text, err := exec.CommandContext(t.Context(), "go", "build", "-ldflags=-s -w", "-o", out, "./testdata/size/"+program).CombinedOutput()
		info, statErr := os.Stat(out)
		if err := errors.Join(err, statErr); err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		size[program] = info.Size()
	}
	more := size["auth"] - size["clientcredentials"]
	t.Logf("auth %d bytes, clientcredentials %d, %d more", size["auth"], size["clientcredentials"], more)
	if more > 1_000_000 {
		t.Errorf("it is %d bytes larger: see what go list -deps ./auth has that it had not before", more)
	}
}
