package redox

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/worker/redoxsim"
)

// exchanged is a request that was recorded with its answer, made anew: the shape is as recorded, the content invented.
type exchanged struct {
	id, source  string
	message     outbox.Message
	status      int
	contentType string
	answer      string
	want        string // what the client makes of it, before any text in parentheses
	lax         bool   // the simulator takes it without strict only
	fault       string // what the simulator is told to do, where it would do better
	linked      bool   // the path is that of the link in the answer to the exchange before
	unlike      string // members that the simulator's answer lacks, and why
}

const (
	sandbox  = "redox-fhir-sandbox/Development/"
	store    = "https://fhir.redoxengine.com/fhir-sandbox/"
	jsonUTF8 = "application/json; charset=utf-8"
	fhirUTF8 = "application/fhir+json; charset=utf-8"
)

// wrote is the answer to a writeback that was taken.
func wrote(status, resource string) string {
	return `{"resourceType":"Bundle","type":"transaction-response","entry":[{"response":{"etag":"W/\"MTcy\"","lastModified":"2024-09-20T18:00:00.000000+00:00",` +
		`"location":"` + store + resource + `/f3b1c2d4/_history/MTcyNjg1NjQwMA","status":"` + status + `"}}]}`
}

// observed is a writeback as it was recorded: without a MessageHeader.
func observed(id string) string {
	return `{"resourceType":"Bundle","type":"message","entry":[{"resource":{"resourceType":"Observation"` + id + `,"status":"final","code":{"text":"made up"}}}]}`
}

// queried is a data-model query with its answer, which has the query's own event.
func queried(model, event, result string) (query, answer string) {
	head := `{"Meta":{"DataModel":"` + model + `","EventType":"` + event + `","Destinations":[{"ID":"` + destID + `","Name":"EMR"}]`
	return head + `},"Patient":{"Demographics":{"FirstName":"Sim","LastName":"Patient"}}}`,
		head + `,"Source":{"ID":"` + sourceID + `"},"Logs":[{"ID":"log-1","AttemptID":"attempt-1"}]},` + result + `}`
}

