package redoxsim

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/redoxworker/redoxworker/worker/redoxsim/internal/jsonread"
)

// message is what the simulator reads of a Data Model body.
type message struct {
	dataModel, eventType string
	sourceID             string
	destinations         []Destination
	top                  jsonread.List // the top-level members, aliasing the body
	key, script          string        // of the member _sim
	resource, resourceID string        // the first of a writeback, behind its MessageHeader
}

// complaint is why a message is refused: one item of Meta.Errors[].
type complaint struct {
	status               int
	text, module, reason string
}

func malformed(text string) *complaint { return &complaint{400, text, "DataModels", ""} }

func missing(field, of string) *complaint {
	return malformed("Required field missing - " + field + " in " + of)
}

// dataModels are the names that Redox has, with their spaces.
var dataModels = map[string]bool{
	"Claim": true, "Clinical Decisions": true, "Clinical Summary": true, "Device": true, "Enrichment": true,
	"FHIR Bulk Data Access": true, "Financial": true, "Flowsheet": true, "Inventory": true, "Media": true, "Medications": true, "Notes": true,
	"Order": true, "Organization": true, "PatientAdmin": true, "PatientEducation": true, "PatientSearch": true,
	"Provider": true, "Referral": true, "Research": true, "Results": true, "SSO": true, "Scheduling": true,
	"SurgicalScheduling": true, "Vaccination": true,
}

// parseMessage reads a body. With a complaint, the message holds what could be read before it.
func parseMessage(body []byte) (*message, *complaint) {
	m := &message{}
	if len(body) == 0 {
		return m, malformed("Request body is empty")
	}
	top, ok, isObject := jsonread.Document(body)
	if !ok && jsonread.TooDeep(body) {
		return m, malformed(fmt.Sprintf("Request body is nested deeper than %d", jsonread.MaxDepth))
	}
	if !ok {
		return m, malformed("Request body is not valid JSON")
	}
	if !isObject {
		return m, malformed("Request body is not a JSON object")
	}
	m.top = top
	m.readSim()
	meta, found, twice := top.Lookup("Meta")
	fields, metaIsObject := jsonread.Object(meta)
	switch {
	case !found:
		return m, missing("Meta", "message")
	case twice:
		return m, malformed("Duplicate member Meta")
	case !metaIsObject:
		return m, malformed("Meta is not an object")
	}
	return m, m.readMeta(fields)
}

func (m *message) readSim() {
	value, _, _ := m.top.Lookup("_sim")
	fields, _ := jsonread.Object(value)
	m.key, _ = fields.Text("key")
	m.script, _ = fields.Text("faults")
}

func (m *message) readMeta(meta jsonread.List) *complaint {
	if name, twice := meta.Duplicate(); twice {
		return malformed("Duplicate member Meta." + name)
	}
	m.dataModel, _ = meta.Text("DataModel")
	m.eventType, _ = meta.Text("EventType")
	if c := m.readSource(meta); c != nil {
		return c
	}
	if c := m.readDestinations(meta); c != nil {
		return c
	}
	if test, found, _ := meta.Lookup("Test"); found {
		if v := string(test); v != "true" && v != "false" && v != "null" {
			return malformed("Meta.Test is not a boolean")
		}
	}
	switch {
	case m.dataModel == "":
		return missing("Meta.DataModel", "message")
	case m.eventType == "":
		return missing("Meta.EventType", shownName(m.dataModel))
	}
	return nil
}

func (m *message) readSource(meta jsonread.List) *complaint {
	value, found, _ := meta.Lookup("Source")
	if !found || jsonread.IsNull(value) {
		return nil
	}
	fields, ok := jsonread.Object(value)
	if !ok {
		return malformed("Meta.Source is not an object")
	}
	id, has, twice := fields.Lookup("ID")
	if twice {
		return malformed("Duplicate member Meta.Source.ID")
	}
	if !has || jsonread.IsNull(id) {
		return nil
	}
	if m.sourceID, ok = jsonread.Text(id); !ok {
		return malformed("Meta.Source.ID is not a string")
	}
	return nil
}

func (m *message) readDestinations(meta jsonread.List) *complaint {
	value, found, _ := meta.Lookup("Destinations")
	if !found || jsonread.IsNull(value) {
		return nil
	}
	list, ok := jsonread.Elements(value)
	if !ok {
		return malformed("Meta.Destinations is not an array")
	}
	for i, e := range list {
		fields, ok := jsonread.Object(e)
		id, isString := fields.Text("ID")
		if !ok || !isString || id == "" {
			return malformed(fmt.Sprintf("Required field missing - Meta.Destinations[%d].ID in message", i))
		}
		name, _ := fields.Text("Name")
		m.destinations = append(m.destinations, Destination{ID: id, Name: name})
	}
	return nil
}

// has says whether a dotted path leads to a value other than null and "". It does not enter arrays.
func (m *message) has(path string) bool {
	list := m.top
	for {
		name, rest, more := strings.Cut(path, ".")
		value, found, _ := list.Lookup(name)
		if !found || jsonread.IsNull(value) || string(value) == `""` {
			return false
		}
		if !more {
			return true
		}
		path = rest
		list, _ = jsonread.Object(value)
	}
}

// IsQuery tells Redox's REQUESTs from its SENDs by name: event types that end in "Query", slots and booked appointments
// of Scheduling, documents got one by one, and decisions asked for.
func IsQuery(dataModel, eventType string) bool {
	switch dataModel + ":" + eventType {
	case "Scheduling:AvailableSlots", "Scheduling:Booked", "Clinical Summary:DocumentGet", "Clinical Decisions:Request":
		return true
	}
	return strings.HasSuffix(eventType, "Query")
}

// names of data models and event types are words of letters.
var names = regexp.MustCompile(`^[a-zA-Z]+( [a-zA-Z]+)*$`)

// shownName is a name as it may be recorded and answered: what is none may be a patient's number.
func shownName(name string) string {
	if name == "" || len(name) <= 40 && names.MatchString(name) {
		return name
	}
	return "(not a word)"
}

// shown are the names of the data model and event type as they may be recorded and answered. What FHIR has in their
// place comes from a list.
func (x *exchange) shown() (dataModel, eventType string) {
	if x.fhir != nil {
		return x.msg.dataModel, x.msg.eventType
	}
	return shownName(x.msg.dataModel), shownName(x.msg.eventType)
}

// shownEvent is both as one word, as errors name a message.
func (x *exchange) shownEvent() string {
	dataModel, eventType := x.shown()
	return strings.Trim(dataModel+":"+eventType, ":")
}
