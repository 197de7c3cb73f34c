package redoxsim

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestEndpoint_SendAnswer(t *testing.T) {
	t.Parallel()
	sim := &Server{}
	sim.AddDestination(Destination{ID: "d1", Name: "One"})
	sim.AddDestination(Destination{ID: "d2", Name: "Two", DataModels: []string{"PatientAdmin"}})
	g := newRig(t, sim)
	meta := `"Source":{"ID":"` + testSource + `","Name":"ignored"},"Test":true,"Destinations":[{"ID":"d1","Name":"theirs"},{"ID":"d2"}]`
	r := g.send(body("PatientAdmin.NewPatient", meta, `"Patient":{},"Unknown":[1,2]`))
	var got struct{ Meta answerMeta }
	r.json(t, &got)
	if len(got.Meta.Logs) != 2 {
		t.Fatalf("%d logs for two destinations: %s", len(got.Meta.Logs), r.body)
	}
	want := answerMeta{
		DataModel: "PatientAdmin", EventType: "NewPatient", Source: &idName{ID: testSource},
		Destinations: []idName{{"d1", "One"}, {"d2", "Two"}}, Logs: got.Meta.Logs,
	}
	if diff := cmp.Diff(want, got.Meta); diff != "" {
		t.Error(diff)
	}
	a := g.last()
	if diff := cmp.Diff([]string{got.Meta.Logs[0].ID, got.Meta.Logs[1].ID}, a.LogIDs); diff != "" || !a.Accepted || a.Query {
		t.Errorf("accepted %t, query %t, log ids %s", a.Accepted, a.Query, diff)
	}
	for name, value := range map[string]string{
		"Cache-Control": "no-store", "Vary": "Accept-Encoding", "Content-Type": jsonType, "Redox-Trace-Id": a.TraceID,
	} {
		if r.header.Get(name) != value || value == "" {
			t.Errorf("%s: %q, want %q", name, r.header.Get(name), value)
		}
	}
}

func TestEndpoint_RefusesTokens(t *testing.T) {
	t.Parallel()
	clk := newClock()
	g := newRig(t, &Server{Now: clk.now, TokenTTL: 4 * time.Second})
	text := keyed("m", "")
	post := func(h http.Header) received { return g.do(http.MethodPost, PathEndpoint, text, h) }
	good := bearer(g.sim.NewToken(testClient, 0))
	revoked := bearer(g.sim.NewToken("client-2", 0))
	if n := g.sim.RevokeTokens("client-2"); n != 1 || g.sim.liveTokens() != 1 {
		t.Fatalf("%d revoked, %d live", n, g.sim.liveTokens())
	}
	basic := http.Header{"Authorization": {"Basic eDp5"}, "Content-Type": {"application/json"}}
	twice := good.Clone()
	twice["Authorization"] = append(twice["Authorization"], "Bearer x")
	for _, c := range []struct {
		name   string
		header http.Header
		wait   time.Duration
		state  TokenState
	}{
		{"good", good, 0, TokenValid},
		{"scheme in lower case", with(good, "Authorization", strings.Replace(good.Get("Authorization"), "Bearer", "bearer", 1)), 0, TokenValid},
		{"none", http.Header{"Content-Type": {"application/json"}}, 0, TokenMissing},
		{"basic", basic, 0, TokenMissing},
		{"empty", with(good, "Authorization", "Bearer "), 0, TokenMissing},
		{"two headers", twice, 0, TokenMissing},
		{"made up", bearer("nonsense"), 0, TokenUnknown},
		{"revoked", revoked, 0, TokenRevoked},
		{"just alive", good, 4*time.Second - 1, TokenValid},
		{"expired", good, 1, TokenExpired},
	} {
		clk.add(c.wait)
		r := post(c.header)
		a := g.last()
		if a.Token != c.state || a.TokenValid != (c.state == TokenValid) {
			t.Errorf("%s: recorded %q", c.name, a.Token)
		}
		if c.state == TokenValid {
			if r.status != 200 {
				t.Errorf("%s: %d %s", c.name, r.status, r.body)
			}
			continue
		}
		// As recorded: 15 bytes of text/html.
		if r.status != 401 || r.body != "Invalid request" || !strings.HasPrefix(r.header.Get("Content-Type"), "text/html") {
			t.Errorf("%s: %d %q %q", c.name, r.status, r.header.Get("Content-Type"), r.body)
		}
		if a.Accepted || a.Attempt != 0 {
			t.Errorf("%s: accepted %t, attempt %d", c.name, a.Accepted, a.Attempt)
		}
	}
	if a := g.last(); a.TokenID == "" || a.KeyOwner != testClient {
		t.Errorf("an expired token is not named: %q of %q", a.TokenID, a.KeyOwner)
	}
}

