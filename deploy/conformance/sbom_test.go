package conformance

import (
	"debug/buildinfo"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// licences that a module of the program may have: none asks more of who runs or ships it than to keep
// their text, and of who changes a file of theirs to show it. BSD-Source-Code is what the tool takes the
// BSD-3-Clause of golang.org/x for.
var licences = []string{"Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "BSD-Source-Code", "ISC", "MIT", "MPL-2.0"}

// component of a bill of materials.
type component struct {
	Name, Version, PURL string
	Licenses            []named
	Evidence            struct{ Licenses []named }
}

// named is a licence by its SPDX id.
type named struct{ License struct{ ID string } }

// The bill of materials that the Dockerfile makes has each module that is linked, with its version and a
// licence that is allowed.
func TestSBOM_ListsWhatIsLinked(t *testing.T) {
	t.Parallel()
	bin, err := program()
	if err != nil {
		t.Fatal(err)
	}
	linked, err := buildinfo.ReadFile(bin + "/redoxworker")
	if err != nil {
		t.Fatal(err)
	}
	listed := map[string]component{}
	for _, c := range bill(t, bin+"/redoxworker") {
		listed[c.Name] = c
	}
	for _, m := range linked.Deps {
		if m.Replace != nil {
			t.Errorf("%s is replaced by %s", m.Path, m.Replace.Path)
		}
		c := listed[m.Path]
		if c.Version != m.Version || !strings.Contains(c.PURL, m.Version) {
			t.Errorf("%s %s is linked, and the list has %q", m.Path, m.Version, c.Version)
		}
		var have []string
		for _, l := range append(c.Licenses, c.Evidence.Licenses...) {
			have = append(have, l.License.ID)
		}
		if slices.Contains(have, "BSD-Source-Code") && !strings.HasPrefix(m.Path, "golang.org/x/") {
			t.Errorf("%s %s has the licence %q: read it", m.Path, m.Version, have)
		}
		if !slices.ContainsFunc(have, func(id string) bool { return slices.Contains(licences, id) }) {
			t.Errorf("%s %s has the licence %q, allowed are %v", m.Path, m.Version, have, licences)
		}
	}
	t.Logf("%d modules are linked", len(linked.Deps))
	if _, found := listed["std"]; !found || len(listed) < len(linked.Deps) || len(linked.Deps) < 40 {
		t.Errorf("the list has %d entries, and %d modules are linked; the standard library is in it: %v", len(listed), len(linked.Deps), found)
	}
}

// bill runs the command of the Dockerfile.
func bill(t *testing.T, binary string) []component {
	t.Helper()
	text, err := os.ReadFile("../Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	command := regexp.MustCompile(`(?m)\bgo run github\.com/CycloneDX(?:.*\\\n)*.*$`).FindString(string(text))
	pinned := regexp.MustCompile(`(?m)^ARG (CYCLONEDX_GOMOD=v\S+)$`).FindStringSubmatch(string(text))
	if command == "" || pinned == nil || strings.Count(command, "/out/redoxworker") != 2 {
		t.Fatalf("the Dockerfile makes none: %q, of version %q", command, pinned)
	}
	out := filepath.Join(t.TempDir(), "bill")
	command = strings.NewReplacer("/out/redoxworker.cdx.json", out, "/out/redoxworker", binary).Replace(command)
	run := exec.CommandContext(t.Context(), "sh", "-c", command)
	run.Dir = "../.."
	run.Env = append(os.Environ(), "VERSION=v1.2.3", pinned[1], "GOFLAGS=")
	if text, err := run.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	var list struct {
		BOMFormat  string
		Components []component
		Metadata   struct{ Component component }
	}
	text, err = os.ReadFile(out)
	if err == nil {
		err = json.Unmarshal(text, &list)
	}
	if err != nil || list.BOMFormat != "CycloneDX" || list.Metadata.Component.Version != "v1.2.3" {
		t.Fatalf("%v: %s of %s", err, list.BOMFormat, list.Metadata.Component.Version)
	}
	return list.Components
}
