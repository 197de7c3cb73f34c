package conformance

import (
	"strings"
	"testing"
)

// What `redoxworker wire --asyncapi` prints fits the schema of AsyncAPI; what does not is found.
func TestAsyncAPI_FitsItsSchema(t *testing.T) {
	t.Parallel()
	binary, err := build()
	if err != nil {
		t.Fatal(err)
	}
	document := strings.TrimSpace(output(t, t.TempDir(), "", binary, "wire", "--asyncapi", "--json"))
	documents := []string{document,
		strings.Replace(document, `"action":"receive"`, `"action":"subscribe"`, 1), // as in version 2
		strings.Replace(document, `"version":"0.1.0"`, `"versions":"0.1.0"`, 1),
	}
	check := command(t.Context(), "testdata/javascript", "", "node", "asyncapi.mjs")
	check.Stdin = strings.NewReader(strings.Join(documents, "\n"))
	out, err := check.CombinedOutput()
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	if err != nil || len(lines) != 3 || lines[0] != "valid" || !strings.HasPrefix(lines[1], "invalid") || !strings.HasPrefix(lines[2], "invalid") {
		t.Errorf("%v\n%s", err, out)
	}
}
