package redoxsim

import (
	"bufio"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redoxworker/redoxworker/worker/redoxsim/internal/fhirpath"
)

// Types of the files of an export that hold no resources of the type that was asked for.
const (
	issuesFile  = "OperationOutcome"
	deletedFile = "Bundle"
)

// exportedFile is a file of an export. It is made while it is sent, and is never in memory.
type exportedFile struct {
	kind        string
	number      int // of the files of this kind, from 1
	from, lines int
}

func (f exportedFile) name() string { return f.kind + "-" + strconv.Itoa(f.number) + ".ndjson" }

// writer writes one line for each resource, filled up to a length.
func (f exportedFile) writer(least int) func(io.Writer) error {
	const mark = "the-id"
	text := string(f.line(mark))
	before, after, _ := strings.Cut(text, mark)
	return func(to io.Writer) error {
		w := bufio.NewWriterSize(to, 32<<10)
		for n := f.from; n < f.from+f.lines; n++ {
			id := "sim-" + strings.ToLower(f.kind) + "-" + strconv.Itoa(n+1)
			_, _ = w.WriteString(before) // an error stays, and Flush has it
			_, _ = w.WriteString(id)
			if fill := least - len(before) - len(id) - len(after) - 1; fill > 0 {
				_, _ = w.WriteString(after[:len(after)-1])
				for range fill {
					_ = w.WriteByte(' ')
				}
				_, _ = w.WriteString("}\n")
				continue
			}
			_, _ = w.WriteString(after)
			_ = w.WriteByte('\n')
		}
		return w.Flush()
	}
}

// line is one of the file, about a resource of this id.
func (f exportedFile) line(id string) json.RawMessage {
	switch f.kind {
	case issuesFile:
		text, err := json.Marshal(operationOutcome{"OperationOutcome", []issue{{Severity: "error", Code: "not-supported", Details: issueText{Text: "could not be exported"}, Diagnostics: id}}})
		if err != nil { // cannot be: it is made of texts
			return nil
		}
		return text
	case deletedFile:
		text, err := json.Marshal(map[string]any{"resourceType": "Bundle", "type": "transaction", "entry": []any{map[string]any{"request": map[string]string{"method": "DELETE", "url": "Patient/" + id}}}})
		if err != nil {
			return nil
		}
		return text
	}
	return (&fhirTarget{fhirpath.Target{Resource: f.kind}}).synthetic(id)
}

// exportAsked is what the request that begins an export asks for.
type exportAsked struct {
	types []string
	since bool
}

// exportFormats are the names of NDJSON, the only format (FHIR Bulk Data Access).
var exportFormats = []string{"application/fhir+ndjson", "application/ndjson", "ndjson"}

// readExport reads the parameters of an export, which are in the query of a GET and in the Parameters that are POSTed.
// With Prefer: handling=lenient what is not known is passed over.
func readExport(x *exchange) (asked exportAsked, c *complaint) {
	form := x.r.URL.Query()
	if x.r.Method == http.MethodPost {
		if form, c = exportParameters(x); c != nil {
			return asked, c
		}
	}
	lenient := prefers(x.r.Header.Values("Prefer"), "handling=lenient")
	for name, values := range form {
		switch name {
		case "_outputFormat":
			if !slices.Contains(exportFormats, values[0]) {
				return asked, malformed("_outputFormat is not known")
			}
		case "_since", "_until":
			if _, err := time.Parse(time.RFC3339, values[0]); err != nil {
				return asked, malformed(name + " is not an instant")
			}
			asked.since = asked.since || name == "_since"
		case "_type":
			for of := range strings.SplitSeq(strings.Join(values, ","), ",") {
				switch {
				case fhirpath.Resources[of]:
					asked.types = append(asked.types, of)
				case !lenient:
					return asked, malformed("_type has an unknown resource type")
				}
			}
		case "_typeFilter", "_elements", "includeAssociatedData", "patient", "organizeOutputBy":
		default:
			if !lenient {
				return asked, malformed("A parameter of the export is not known")
			}
		}
	}
	if asked.types == nil {
		asked.types = exported
	}
	return asked, nil
}

// exportParameters reads a Parameters resource as a form.
func exportParameters(x *exchange) (url.Values, *complaint) {
	var p struct {
		ResourceType string                       `json:"resourceType"`
		Parameter    []map[string]json.RawMessage `json:"parameter"`
	}
	if err := json.Unmarshal(x.body, &p); err != nil || p.ResourceType != "Parameters" {
		return nil, malformed("The body is not Parameters")
	}
	form := url.Values{}
	for _, parameter := range p.Parameter {
		var name, value string
		for member, raw := range parameter {
			switch {
			case member == "name":
				_ = json.Unmarshal(raw, &name) // what is no text names nothing
			case strings.HasPrefix(member, "value"):
				if json.Unmarshal(raw, &value) != nil {
					value = string(raw)
				}
			}
		}
		form.Add(name, value)
	}
	return form, nil
}
