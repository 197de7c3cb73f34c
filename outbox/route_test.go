package outbox

import (
	"strings"
	"testing"

	"github.com/redoxworker/redoxworker/outbox/internal/wire"
)

func TestCheckRoute(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		kind         Kind
		method, path string
		ok           bool
	}{
		{KindDataModel, "POST", "", true},
		{KindDataModel, "GET", "", false},
		{KindDataModel, "POST", "Patient", false},
		{KindFile, "POST", "", true},
		{KindFile, "POST", "x", false},
		{KindFHIR, "GET", "Patient/1", true},
		{KindFHIR, "HEAD", "Patient/1", true},
		{KindFHIR, "get", "Patient/1", false},
		{KindFHIR, "TRACE", "Patient/1", false},
		{KindFHIR, "CONNECT", "Patient/1", false},
		{KindFHIR, "GET\r\nX: y", "Patient/1", false},
		{KindFHIR, "GET", "https://api.test/fhir/R4/hospital/Development/page/Patient/search/7c9e.next", true},
		{KindFHIR, "GET", "HTTPS://API.test:443/fhir/R4/s/Development/Patient?a=1|2&next=https://x/../y", true},
		{KindFHIR, "GET", "http://[::1]:80/fhir/R4/s/Development/Patient", true},
		{KindFHIR, "GET", "https://user@api.test/fhir/R4/s/Development/Patient", false},
		{KindFHIR, "GET", "https://user:secret@api.test/fhir", false},
		{KindFHIR, "GET", "https://%61pi.test/fhir", false},
		{KindFHIR, "GET", "https://api.tëst/fhir", false},
		{KindFHIR, "GET", `https://api.test\@evil.example/fhir`, false},
		{KindFHIR, "GET", "https://api.test/fhir/R4/s/../x", false},
		{KindFHIR, "GET", "https://api.test/fhir/R4/s/%2e%2e/x", false},
		{KindFHIR, "GET", "https://api.test/fhir//evil.example/x", false},
		{KindFHIR, "GET", "https://api.test//evil.example/x", false},
		{KindFHIR, "GET", "https://api.test/fhir/R4/s/Patient#a", false},
		{KindFHIR, "GET", "https://api.test?a=/", false},
		{KindFHIR, "GET", "https://api.test", false},
		{KindFHIR, "GET", "https:///fhir", false},
		{KindFHIR, "GET", "https://", false},
		{KindFHIR, "GET", "https:/api.test/fhir", false},
		{KindFHIR, "GET", "ftp://api.test/fhir", false},
		{KindFHIR, "GET", "//api.test/fhir", false},
		{KindFHIR, "GET", " https://api.test/fhir", false},
		{KindFHIR, "GET", "https://api.test/a b ", false},
		{KindFHIR, "GET", "https://api.test/" + strings.Repeat("a", wire.MaxPath), false},
		{KindPlatform, "GET", "https://api.test/platform/v1/x", false},
		{KindPlatform, "DELETE", "v1/x", true},
		{KindPlatform, "PUT", "../x", false},
	} {
		m := Message{Kind: tt.kind, Method: tt.method, Path: tt.path}
		if err := m.checkRoute(); (err == nil) != tt.ok {
			t.Errorf("%s %q %q: %v, want ok %v", tt.kind, tt.method, tt.path, err, tt.ok)
		}
	}
}
