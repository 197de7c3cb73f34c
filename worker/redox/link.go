package redox

import (
	"net/url"
	"strings"
)

// belowFHIR is the path of a FHIR message below the base of the API. A link of an answer, such
// as that of the next page of a search, is an absolute URL: it stands for what it has behind the
// base, which may be a query string alone, and the request goes to the base whatever it says. One that leads elsewhere would have
// been answered by somebody else, and is refused. No error holds anything of the path.
func (t *targets) belowFHIR(ref string) (string, *Error) {
	scheme, rest, ok := strings.Cut(ref, "://")
	if !ok || !isWebScheme(scheme) {
		return ref, nil
	}
	at := strings.IndexAny(rest, "/?#")
	if at < 0 {
		at = len(rest)
	}
	origin, err := url.Parse(scheme + "://" + rest[:at])
	switch {
	case err != nil || origin.User != nil || origin.Host == "":
		return "", poison("the path is a URL without a proper host" + mendLink)
	case !strings.EqualFold(origin.Hostname(), t.fhir.Hostname()), origin.Scheme == t.fhir.Scheme && portOf(origin) != portOf(t.fhir):
		return "", poison("the path is a URL of another host or port than redox.base_url" + mendLink)
	case origin.Scheme != t.fhir.Scheme:
		return "", poison("the path is a URL of " + origin.Scheme + ", and redox.base_url of " + t.fhir.Scheme + mendLink)
	}
	base := t.fhir.EscapedPath()
	if query, ok := strings.CutPrefix(rest[at:], strings.TrimSuffix(base, "/")); ok && (query == "" || query[0] == '?') {
		return query, nil // the base itself, where HAPI for one has the pages of all searches
	}
	below, ok := strings.CutPrefix(rest[at:], base)
	if !ok || strings.HasPrefix(below, "/") {
		return "", poison("the path is a URL of redox.base_url, and not below " + t.fhir.EscapedPath() + " there" + mendLink)
	}
	return below, nil
}

// mendLink says what else to send, and mendElsewhere what to do where the server is not Redox.
const (
	mendLink      = "; send what follows the base of the FHIR API, beginning with the slug and the environment (the fullUrl of a resource is no address there)"
	mendElsewhere = "; send what follows that, or where the server has links beside its FHIR API, as of exports, set redox.fhir_path to what all of them begin with"
)

// unlike is a link's error for a source whose paths have neither slug nor environment.
func (e *Error) unlike() *Error {
	if reason, ok := strings.CutSuffix(e.detail, mendLink); ok {
		e.detail = reason + mendElsewhere
	}
	return e
}

func isWebScheme(scheme string) bool {
	return strings.EqualFold(scheme, "https") || strings.EqualFold(scheme, "http")
}

// portOf is the port of a URL, or that of its scheme.
func portOf(u *url.URL) string {
	switch port := u.Port(); {
	case port != "":
		return port
	case u.Scheme == "http":
		return "80"
	}
	return "443"
}
