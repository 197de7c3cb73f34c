package contract

import (
	"net/http"
	"net/url"
	"path"
	"strings"
	"testing"

	"github.com/redoxworker/redoxworker/outbox/internal/wire"
)

func TestCheckPath(t *testing.T) {
	t.Parallel()
	good := []string{
		"", "/", "Patient", "/Patient/123", "Patient/_search?family=Sm%C3%ADth&_count=10", "Patient/1/$everything", "metadata",
		"Patient?identifier=urn:oid:1.2.3|4", "Binary/a.b.c", "Patient/...", "Patient/1/_history/2", "/development/Patient/",
		"Patient?next=https://example.org/../x", "Patient?q=%2e%2e%2f", "Observation?code=http://loinc.org|1234-5", "a%20b", "x/y:z",
		"a b", "Patient/ü", "?q=a b", "?name=Müller", `?q=a\b`, `Patient?identifier=<"{}^[]>`, "\u3000",
		strings.Repeat("a", wire.MaxPath),
	}
	for _, s := range good {
		if err := CheckPath(s); err != nil {
			t.Errorf("CheckPath(%q) = %v, want nil", s[:min(len(s), 60)], err)
		}
	}
	bad := []string{
		"..", "../x", "Patient/..", "Patient/../..", "/../Patient", ".", "./x", "a/./b", "..;/x", "a/..;p=1/b", "..?x=1",
		"%2e%2e/x", "%2E%2E/x", ".%2e/x", "%252e%252e/x", "a%2fb", "a%2Fb", "a%5cb", "a%3fb", "a%23b", "a%3bb", "a%00b", "a%0d%0ab", "a%7f",
		"//evil.example/x", "a//b", "http://evil.example", "https:evil", "/javascript:x", "http:/x", `\\evil\x`, `a\b`, "a#b",
		" a", "a ", "?q=a ", "a\tb", "a\r\nHost: evil", "a\x00b", "M\xfcller", "?q=M\xfcller", "?q=a\x7f", "?q=a#b", "?q=50%", "a%", "a%2", "a%zz", "?q=%", "?q=%zz", "?q=\n",
		strings.Repeat("a", wire.MaxPath+1),
	}
	for _, s := range bad {
		if err := CheckPath(s); err == nil {
			t.Errorf("CheckPath(%q) = nil, want an error", s[:min(len(s), 60)])
		}
	}
}

// FuzzPath joins what passes to a base, the way clients do, and looks where it ends up.
func FuzzPath(f *testing.F) {
	for _, s := range []string{"Patient/1", "../x", "%2e%2e/x", "//h/x", "a;b/..;c", "Patient?x=/../", "a%20b", "x:y", "%", "/"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if CheckPath(s) != nil {
			return
		}
		const base = "/fhir/R4/"
		req, err := http.NewRequest(http.MethodGet, "https://api.test"+base+strings.TrimPrefix(s, "/"), http.NoBody)
		if err != nil {
			t.Fatalf("%q passes but makes no request: %v", s, err)
		}
		if req.URL.Host != "api.test" || req.URL.Fragment != "" {
			t.Fatalf("%q leads to host %q", s, req.URL.Host)
		}
		once, err := url.PathUnescape(req.URL.EscapedPath())
		if err != nil {
			t.Fatalf("%q: %v", s, err)
		}
		for _, form := range []string{req.URL.EscapedPath(), once} {
			if clean := path.Clean(form) + "/"; !strings.HasPrefix(clean, base) {
				t.Fatalf("%q leaves its base: %q", s, clean)
			}
		}
	})
}
