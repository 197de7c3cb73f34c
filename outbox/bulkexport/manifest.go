package bulkexport

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/redoxworker/redoxworker/outbox/contract"
)

// Kind says what is in a file of an export.
type Kind string

// The kinds.
const (
	Output  Kind = "output"  // resources
	Errors  Kind = "error"   // OperationOutcomes about what could not be exported
	Deleted Kind = "deleted" // Bundles that name what was deleted since Request.Since
)

// manifestName is the name of the file that is no part of the export itself.
const manifestName = "manifest.json"

const (
	// maxManifest bounds the manifest in bytes, and maxFiles the files that it names.
	maxManifest = 64 << 20
	maxFiles    = 1_000_000
	maxURL      = 8192
)

// manifest is the answer of an export that is ready.
type manifest struct {
	time  string
	files []file
}

// file is one that the manifest names.
type file struct {
	Kind  Kind   `json:"kind"`
	Type  string `json:"type"`
	Name  string `json:"name"`
	URL   string `json:"url"`
	Token bool   `json:"token"`           // the server wants one for it
	Count *int64 `json:"count,omitempty"` // lines that the server says it has
}

// parseManifest reads the body of a complete status, leniently but for what would lose files. An
// error quotes nothing of it.
func parseManifest(text []byte) (m manifest, err error) {
	var in struct {
		TransactionTime word         `json:"transactionTime"`
		Token           word         `json:"requiresAccessToken"` // Epic's is a text
		Output          *[]listed    `json:"output"`
		Error           []listed     `json:"error"`
		Deleted         []listed     `json:"deleted"`
		Link            []linkToMore `json:"link"`
	}
	if err := json.Unmarshal(contract.WithoutMark(text), &in); err != nil {
		return m, errors.New("the manifest of the export is not JSON of its form")
	}
	if in.Output == nil {
		return m, errors.New("the manifest of the export has no output")
	}
	for _, l := range in.Link {
		if l.Relation == "next" {
			return m, errors.New("the manifest of the export has further parts, which were not asked for")
		}
	}
	if len(*in.Output)+len(in.Error)+len(in.Deleted) > maxFiles {
		return m, fmt.Errorf("the manifest of the export names more than %d files", maxFiles)
	}
	if _, err := time.Parse(time.RFC3339, string(in.TransactionTime)); err == nil { // it is shown
		m.time = string(in.TransactionTime)
	}
	names := map[string]int{}
	for _, part := range []struct {
		kind  Kind
		files []listed
	}{{Output, *in.Output}, {Errors, in.Error}, {Deleted, in.Deleted}} {
		for _, l := range part.files {
			if l.URL == "" || len(l.URL) > maxURL {
				return m, fmt.Errorf("the manifest of the export has a file of kind %s whose URL is missing or too long", part.kind)
			}
			m.files = append(m.files, l.file(part.kind, strings.EqualFold(string(in.Token), "true"), names))
		}
	}
	return m, nil
}

// listed is a file as the manifest lists it.
type listed struct {
	Type  word   `json:"type"`
	URL   string `json:"url"`
	Count word   `json:"count"`
}

// word is a text, a number, true or false, without the quotes of a text; anything else is none.
type word string

// UnmarshalJSON never fails.
func (w *word) UnmarshalJSON(data []byte) error {
	var text string
	switch {
	case json.Unmarshal(data, &text) == nil:
		*w = word(text)
	case data[0] != '{' && data[0] != '[':
		*w = word(data)
	}
	return nil
}

type linkToMore struct {
	Relation string `json:"relation"`
}

// file gives a listed one a name of its own: names of the other side never become paths.
func (l listed) file(kind Kind, token bool, names map[string]int) file {
	f := file{Kind: kind, Type: string(l.Type), URL: l.URL, Token: token}
	if !isType(f.Type) {
		f.Type = "Resource"
	}
	if n, err := strconv.ParseInt(string(l.Count), 10, 64); err == nil && n >= 0 {
		f.Count = &n
	}
	base := f.Type
	switch kind {
	case Errors:
		base = "errors"
	case Deleted:
		base = "deleted"
	}
	folded := strings.ToLower(base) // file systems may not tell upper and lower case apart
	names[folded]++
	f.Name = fmt.Sprintf("%s-%04d.ndjson", base, names[folded])
	return f
}