// recorded are the exchanges of 2024 (R: a notebook of databricks-industry-solutions/redox-ehr-api, commit d6dba2c, which
// asked Redox's FHIR sandbox) and each kind of those of 2020 and 2021 (P: patient-discovery/redox-client, commit 137d330).
func recorded() []exchanged {
	write := func(path, body string) outbox.Message {
		return fhir(contract.LaneSend, "POST", sandbox+path, body)
	}
	read := func(path string) outbox.Message { return fhir(contract.LaneRequest, "GET", sandbox+path, "") }
	search := fhir(contract.LaneRequest, "POST", sandbox+"Patient/_search", "")
	untyped := write("Observation/$observation-create", strings.Replace(observed(""), `"type":"message",`, "", 1))
	untyped.ContentType = "application/json"
	found, foundAnswer := queried("PatientSearch", "Query", `"Patient":{"Identifiers":[{"ID":"1","IDType":"MR"}],"Demographics":{"FirstName":"Sim"}},"PotentialMatches":[]`)
	booked, bookedAnswer := queried("Scheduling", "Booked", `"Visits":[{"VisitNumber":"1","Reason":"made up"}]`)
	failed := strings.NewReplacer(`"Errors"`, `"DataModel":"PatientSearch","EventType":"Query","Errors"`, `,"Patient":{}`, "").Replace(transmission)
	file := outbox.Message{ID: "m-1", Source: "clinic-a", Lane: contract.LaneSend, Kind: outbox.KindFile, ContentType: "application/pdf", Body: []byte("%PDF-1.4 made up")}
	page := func(relation string) string {
		return `{"relation":"` + relation + `","url":"https://api.redoxengine.com/fhir/R4/` + sandbox + `page/Patient/search/0b8f.` + relation + `"}`
	}
	return []exchanged{
		{id: "R1", source: "POST Patient/_search, no body and no Content-Type", message: search, status: 200, contentType: fhirUTF8, want: "delivered", lax: true,
			answer: `{"resourceType":"Bundle","type":"searchset","total":217342,"link":[` + page("search") + `,` + page("next") + `,` + page("first") + `,` + page("self") +
				`],"entry":[{"fullUrl":"` + store + `Patient/1","resource":{"resourceType":"Patient","id":"1"}}]}`},
		{id: "R1b", source: "the link next of it", message: read("page/Patient/search/0b8f.next"), status: 200, contentType: fhirUTF8, want: "delivered", lax: true, linked: true,
			answer: `{"resourceType":"Bundle","type":"searchset","total":217342,"entry":[{"fullUrl":"` + store + `Patient/2","resource":{"resourceType":"Patient","id":"2"}}]}`},
		{id: "R2", source: "GET Patient/<id>", message: read("Patient/1"), status: 200, contentType: fhirUTF8, want: "delivered",
			answer: `{"resourceType":"Patient","id":"1","meta":{"versionId":"MTcy","lastUpdated":"2024-09-20T18:00:00Z"}}`},
		{id: "R3", source: "Observation/$observation-create without a MessageHeader", message: write("Observation/$observation-create", observed("")), status: 200, contentType: fhirUTF8,
			answer: wrote("201 Created", "Observation"), want: "delivered", lax: true},
		{id: "R4", source: "Appointment/$appointment-create for an id that exists", message: write("Appointment/$appointment-create", observed(`,"id":"f3b1c2d4"`)), status: 200, contentType: fhirUTF8,
			answer: wrote("200 OK", "Appointment"), want: "delivered", lax: true},
		{id: "R5", source: "an Observation to Claim/$submit-preauthorization", message: write("Claim/$submit-preauthorization", observed("")), status: 200, contentType: fhirUTF8,
			answer: wrote("201 Created", "Observation"), want: "delivered", lax: true},
		{id: "R6", source: "Observation/$appointment-create", message: write("Observation/$appointment-create", observed("")), status: 400, contentType: jsonUTF8, want: "rejected (message/Parser)", lax: true,
			answer: `{"Meta":{"Logs":[{"ID":"log-1","AttemptID":"attempt-1"}],"Source":{"ID":"` + sourceID + `","Name":"made up"},"Errors":[{"Text":"Invalid data model and/or event type.","Type":"message","Module":"Parser"}]}}`,
			unlike: "Meta.Source.Name: sources have no name unless one is given"},
		{id: "R7", source: "Fake/$fake-create", message: write("Fake/$fake-create", observed("")), status: 404, contentType: fhirUTF8, want: "rejected (not-found)", lax: true,
			answer: `{"resourceType":"OperationOutcome","issue":[{"severity":"fatal","code":"not-found","details":{"coding":[{"system":"s","code":"MSG_NO_MODULE"}],"text":"Unknown slug"}}]}`},
		{id: "R8", source: "GET Appointment/<id>; it had a body, which this client refuses", message: read("Appointment/1"), status: 200, contentType: fhirUTF8, want: "delivered",
			answer: `{"resourceType":"Appointment","id":"1","meta":{"versionId":"MTcy"}}`},
		{id: "R9", source: "POST Appointment/<id>", message: write("Appointment/1", observed("")), status: 404, want: "rejected", lax: true},
		{id: "R10", source: "Bundle without type, as plain JSON", message: untyped, status: 200, contentType: fhirUTF8, answer: wrote("201 Created", "Observation"), want: "delivered", lax: true},
		{id: "P1", source: "a SEND", message: message(contract.LaneSend, event), status: 200, contentType: jsonUTF8, answer: accepted, want: "delivered"},
		{id: "P2", source: "PatientSearch.Query, all of this kind", message: message(contract.LaneRequest, found), status: 200, contentType: jsonUTF8, answer: foundAnswer, want: "delivered"},
		{id: "P3", source: "Scheduling.Booked, all of this kind", message: message(contract.LaneRequest, booked), status: 200, contentType: jsonUTF8, answer: bookedAnswer, want: "delivered"},
		{id: "P4", source: "a query whose destination failed, both", message: message(contract.LaneRequest, found), status: 400, contentType: jsonUTF8, answer: failed, want: "delivered, flagged (transmission/Send)", fault: "400 errors"},
		{id: "P5", source: "blob", message: file, status: 201, contentType: jsonUTF8, answer: `{"URI":"https://blob.redoxengine.com/14652614"}`, want: "delivered"},
		{id: "P6", source: "blob, refused", message: file, status: 400, contentType: "text/html; charset=utf-8", answer: "Some Error", want: "rejected", fault: "400"},
		{id: "P7", source: "a token that is no more", message: message(contract.LaneSend, event), status: 401, contentType: "text/html; charset=utf-8", answer: "Invalid request", want: "paused", fault: "401"},
	}
}

