package redoxsim

import (
	"net/http"
	"strings"
)

// route is one thing that Redox offers: how its requests are read, and what answers them.
type route struct {
	name     string // of the figures
	kind     apiKind
	methods  []string
	read     func(*exchange) error // takes the body in
	identify func(*exchange)       // reads the token and what is asked; nil for the ways to a token
	serve    func(*exchange) answer
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

// route finds what answers a path; nil for a path that Redox does not have.
func (s *Server) route(path string) *route {
	post := []string{http.MethodPost}
	switch path {
	case PathEndpoint, PathQuery:
		return &route{path, dataModelAPI, post, (*exchange).readBody, (*exchange).identifyMessage, s.serveMessage}
	case PathToken:
		return &route{path, noAPI, post, (*exchange).readBody, nil, s.serveToken}
	case PathAuthenticate:
		return &route{path, noAPI, post, (*exchange).readBody, nil, s.serveAuthenticate}
	case PathRefresh:
		return &route{path, noAPI, post, (*exchange).readBody, nil, s.serveRefresh}
	case PathUpload:
		return &route{path, blobAPI, post, (*exchange).readUpload, (*exchange).identifyUpload, s.serveUpload}
	}
	if strings.HasPrefix(path, PathFHIR) {
		both := []string{http.MethodGet, http.MethodPost}
		return &route{PathFHIR, fhirAPI, both, (*exchange).readBody, (*exchange).identifyFHIR, s.serveFHIR}
	}
	if strings.HasPrefix(path, PathPlatform) {
		get := []string{http.MethodGet}
		return &route{PathPlatform, platformAPI, get, (*exchange).readBody, (*exchange).identifyPlatform, s.servePlatform}
	}
	return nil
}

// isAPI says that the request is for an API, and not for a token or for a path that Redox does not have.
func (x *exchange) isAPI() bool { return x.route != nil && x.route.kind != noAPI }

// hasDestination says that the request is passed on to somebody, who may fail.
func (x *exchange) hasDestination() bool {
	return x.route != nil && (x.route.kind == dataModelAPI || x.route.kind == fhirAPI)
}

// isFHIR says that answers are worded in FHIR.
func (x *exchange) isFHIR() bool { return x.route != nil && x.route.kind == fhirAPI }
