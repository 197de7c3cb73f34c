package bulkexport

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const someManifest = `{
 "transactionTime": "2026-01-01T00:00:00Z", "request": "https://api.example/$export", "requiresAccessToken": true,
 "output": [
  {"type": "Patient", "url": "https://api.example/1", "count": 5}, {"type": "Patient", "url": "https://api.example/2"},
  {"type": "../etc", "url": "https://api.example/3", "count": -1}, {"type": "Errors", "url": "https://api.example/4", "count": 1.5}
 ],
 "error": [{"type": "OperationOutcome", "url": "https://api.example/5"}],
 "deleted": [{"type": "Bundle", "url": "https://api.example/6"}],
 "extension": {"https://example.com": true}
}`

func TestParseManifest(t *testing.T) {
	t.Parallel()
	m, err := parseManifest([]byte(someManifest))
	if err != nil || m.time != "2026-01-01T00:00:00Z" {
		t.Fatalf("%+v, %v", m, err)
	}
	var got []string
	for i, f := range m.files {
		got = append(got, fmt.Sprintf("%s %s %s %v", f.Kind, f.Type, f.Name, f.Token))
		if f.URL != fmt.Sprint("https://api.example/", i+1) || (f.Count != nil) != (i == 0) {
			t.Errorf("%+v", f)
		}
	}
	if diff := cmp.Diff([]string{
		"output Patient Patient-0001.ndjson true", "output Patient Patient-0002.ndjson true", "output Resource Resource-0001.ndjson true", "output Errors Errors-0001.ndjson true",
		"error OperationOutcome errors-0002.ndjson true", "deleted Bundle deleted-0001.ndjson true",
	}, got); diff != "" {
		t.Error(diff)
	}
}

func TestParseManifest_Refused(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		``: "not JSON", `[]`: "not JSON", `null`: "no output", `{}`: "no output", `{"output":null}`: "no output",
		`{"output":{}}`: "not JSON", `{"output":[]} x`: "not JSON",
		`{"output":[{"type":"Patient"}]}`:                                               "of kind output whose URL is missing",
		`{"output":[],"deleted":[{"url":"` + strings.Repeat("x", maxURL+1) + `"}]}`:     "of kind deleted",
		`{"output":[],"link":[{"relation":"next","url":"https://api.example/SECRET"}]}`: "further parts",
	} {
		if _, err := parseManifest([]byte(text)); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "SECRET") {
			t.Errorf("%.60s: %v", text, err)
		}
	}
	if m, err := parseManifest([]byte("\ufeff" + `{"output":[]}`)); err != nil || len(m.files) != 0 {
		t.Errorf("an empty one: %v", err)
	}
}

// What does not matter for which files there are may have any form.
func TestParseManifest_IsLenient(t *testing.T) {
	t.Parallel()
	for token, want := range map[string]bool{`true`: true, `"true"`: true, `"True"`: true, `false`: false, `"false"`: false, `null`: false, `[true]`: false, `1`: false} {
		m, err := parseManifest([]byte(`{"transactionTime":[7],"requiresAccessToken":` + token + `,"output":[{"type":{},"url":"u","count":"7"},{"url":"v","count":{}}],"error":null}`))
		if err != nil || len(m.files) != 2 || m.files[0].Token != want || m.files[0].Name != "Resource-0001.ndjson" || *m.files[0].Count != 7 || m.files[1].Count != nil || m.time != "" {
			t.Errorf("%s: %+v, %v", token, m, err)
		}
	}
}

// Whatever a server answers, the names of files are our own and no two are the same.
func FuzzParseManifest(f *testing.F) {
	f.Add([]byte(someManifest))
	f.Add([]byte(`{"output":[{"type":"errors","url":"a"},{"type":"Errors","url":"b"}],"error":[{"url":"c"}]}`))
	f.Add([]byte(`{"output":[{"type":"Patient","url":"x","count":"7"}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		m, err := parseManifest(text)
		if err != nil {
			return
		}
		seen := map[string]bool{}
		for _, one := range m.files {
			folded := strings.ToLower(one.Name)
			switch {
			case seen[folded]:
				t.Errorf("%q is there twice", one.Name)
			case strings.ContainsAny(one.Name, "/\\\x00:") || !strings.HasSuffix(one.Name, ".ndjson") || len(one.Name) > 100:
				t.Errorf("name %q", one.Name)
			case one.URL == "" || !isType(one.Type):
				t.Errorf("%+v", one)
			}
			seen[folded] = true
		}
	})
}