// made is what a client made of an answer.
func made(t *testing.T, a outbox.Answer, err error) string {
	t.Helper()
	text, what := a.Flag, "delivered"
	switch {
	case err != nil:
		e := failure(t, err)
		text, what = e.SafeError(), "tried again"
		switch {
		case e.Permanent():
			what = "rejected"
		case e.Pauses() != "":
			what = "paused"
		}
	case a.Flag != "":
		what = "delivered, flagged"
	}
	if i := strings.LastIndexByte(text, '('); i >= 0 {
		what += " " + text[i:]
	}
	return what
}

// members are the paths of all members of a JSON text; lists count as their elements.
func members(text string) map[string]bool {
	all := map[string]bool{}
	var walk func(path string, v any)
	walk = func(path string, v any) {
		switch v := v.(type) {
		case map[string]any:
			for name, inner := range v {
				all[path+name] = true
				walk(path+name+".", inner)
			}
		case []any:
			for _, inner := range v {
				walk(path, inner)
			}
		}
	}
	var v any
	if json.Unmarshal([]byte(text), &v) == nil {
		walk("", v)
	}
	return all
}

// issued hands out tokens of a simulator.
type issued struct{ sim *redoxsim.Server }

func (i issued) Bearer(context.Context) (string, error) { return i.sim.NewToken("client", 0), nil }
func (issued) Invalidate(string)                        {}

// simulator knows what the messages name.
func simulator(t *testing.T, lax bool) (*redoxsim.Server, string) {
	t.Helper()
	sim := &redoxsim.Server{Lax: lax, KeepBodies: true, Matches: 25}
	sim.AddSource(redoxsim.Source{ID: sourceID})
	sim.AddDestination(redoxsim.Destination{ID: destID, Name: "EMR"})
	sim.AddDestination(redoxsim.Destination{ID: "sandbox", Slug: "redox-fhir-sandbox"})
	far := httptest.NewServer(sim)
	t.Cleanup(far.Close)
	return sim, far.URL
}