// messageCase is a body and what becomes of it; says is part of the error's text.
type messageCase struct {
	name, body string
	status     int
	says       string
}

const toDest = `"Destinations":[{"ID":"` + testDest + `"}]`

// metaCases are about the body as a whole, the source and the event.
func metaCases() []messageCase {
	return []messageCase{
		{"good", body("PatientAdmin.NewPatient", toDest, ""), 200, ""},
		{"white space around", "\r\n\t " + body("PatientAdmin.NewPatient", toDest, "") + "\n", 200, ""},
		{"escaped names", `{"M\u0065ta":{"DataModel":"Patient\u0041dmin","EventType":"NewPatient",` + toDest + `}}`, 200, ""},
		{"empty", "", 400, "empty"},
		{"not JSON", "MSH|^~\\&|", 400, "not valid JSON"},
		{"cut off", body("PatientAdmin.NewPatient", toDest, "")[:60], 400, "not valid JSON"},
		{"two values", body("PatientAdmin.NewPatient", toDest, "") + "{}", 400, "not valid JSON"},
		{"byte order mark", "\ufeff" + body("PatientAdmin.NewPatient", toDest, ""), 400, "not valid JSON"},
		{"a list", "[]", 400, "not a JSON object"},
		{"no Meta", `{"Patient":{}}`, 400, "Required field missing - Meta in message"},
		{"meta in lower case", strings.Replace(body("PatientAdmin.NewPatient", toDest, ""), "Meta", "meta", 1), 400, "Required field missing - Meta in message"},
		{"Meta a string", `{"Meta":"x"}`, 400, "Meta is not an object"},
		{"Meta twice", `{"Meta":{},` + body("PatientAdmin.NewPatient", toDest, "")[1:], 400, "Duplicate member Meta"},
		{"member of Meta twice", body("PatientAdmin.NewPatient", toDest+`,"EventType":"x"`, ""), 400, "Duplicate member Meta.EventType"},
		{"Source twice", body("PatientAdmin.NewPatient", toDest+`,"Source":{},"Source":{}`, ""), 400, "Duplicate member Meta.Source"},
		{"Source.ID twice", body("PatientAdmin.NewPatient", toDest+`,"Source":{"ID":"a","ID":"a"}`, ""), 400, "Duplicate member Meta.Source.ID"},
		{"Source a string", body("PatientAdmin.NewPatient", toDest+`,"Source":"a"`, ""), 400, "Meta.Source is not an object"},
		{"Source.ID a number", body("PatientAdmin.NewPatient", toDest+`,"Source":{"ID":1}`, ""), 400, "Meta.Source.ID is not a string"},
		{"Source null", body("PatientAdmin.NewPatient", toDest+`,"Source":null`, ""), 200, ""},
		{"Source.ID null", body("PatientAdmin.NewPatient", toDest+`,"Source":{"ID":null}`, ""), 200, ""},
		{"no DataModel", `{"Meta":{"EventType":"New",` + toDest + `}}`, 400, "Required field missing - Meta.DataModel"},
		{"DataModel a number", `{"Meta":{"DataModel":1,"EventType":"New",` + toDest + `}}`, 400, "Required field missing - Meta.DataModel"},
		{"no EventType", `{"Meta":{"DataModel":"Results",` + toDest + `}}`, 400, "Required field missing - Meta.EventType in Results"},
		{"unknown DataModel", body("ClinicalSummary.PatientQuery", toDest, ""), 400, "Unknown data model - ClinicalSummary"},
	}
}

