package conformance

import (
	"os/exec"
	"path/filepath"
	"testing"
)

// The script of the pages is of the types that its comments say, as TypeScript checks them.
func TestScript_Types(t *testing.T) {
	t.Parallel()
	tsc := filepath.Join(npmDir, "node_modules", ".bin", "tsc")
	out, err := exec.CommandContext(t.Context(), tsc, "--allowJs", "--checkJs", "--strict", "--noEmit", "--target", "es2022", "--module", "es2022", "--lib", "dom,dom.iterable,es2022", filepath.Join("..", "static", "console.js")).CombinedOutput()
	if err != nil {
		t.Errorf("%v; run npm ci --prefix worker/console/conformance/%s where it is missing: %s", err, npmDir, out)
	}
}