// Each recorded exchange, through the client to somebody who answers as recorded, and to the simulator. go test -v prints
// the table.
func TestRecorded(t *testing.T) {
	t.Parallel()
	var table strings.Builder
	fmt.Fprintf(&table, "%-4s %-62s %-8s %-40s %-40s %-9s %s\n", "", "request", "recorded", "the client makes of it", "request headers", "simulator", "its answer")
	for _, x := range recorded() {
		far := serve(t, respond(x.status, x.answer, "Content-Type", x.contentType))
		a, err := client(t, far.URL, &keyring{}).Deliver(t.Context(), x.message)
		got := made(t, a, err)
		if got != x.want {
			t.Errorf("%s: %s, want %s: %v", x.id, got, x.want, err)
		}
		if string(a.Body) != x.answer || a.Status != x.status {
			t.Errorf("%s: the answer was changed: %d %q", x.id, a.Status, a.Body)
		}
		if strings.Contains(x.answer, "log-1") && !slices.Equal(a.LogIDs, []string{"log-1"}) {
			t.Errorf("%s: log ids %q", x.id, a.LogIDs)
		}
		sent := checkSent(t, x, far.seen()[0])

		fromSim, last, err := x.simulate(t)
		verdict := made(t, fromSim, err)
		if verdict != x.want {
			t.Errorf("%s: of the simulator's answer it makes %s, want %s: %v", x.id, verdict, x.want, err)
		}
		if last.Status != x.status || x.message.Kind != outbox.KindFile && string(last.Body) != far.seen()[0].body {
			t.Errorf("%s: the simulator answers %d, want %d; %s", x.id, last.Status, x.status, last.Reason)
		}
		lacks := lacking(x, string(fromSim.Body))
		fmt.Fprintf(&table, "%-4s %-62s %-8d %-40s %-40s %-9d %s\n", x.id, x.source, x.status, got, sent, last.Status, verdict+lacks)
		if lacks != "" && !strings.HasPrefix(x.unlike, strings.TrimPrefix(lacks, "; lacks ")) {
			t.Errorf("%s: the simulator's answer%s\n%s", x.id, lacks, fromSim.Body)
		}
	}
	t.Log("\n" + table.String())
}

// simulate sends the request to a simulator. It answers what the client got, and what the simulator saw last.
func (x exchanged) simulate(t *testing.T) (outbox.Answer, redoxsim.Arrival, error) {
	t.Helper()
	sim, url := simulator(t, x.lax)
	c, m := client(t, url, issued{sim}), x.message
	if x.linked {
		first, err := c.Deliver(t.Context(), fhir(contract.LaneRequest, "POST", sandbox+"Patient/_search", ""))
		_, link, _ := strings.Cut(string(first.Body), `{"relation":"next","url":"`+url+`/fhir/R4/`)
		if m.Path, _, _ = strings.Cut(link, `"`); err != nil || link == "" {
			t.Fatalf("%s: no link: %v %s", x.id, err, first.Body)
		}
	}
	if x.fault != "" {
		f, err := redoxsim.ParseFault(x.fault)
		if err != nil {
			t.Fatal(err)
		}
		sim.SetRules(redoxsim.Rule{Fault: f})
	}
	a, err := c.Deliver(t.Context(), m)
	arrivals := sim.Arrivals()
	return a, arrivals[len(arrivals)-1], err
}

// lacking names the members of a recorded answer that another lacks.
func lacking(x exchanged, body string) string {
	recorded, simulated := members(x.answer), members(body)
	maps.DeleteFunc(recorded, func(path string, _ bool) bool { return simulated[path] })
	if len(recorded) == 0 {
		return ""
	}
	return "; lacks " + strings.Join(slices.Sorted(maps.Keys(recorded)), ", ")
}

// checkSent checks what the far side got, and says which headers.
func checkSent(t *testing.T, x exchanged, got arrival) string {
	t.Helper()
	want := string(x.message.Body)
	switch x.message.Kind {
	case outbox.KindDataModel:
		want = strings.Replace(want, `{"Meta":{`, `{"Meta":{"Source":{"ID":"`+sourceID+`"},`, 1)
	case outbox.KindFile:
		if !strings.Contains(got.body, want) {
			t.Errorf("%s: the file is not in the form", x.id)
		}
		want = got.body
	}
	if got.body != want {
		t.Errorf("%s: sent %q, want %q", x.id, got.body, want)
	}
	if got.header.Get("Authorization") == "" || got.header.Get("Redox-Source-Id") != sourceID {
		t.Errorf("%s: headers %v", x.id, got.header)
	}
	names := map[string][]string(maps.Clone(got.header))
	for _, usual := range []string{"Authorization", "User-Agent", "Content-Length", "Accept-Encoding", "Redox-Source-Id"} {
		delete(names, usual)
	}
	var all []string
	for _, name := range slices.Sorted(maps.Keys(names)) {
		value, _, _ := strings.Cut(http.Header(names).Get(name), ";")
		all = append(all, value)
	}
	return strings.Join(all, ", ")
}