// addressCases are about flags, destinations and required fields.
func addressCases() []messageCase {
	return []messageCase{
		{"Test a string", body("PatientAdmin.NewPatient", toDest+`,"Test":"true"`, ""), 400, "Meta.Test is not a boolean"},
		{"Test null", body("PatientAdmin.NewPatient", toDest+`,"Test":null`, ""), 200, ""},
		{"no destination", body("PatientAdmin.NewPatient", `"Test":false`, ""), 400, "No subscriptions"},
		{"empty destinations", body("PatientAdmin.NewPatient", `"Destinations":[]`, ""), 400, "No subscriptions"},
		{"destinations an object", body("PatientAdmin.NewPatient", `"Destinations":{"ID":"x"}`, ""), 400, "Meta.Destinations is not an array"},
		{"destination without ID", body("PatientAdmin.NewPatient", `"Destinations":[{"Name":"x"}]`, ""), 400, "Meta.Destinations[0].ID"},
		{"unknown destination", body("PatientAdmin.NewPatient", `"Destinations":[{"ID":"x"}]`, ""), 400, "No subscriptions"},
		{"no subscription for the model", body("Notes.New", toDest, ""), 403, "no subscription for Notes"},
		{"query to two", body("PatientSearch.Query", `"Destinations":[{"ID":"`+testDest+`"},{"ID":"other"}]`, ""), 400, "exactly one"},
		{"send to two", body("PatientAdmin.NewPatient", `"Destinations":[{"ID":"`+testDest+`"},{"ID":"other"}]`, ""), 200, ""},
		{"device without id", body("Device.New", toDest, `"Device":{"ID":""}`), 400, "Required field missing - Device.ID in Device:New"},
		{"device with id", body("Device.New", toDest, `"Device":{"ID":"7"}`), 200, ""},
		{"own required field", body("Results.New", toDest, `"Patient":{"Identifiers":null},"Orders":[]`), 400, "Required field missing - Patient.Identifiers in Results:New"},
		{"own required fields there", body("Results.New", toDest, `"Patient":{"Identifiers":[]},"Orders":[]`), 200, ""},
	}
}

func TestEndpoint_RefusesMessages(t *testing.T) {
	t.Parallel()
	sim := &Server{Required: map[string][]string{"Results:New": {"Patient.Identifiers", "Orders"}}}
	sim.AddDestination(Destination{ID: testDest, DataModels: []string{"PatientAdmin", "Device", "Results", "PatientSearch"}})
	sim.AddDestination(Destination{ID: "other"})
	g := newRig(t, sim)
	for _, c := range append(metaCases(), addressCases()...) {
		r := g.send(c.body)
		a := g.last()
		if r.status != c.status || a.Status != c.status || a.Accepted != (c.status == 200) {
			t.Errorf("%s: answered %d, recorded %d, accepted %t; want %d: %s", c.name, r.status, a.Status, a.Accepted, c.status, r.body)
			continue
		}
		if c.status == 200 {
			continue
		}
		errs := errorsOf(t, r)
		if len(errs) != 1 || errs[0].ID == 0 || errs[0].Type != "message" || errs[0].Module == "" || !strings.Contains(errs[0].Text, c.says) {
			t.Errorf("%s: %s, want %q", c.name, r.body, c.says)
		}
	}
}

