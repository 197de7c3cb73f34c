package redoxsim

import (
	"net/http"
	"strings"
)

// ServeHTTP answers as Redox would, unless a fault says otherwise. It implements [http.Handler].
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !s.NoAdmin && strings.HasPrefix(r.URL.Path, PathAdmin) {
		s.serveAdmin(w, r)
		return
	}
	x := s.begin(w, r)
	defer x.finish()
	x.serve()
}

// route is one thing that Redox offers: how its requests are read, and what answers them.
type route struct {
	name     string // of the figures
	kind     apiKind
	methods  []string
	read     func(*exchange) error // takes the body in
	identify func(*exchange)       // reads the token and what is asked; nil for the ways to a token
	serve    func(*Server, *exchange) answer
}

// apiKind tells how an API words its answers.
type apiKind int

const (
	noAPI        apiKind = iota // a way to a token
	dataModelAPI                // Meta.Errors[]
	fhirAPI                     // OperationOutcome
	blobAPI                     // plain text
	platformAPI                 // plain text
)

// routes are by path, but for those whose path goes on.
var (
	posts  = []string{http.MethodPost}
	routes = map[string]*route{
		PathEndpoint:     {PathEndpoint, dataModelAPI, posts, (*exchange).readBody, (*exchange).identifyMessage, (*Server).serveMessage},
		PathQuery:        {PathQuery, dataModelAPI, posts, (*exchange).readBody, (*exchange).identifyMessage, (*Server).serveMessage},
		PathToken:        {PathToken, noAPI, posts, (*exchange).readBody, nil, (*Server).serveToken},
		PathAuthenticate: {PathAuthenticate, noAPI, posts, (*exchange).readBody, nil, (*Server).serveAuthenticate},
		PathRefresh:      {PathRefresh, noAPI, posts, (*exchange).readBody, nil, (*Server).serveRefresh},
		PathUpload:       {PathUpload, blobAPI, posts, (*exchange).readUpload, (*exchange).identifyUpload, (*Server).serveUpload},
	}
	fhirRoute = &route{
		PathFHIR, fhirAPI, []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete},
		(*exchange).readBody, (*exchange).identifyFHIR, (*Server).serveFHIR,
	}
	platformRoute = &route{
		PathPlatform, platformAPI, []string{http.MethodGet},
		(*exchange).readBody, (*exchange).identifyPlatform, (*Server).servePlatform,
	}
)

// routeOf finds what answers a path; nil for a path that Redox does not have.
func routeOf(path string) *route {
	switch {
	case strings.HasPrefix(path, PathFHIR):
		return fhirRoute
	case strings.HasPrefix(path, PathPlatform):
		return platformRoute
	}
	return routes[path]
}

// isAPI says that the request is for an API, and not for a token or for a path that Redox does not have.
func (x *exchange) isAPI() bool { return x.route != nil && x.route.kind != noAPI }

// hasDestination says that the request is passed on to somebody, who may fail.
func (x *exchange) hasDestination() bool {
	return x.route != nil && (x.route.kind == dataModelAPI || x.route.kind == fhirAPI)
}

// isFHIR says that answers are worded in FHIR.
func (x *exchange) isFHIR() bool { return x.route != nil && x.route.kind == fhirAPI }
