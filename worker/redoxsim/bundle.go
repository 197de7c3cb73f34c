package redoxsim

import (
	"encoding/json"
	"strings"

	"github.com/redoxworker/redoxworker/worker/redoxsim/internal/fhirpath"
	"github.com/redoxworker/redoxworker/worker/redoxsim/internal/jsonread"
)

// bundle is a FHIR Bundle as it is answered.
type bundle struct {
	ResourceType string        `json:"resourceType"`
	Type         string        `json:"type"`
	Total        int           `json:"total,omitempty"`
	Link         []bundleLink  `json:"link,omitempty"`
	Entry        []bundleEntry `json:"entry"`
}

type bundleLink struct {
	Relation string `json:"relation"`
	URL      string `json:"url"`
}

type bundleEntry struct {
	FullURL  string          `json:"fullUrl,omitempty"`
	Resource json.RawMessage `json:"resource,omitempty"`
	Search   *searchMode     `json:"search,omitempty"`
	Request  *entryRequest   `json:"request,omitempty"`
	Response *entryResponse  `json:"response,omitempty"`
}

type entryRequest struct {
	Method string `json:"method"`
	URL    string `json:"url"`
}

type searchMode struct {
	Mode  string  `json:"mode"`
	Score float64 `json:"score,omitempty"`
}

type entryResponse struct {
	Status       string `json:"status"`
	Location     string `json:"location,omitempty"`
	ETag         string `json:"etag,omitempty"`
	LastModified string `json:"lastModified,omitempty"`
}

// eventDefinitions begins the eventUri of a writeback (Redox, Patient/$patient-update).
const eventDefinitions = "https://fhir.redoxengine.com/EventDefinition/"

// parseBundle reads the body of a writeback: a Bundle of type message whose first entry is a MessageHeader. With a
// complaint, the message holds what could be read before it. Where lax, type and MessageHeader may be missing: Redox's
// sandbox was seen to take such (recorded 2024).
func parseBundle(body []byte, operation string, lax bool) (*message, *complaint) {
	m := &message{}
	top, ok, isObject := jsonread.Document(body)
	if !ok {
		return m, malformed("Request body is not valid JSON")
	}
	if !isObject {
		return m, malformed("Request body is not a JSON object")
	}
	m.top = top
	m.readSim()
	if name, twice := top.Duplicate(); twice {
		return m, malformed("Duplicate member " + name)
	}
	if kind, _ := top.Text("resourceType"); kind != "Bundle" {
		return m, malformed("The body is not a Bundle")
	}
	if kind, given := top.Text("type"); kind != "message" && (given || !lax) {
		return m, malformed("Bundle.type is not message")
	}
	entries, _, _ := top.Lookup("entry")
	list, ok := jsonread.Elements(entries)
	if !ok || len(list) == 0 {
		return m, malformed("Bundle.entry is not a list with something in it")
	}
	for i, entry := range list {
		resource, kind := resourceOf(entry)
		switch {
		case !fhirpath.Resources[kind]:
			return m, malformed("Each Bundle.entry needs a resource with a resourceType of R4")
		case i == 0 && kind == "MessageHeader":
			if c := m.readHeader(resource, operation); c != nil {
				return m, c
			}
		case i == 0 && !lax:
			return m, malformed("The first entry of the Bundle is not a MessageHeader")
		case m.resource == "":
			m.resource = kind
			m.resourceID, _ = resource.Text("id")
		}
	}
	return m, nil
}

// resourceOf is the resource of an entry and its type, "" when there is none.
func resourceOf(entry []byte) (jsonread.List, string) {
	fields, _ := jsonread.Object(entry)
	value, _, twice := fields.Lookup("resource")
	resource, _ := jsonread.Object(value)
	kind, _ := resource.Text("resourceType")
	if twice {
		kind = ""
	}
	return resource, kind
}

// readHeader reads the event and the source of a MessageHeader. R4 wants one of eventUri and eventCoding, and
// source.endpoint; Redox has the source's id there, as a bare UUID in older pages and as a URN in newer ones.
func (m *message) readHeader(resource jsonread.List, operation string) *complaint {
	if name, twice := resource.Duplicate(); twice {
		return malformed("Duplicate member MessageHeader." + name)
	}
	coding, hasCoding, _ := resource.Lookup("eventCoding")
	uri, hasURI := resource.Text("eventUri")
	switch {
	case hasCoding == resource.Has("eventUri"):
		return malformed("MessageHeader needs eventUri or eventCoding, and one only")
	case hasCoding, operation == "$write": // also for newer operations (Redox, Observation/$write-results)
		fields, _ := jsonread.Object(coding)
		system, _ := fields.Text("system")
		code, _ := fields.Text("code")
		if system != "urn:redox:event-type" || code == "" {
			return malformed("MessageHeader.eventCoding is not a code of urn:redox:event-type")
		}
	case !hasURI || !strings.HasPrefix(uri, eventDefinitions) || len(uri) == len(eventDefinitions):
		return malformed("MessageHeader.eventUri is not one of " + eventDefinitions)
	}
	value, _, _ := resource.Lookup("source")
	source, _ := jsonread.Object(value)
	endpoint, _ := source.Text("endpoint")
	if _, twice := source.Duplicate(); endpoint == "" || twice {
		return missing("MessageHeader.source.endpoint", "Bundle")
	}
	const urn = "urn:uuid:" // in any case (RFC 8141, section 3.1)
	id := endpoint
	if len(id) >= len(urn) && strings.EqualFold(id[:len(urn)], urn) {
		id = id[len(urn):]
	}
	if !strings.ContainsAny(id, ":/") { // else the address of somebody's system
		m.sourceID = id
	}
	return nil
}