func TestEndpoint_SourceRules(t *testing.T) {
	t.Parallel()
	const a, b, other = "source-a", "source-b", "source-of-another-key"
	twoSources := func(s *Server) {
		s.AddSource(Source{ID: a})
		s.AddSource(Source{ID: b, Keys: []string{testClient}})
		s.AddSource(Source{ID: other, Keys: []string{"client-2"}})
	}
	oneSource := func(s *Server) {
		s.AddSource(Source{ID: a})
		s.AddSource(Source{ID: other, Keys: []string{"client-2"}})
	}
	for _, c := range []struct {
		name          string
		setup         func(*Server)
		header, inner string
		status        int
		source        string // in effect
	}{
		{"any source when none is registered", nil, "", "whatever", 200, "whatever"},
		{"none when none is registered", nil, "", "", 200, ""},
		{"body and header agree", twoSources, a, a, 200, a},
		{"body alone", twoSources, "", b, 200, b},
		{"header alone", twoSources, b, "", 200, b},
		{"they differ", twoSources, a, b, 400, b},
		{"they differ, none registered", nil, a, b, 400, b},
		{"none, several usable", twoSources, "", "", 400, ""},
		{"none, one usable", oneSource, "", "", 200, a},
		{"none, but required", func(s *Server) { s.RequireSource = true; oneSource(s) }, "", "", 400, a},
		{"unknown", twoSources, "x", "x", 403, "x"},
		{"of another key", twoSources, other, other, 403, other},
		{"none usable at all", func(s *Server) { s.AddSource(Source{ID: other, Keys: []string{"client-2"}}) }, "", "", 403, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			sim := &Server{}
			if c.setup != nil {
				c.setup(sim)
			}
			g := newRig(t, sim)
			meta := `"Destinations":[{"ID":"` + testDest + `"}]`
			if c.inner != "" {
				meta += `,"Source":{"ID":"` + c.inner + `"}`
			}
			h := bearer(sim.NewToken(testClient, 0))
			if c.header != "" {
				h = with(h, "redox-source-id", c.header)
			}
			r := g.do(http.MethodPost, PathEndpoint, body("Results.New", meta, ""), h)
			got := g.last()
			if r.status != c.status || got.Source != c.source || got.HeaderSource != c.header || got.BodySource != c.inner {
				t.Errorf("%d, source %q (header %q, body %q): %s", r.status, got.Source, got.HeaderSource, got.BodySource, r.body)
			}
			if r.status == 200 && c.source != "" && !strings.Contains(r.body, `"Source":{"ID":"`+c.source+`"}`) {
				t.Errorf("the answer names another source: %s", r.body)
			}
		})
	}
}

func TestEndpoint_RequestLine(t *testing.T) {
	t.Parallel()
	g := newRig(t, nil)
	good := bearer(g.sim.NewToken(testClient, 0))
	query := body("PatientSearch.Query", "", "")
	for _, c := range []struct {
		name, method, path, body string
		header                   http.Header
		want                     int
	}{
		{"GET", http.MethodGet, PathEndpoint, "", good, 404},
		{"PUT", http.MethodPut, PathEndpoint, query, good, 404},
		{"GET a token", http.MethodGet, PathToken, "", nil, 404},
		{"unknown path", http.MethodPost, "/endpoints", query, good, 404},
		{"trailing slash", http.MethodPost, "/endpoint/", query, good, 404},
		{"old query path", http.MethodPost, PathQuery, query, good, 200},
		{"send to the query path", http.MethodPost, PathQuery, keyed("k", ""), good, 404},
		{"charset", http.MethodPost, PathEndpoint, query, with(good, "Content-Type", "application/json; charset=utf-8"), 200},
		{"text/plain", http.MethodPost, PathEndpoint, query, with(good, "Content-Type", "text/plain"), 400},
		{"FHIR", http.MethodPost, PathEndpoint, query, with(good, "Content-Type", "application/fhir+json"), 400},
		{"no content type", http.MethodPost, PathEndpoint, query, http.Header{"Authorization": good["Authorization"]}, 400},
		{"gzip", http.MethodPost, PathEndpoint, query, with(good, "Content-Encoding", "gzip"), 400},
		{"source header twice", http.MethodPost, PathEndpoint, query, func() http.Header {
			h := good.Clone()
			h["Redox-Source-Id"] = []string{testSource, testSource}
			return h
		}(), 400},
	} {
		if r := g.do(c.method, c.path, c.body, c.header); r.status != c.want {
			t.Errorf("%s: %d, want %d: %s", c.name, r.status, c.want, r.body)
		}
	}
}

func TestEndpoint_BodyLimit(t *testing.T) {
	t.Parallel()
	g := newRig(t, &Server{MaxBody: 1000})
	frame := len(body("Results.New", "", `"x":""`))
	for size, want := range map[int]int{999: 200, 1000: 200, 1001: 413, 900_000: 413} {
		r := g.send(body("Results.New", "", `"x":"`+strings.Repeat("y", size-frame)+`"`))
		if a := g.last(); r.status != want || a.BodySize != int64(size) {
			t.Errorf("%d bytes: %d, recorded size %d", size, r.status, a.BodySize)
		}
	}
	unlimited := newRig(t, &Server{MaxBody: -1})
	if r := unlimited.send(body("Results.New", "", `"x":"`+strings.Repeat("y", 11_000_000)+`"`)); r.status != 200 {
		t.Errorf("no limit: %d", r.status)
	}
	if r := newRig(t, nil).send(body("Results.New", "", `"x":"`+strings.Repeat("y", 10_000_000)+`"`)); r.status != 413 {
		t.Errorf("default limit: %d", r.status)
	}
}

