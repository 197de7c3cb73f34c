package redoxsim

import (
	"mime"
	"net/http"
)

// serveMessage answers the Data Model endpoint. The order of the checks is inferred: who sends, what it is, where it
// goes.
func (s *Server) serveMessage(x *exchange) answer {
	if x.state != TokenValid {
		return unauthorized("the token is " + string(x.state))
	}
	if c := s.judgeMessage(x); c != nil {
		if c.status == http.StatusUnauthorized {
			a := textAnswer(c.status, c.text)
			a.reason = c.text
			return a
		}
		return s.complain(x, c)
	}
	if !x.query {
		return s.answerSend(x)
	}
	if s.Answer != nil {
		if body := s.Answer(x.request()); body != nil {
			return answer{status: http.StatusOK, contentType: jsonType, body: body, accepted: true}
		}
	}
	return s.answerQuery(x)
}

func (s *Server) judgeMessage(x *exchange) *complaint {
	media, _, err := mime.ParseMediaType(x.r.Header.Get("Content-Type"))
	m := x.msg
	switch {
	case err != nil || media != "application/json":
		return malformed("Content-Type is not application/json")
	case x.r.Header.Get("Content-Encoding") != "": // Redox documents no compressed requests
		return malformed("Content-Encoding is not supported")
	case x.complaint != nil:
		return x.complaint
	case !s.AnyDataModel && !dataModels[m.dataModel]:
		return malformed("Unknown data model - " + shownName(m.dataModel))
	case x.r.URL.Path == PathQuery && !x.query:
		return &complaint{404, "Not a query", "DataModels", ""}
	}
	if c := s.judgeSource(x, sourceRule{field: "Meta.Source.ID"}); c != nil {
		return c
	}
	if c := s.judgeDestinations(x); c != nil {
		return c
	}
	if c := s.judgeFields(m); c != nil {
		return c
	}
	return s.judgeFiles(x)
}

// sourceRule says where an API wants the Source ID.
type sourceRule struct {
	field  string // its name, for people
	inBody bool   // where an id is required, the header does not do
}

// judgeSource applies the newest of Redox's rules: with several sources the id is required (Redox, Source ID, 2025). A
// legacy key and its source are one to one, so there it may be left out.
func (s *Server) judgeSource(x *exchange, rule sourceRule) *complaint {
	header := x.r.Header.Values("Redox-Source-Id")
	inBody := x.msg.sourceID
	refuse := func(status int, text string) *complaint { return &complaint{status, text, "Sources", ""} }
	switch {
	case len(header) > 1:
		return refuse(400, "Header Redox-Source-Id appears twice")
	case len(header) == 1 && inBody != "" && foldID(header[0]) != foldID(inBody):
		return refuse(400, rule.field+" and the header Redox-Source-Id differ")
	}
	id := inBody
	if id == "" && len(header) == 1 {
		id = header[0]
	}
	known, allowed, count := s.dir.usable(id, x.token)
	switch {
	case (id == "" || inBody == "" && rule.inBody) && (s.RequireSource || count > 1):
		return missing(rule.field, x.shownEvent())
	case id == "" && count == 0 && !known && x.token.kind != legacyKey:
		return refuse(403, "This source is not authorized.")
	case id == "":
		return nil
	case x.token.kind == legacyKey && !allowed: // Redox, HTTP status codes: a 401 in plain text
		return &complaint{http.StatusUnauthorized, "This source is not authorized.", "", ""}
	case !known:
		return refuse(403, "Unknown source")
	case !allowed:
		return refuse(403, "This source is not authorized.")
	}
	return nil
}

const noSubscriptions = "No subscriptions. Meta.Destinations needs to contain a destination from existing subscriptions."

func (s *Server) judgeDestinations(x *exchange) *complaint {
	m := x.msg
	refuse := func(status int, text string) *complaint { return &complaint{status, text, "Subscriptions", ""} }
	if len(m.destinations) == 0 {
		return refuse(400, noSubscriptions)
	}
	if x.query && len(m.destinations) > 1 {
		return refuse(400, "A query needs exactly one destination in Meta.Destinations")
	}
	for i := range m.destinations {
		found, ok := s.dir.destination(m.destinations[i].ID)
		if !ok {
			return refuse(400, noSubscriptions)
		}
		if !found.takes(m.dataModel) {
			return refuse(403, "The destination has no subscription for "+shownName(m.dataModel))
		}
		if found.Name != "" {
			m.destinations[i].Name = found.Name
		}
	}
	return nil
}

func (d Destination) takes(dataModel string) bool {
	for _, m := range d.DataModels {
		if m == dataModel {
			return true
		}
	}
	return len(d.DataModels) == 0
}

func (s *Server) judgeFields(m *message) *complaint {
	event, shown := m.dataModel+":"+m.eventType, shownName(m.dataModel)+":"+shownName(m.eventType)
	if event == "Device:New" && !m.has("Device.ID") {
		return missing("Device.ID", shown)
	}
	for _, path := range s.Required[event] {
		if !m.has(path) {
			return missing(path, shown)
		}
	}
	return nil
}
