package fhirpath

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
)

// rest is what stands behind the environment.
func (f *Target) rest() string {
	switch {
	case f.Operation == Export && f.ID == "":
		return Export
	case f.Operation == Export:
		return "Group/" + f.ID + "/" + Export
	case f.Operation == ExportStatus:
		return "export/" + f.Page
	case f.Operation == ExportFile:
		return "export/" + f.Page + "/" + f.Version
	case f.Operation == Transaction:
		return ""
	case f.Operation == Capabilities:
		return Capabilities
	case f.Operation == History && f.ID == "":
		return f.Resource + "/" + History
	case f.Operation == History:
		return f.Resource + "/" + f.ID + "/" + History
	case slices.Contains([]string{Update, Patch, Delete}, f.Operation) && f.ID != "":
		return f.Resource + "/" + f.ID
	case f.IsREST(), f.Operation == CreateBinary:
		return f.Resource
	case f.Operation == "page":
		return "page/" + f.Resource + "/search/" + f.Page
	case f.Version != "":
		return f.Resource + "/" + f.ID + "/_history/" + f.Version
	case f.Operation == "read":
		return f.Resource + "/" + f.ID
	}
	return f.Resource + "/" + f.Operation
}

func FuzzParse(f *testing.F) {
	for _, path := range []string{
		"hospital/Staging/Patient/1", "a/Production/Patient/_search", "a/Development/Patient/$patient-update", "a/Staging/Patient/%2e%2e",
		"a/Staging/page/Patient/search/0-10.next", "a/Staging/$export", "a/Staging/Group/g-1/$export", "a/Staging/export/1", "a/Staging/export/1/Patient.ndjson", "a/Staging/Binary",
	} {
		f.Add(http.MethodPost, Prefix+path)
		f.Add(http.MethodGet, Prefix+path)
	}
	f.Fuzz(func(t *testing.T, method, path string) {
		target, ok := Parse(method, path)
		if !ok {
			return
		}
		again := Prefix + target.Slug + "/" + target.Environment + "/" + target.rest()
		decoded, err := url.PathUnescape(path)
		if again = strings.TrimSuffix(again, "/"); decoded == strings.TrimSuffix(again, "/_search") && method == http.MethodGet {
			return // a search by GET
		}
		if err != nil || decoded != again || strings.Contains(again, "..") && strings.Contains(again, "/../") {
			t.Fatalf("%q is read as %q", path, again)
		}
	})
}