func TestQuery_Answers(t *testing.T) {
	t.Parallel()
	g := newRig(t, nil)
	for event, want := range map[string]struct{ member, eventType string }{
		"PatientSearch.Query":               {"PotentialMatches", "Query"},
		"PatientSearch.LocationQuery":       {"Patients", "LocationQuery"},
		"Scheduling.AvailableSlots":         {"Visits", "AvailableSlots"},
		"Scheduling.Booked":                 {"Visits", "Booked"},
		"Clinical Summary.PatientQuery":     {"Header", "PatientQuery"},
		"Clinical Summary.DocumentGet":      {"Data", "DocumentGet"},
		"Clinical Decisions.Request":        {"Advisories", "Request"},
		"Provider.ProviderQuery":            {"Providers", "ProviderQuery"},
		"Research.Query":                    {"Patient", "Query"}, // the generic answer
		"PatientAdmin.CensusQuery":          {"Patients", "CensusQuery"},
		"Clinical Summary.DocumentQuery":    {"Documents", "DocumentQuery"},
		"Vaccination.PatientQuery":          {"Vaccinations", "PatientQuery"},
		"Organization.Query":                {"Organizations", "Query"},
		"PatientAdmin.VisitQuery":           {"Patients", "VisitQuery"},
		"Clinical Summary.VisitQuery":       {"Problems", "VisitQuery"},
		"Medications.Query":                 {"Medications", "Query"},
		"Flowsheet.Query":                   {"Observations", "Query"},
		"Order.Query":                       {"Patients", "Query"},
		"Results.Query":                     {"Patients", "Query"},
		"Referral.Query":                    {"Referrals", "Query"},
		"Notes.Query":                       {"Notes", "Query"},
		"Media.Query":                       {"Media", "Query"},
		"Clinical Summary.SomeFutureQuery":  {"Header", "SomeFutureQuery"},
		"SurgicalScheduling.AnyCustomQuery": {"Patient", "AnyCustomQuery"},
	} {
		r := g.send(body(event, "", ""))
		var got map[string]json.RawMessage
		r.json(t, &got)
		var meta answerMeta
		if err := json.Unmarshal(got["Meta"], &meta); err != nil {
			t.Fatal(err)
		}
		if r.status != 200 || got[want.member] == nil || meta.EventType != want.eventType || len(meta.Logs) != 1 {
			t.Errorf("%s: %d, event %q, %d logs, members of %s", event, r.status, meta.EventType, len(meta.Logs), r.body)
		}
		if !g.last().Query {
			t.Errorf("%s: not recorded as a query", event)
		}
	}
}

func TestQuery_SendsAreNotQueries(t *testing.T) {
	t.Parallel()
	for _, event := range []string{
		"PatientAdmin.NewPatient", "PatientAdmin.CensusQueryResponse", "Scheduling.New", "Scheduling.PushSlots",
		"Media.QueryResponse", "PatientSearch.Response", "Clinical Summary.VisitPush", "Referral.New",
	} {
		if model, typ, _ := strings.Cut(event, "."); IsQuery(model, typ) {
			t.Errorf("%s passes for a query", event)
		}
	}
}

func TestServer_OwnAnswersAndKinds(t *testing.T) {
	t.Parallel()
	g := newRig(t, &Server{
		AnyDataModel: true,
		IsQuery:      func(model, _ string) bool { return model == "Ask" },
		Answer: func(r Request) []byte {
			if r.EventType == "Builtin" {
				return nil
			}
			return append([]byte(nil), r.Body...)
		},
	})
	text := body("Ask.Me", "", "")
	if r := g.send(text); r.status != 200 || r.body != text {
		t.Errorf("own answer: %d %s", r.status, r.body)
	}
	if r := g.send(body("Ask.Builtin", "", "")); !strings.Contains(r.body, "SIM0000001") {
		t.Errorf("built-in answer: %s", r.body)
	}
	if r := g.send(body("PatientSearch.Query", "", "")); strings.Contains(r.body, "SIM0000001") {
		t.Errorf("a SEND by IsQuery got a query's answer: %s", r.body)
	}
}
