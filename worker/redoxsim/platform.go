package redoxsim

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/redoxworker/redoxworker/worker/redoxsim/internal/fhirpath"
)

// platformLog is the answer to a question about one log. Of Redox's answer only attempts.total and
// attempts.latest.status are known (Redox, Get log by id).
type platformLog struct {
	ID       string           `json:"id"`
	Attempts platformAttempts `json:"attempts"`
}

type platformAttempts struct {
	Total  int            `json:"total"`
	Latest platformStatus `json:"latest"`
}

type platformStatus struct {
	Status LogState `json:"status"`
}

// parsePlatformPath reads organizations/{organization}/logs/{log} behind the prefix of the Platform API.
func parsePlatformPath(escaped string) (organization, log string, ok bool) {
	rest, ok := strings.CutPrefix(escaped, PathPlatform)
	parts := strings.Split(rest, "/")
	if !ok || len(parts) != 4 || parts[0] != "organizations" || parts[2] != "logs" {
		return "", "", false
	}
	for i, part := range parts {
		text, err := url.PathUnescape(part)
		if err != nil || !fhirpath.Plain(text) {
			return "", "", false
		}
		parts[i] = text
	}
	return parts[1], parts[3], true
}

// identifyPlatform reads the token, which has to be of a user-level key, and counts the attempt.
func (x *exchange) identifyPlatform() {
	x.msg, x.path = &message{}, x.r.Method+" "+x.r.URL.Path
	x.bearer(userKey)
	x.count()
}

// servePlatform answers how the delivery of a message stands. A log of another organization is not there.
func (s *Server) servePlatform(x *exchange) answer {
	if x.state != TokenValid {
		return unauthorized("the token is " + string(x.state))
	}
	organization, id, ok := parsePlatformPath(x.r.URL.EscapedPath())
	switch {
	case !ok:
		return s.complain(x, &complaint{http.StatusNotFound, "Not Found", "", ""})
	case s.Organization != "" && organization != s.Organization: // the roles of the user are elsewhere
		return s.complain(x, &complaint{http.StatusForbidden, "Forbidden", "", ""})
	}
	found, ok := s.logOf(id)
	if !ok || s.now().Sub(found.At) < s.LogLag {
		return s.complain(x, &complaint{http.StatusNotFound, "Not Found", "", ""})
	}
	return jsonAnswer(http.StatusOK, platformLog{found.ID, platformAttempts{found.Attempts, platformStatus{found.State}}})
}
