package redoxsim

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/redoxworker/redoxworker/worker/redoxsim/internal/jsonread"
)

// controls are the operations by method and path below [PathAdmin]; the documentation of the package lists them.
var controls = map[string]control{
	"GET arrivals":           {"Arrivals ArrivalsAfter", (*Server).controlArrivals},
	"GET stats":              {"Stats", got((*Server).Stats)},
	"GET windows":            {"Windows", (*Server).controlWindows},
	"GET quota":              {"QuotaInForce QuotaUsed", got(func(s *Server) quotaSetting { return quotaSetting{s.QuotaInForce(), s.QuotaUsed()} })},
	"POST quota":             {"SetQuota", set((*Server).SetQuota)},
	"POST quota/restart":     {"RestartWindow", done(func(s *Server, q url.Values) { s.RestartWindow(q["client"]...) })},
	"GET load":               {"LoadInForce", got((*Server).LoadInForce)},
	"POST load":              {"SetLoad", set((*Server).SetLoad)},
	"GET blobs":              {"Blobs", got((*Server).Blobs)},
	"GET blobs/content":      {"BlobContent", (*Server).controlContent},
	"GET logs":               {"Logs", (*Server).controlLogs},
	"POST logs":              {"SetLog", (*Server).controlSetLog},
	"POST destinations/fail": {"FailDestination", failing(true)},
	"POST destinations/heal": {"FailDestination", failing(false)},
	"GET fault":              {"Rules", got((*Server).faultSetting)},
	"POST fault":             {"SetProfile SetRules", tried((*Server).setFault)},
	"POST revoke": {"RevokeTokens", func(s *Server, r controlRequest) (any, error) {
		return map[string]int{"revoked": s.RevokeTokens(r.query["owner"]...)}, nil
	}},
	"POST reset":        {"Reset", done(func(s *Server, _ url.Values) { s.Reset() })},
	"POST release":      {"Release", done(func(s *Server, _ url.Values) { s.Release() })},
	"POST keys":         {"AddJWKS AddJWKSURL AddOAuthKey AddUserKey", (*Server).controlKeys},
	"DELETE keys":       {"RemoveOAuthKey", done(func(s *Server, q url.Values) { s.RemoveOAuthKey(q.Get("client_id"), q.Get("kid")) })},
	"POST legacy":       {"AddLegacyKey", tried((*Server).setLegacy)},
	"POST sources":      {"AddSource", set((*Server).AddSource)},
	"POST destinations": {"AddDestination", set((*Server).AddDestination)},
	"POST token":        {"NewToken", (*Server).controlToken},
}

// control is one operation: the methods of [Server] that it is in Go, and what its route does.
type control struct {
	methods string
	act     func(*Server, controlRequest) (any, error)
}

// controlRequest is a request of an operation.
type controlRequest struct {
	query url.Values
	body  []byte
}

// written is an answer that is not JSON.
type written func(http.ResponseWriter)

// got is an operation that returns what a method does.
func got[T any](get func(*Server) T) func(*Server, controlRequest) (any, error) {
	return func(s *Server, _ controlRequest) (any, error) { return get(s), nil }
}

// set is an operation that passes its body on.
func set[T any](to func(*Server, T)) func(*Server, controlRequest) (any, error) {
	return tried(func(s *Server, v T) error {
		to(s, v)
		return nil
	})
}

// tried is an operation that passes its body on, and may be refused.
func tried[T any](to func(*Server, T) error) func(*Server, controlRequest) (any, error) {
	return func(s *Server, r controlRequest) (any, error) {
		var v T
		if err := jsonread.Strict(r.body, &v); err != nil {
			return nil, err
		}
		return nil, to(s, v)
	}
}

// done is an operation that has no answer.
func done(do func(*Server, url.Values)) func(*Server, controlRequest) (any, error) {
	return func(s *Server, r controlRequest) (any, error) {
		do(s, r.query)
		return nil, nil
	}
}

// serveAdmin answers the routes of the operations.
func (s *Server) serveAdmin(w http.ResponseWriter, r *http.Request) {
	operation, ok := controls[r.Method+" "+strings.TrimPrefix(r.URL.Path, PathAdmin)]
	if !ok {
		reply(w, nil, errNoRoute)
		return
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	if err != nil {
		reply(w, nil, errors.New("the request broke off"))
		return
	}
	result, err := operation.act(s, controlRequest{r.URL.Query(), body})
	if write, ok := result.(written); ok {
		write(w)
		return
	}
	if result == nil {
		result = map[string]bool{"ok": true}
	}
	reply(w, result, err)
}

// faultSetting is the body of /_sim/fault, both ways.
type faultSetting struct {
	Profile  string   `json:"profile"`
	Rules    []Rule   `json:"rules,omitempty"`
	Profiles []string `json:"profiles,omitempty"`
}

// quotaSetting is the answer of /_sim/quota.
type quotaSetting struct {
	Quota Quota          `json:"quota"`
	Used  map[string]int `json:"used"` // requests in the window, by client
}

// legacySetting is the body of /_sim/legacy.
type legacySetting struct {
	APIKey string `json:"apiKey"`
	Secret string `json:"secret"`
}

var (
	errNoRoute   = errors.New("no such route, or not with this method")
	errNoContent = errors.New("no such file, or its content was not kept")
)

func (s *Server) controlWindows(r controlRequest) (any, error) {
	per, err := durationOf(r.query.Get("per"))
	if err != nil {
		return nil, err
	}
	return s.Windows(per), nil
}

func (s *Server) controlLogs(r controlRequest) (any, error) {
	list := []Log{}
	for _, l := range s.Logs() {
		if wanted(r.query.Get("state"), string(l.State)) && wanted(r.query.Get("destination"), l.Destination) {
			list = append(list, l)
		}
	}
	return list, nil
}

func (s *Server) controlSetLog(r controlRequest) (any, error) {
	change := struct {
		ID       string   `json:"id"`
		State    LogState `json:"state"`
		Attempts int      `json:"attempts"`
	}{Attempts: -1}
	if err := jsonread.Strict(r.body, &change); err != nil {
		return nil, err
	}
	return nil, s.SetLog(change.ID, change.State, change.Attempts)
}

// failing is the operation that has a destination fail, or not.
func failing(fails bool) func(*Server, controlRequest) (any, error) {
	return func(s *Server, r controlRequest) (any, error) {
		id := r.query.Get("id")
		if id == "" {
			return nil, errors.New("id is needed")
		}
		s.FailDestination(id, fails)
		return nil, nil
	}
}

func (s *Server) controlKeys(r controlRequest) (any, error) {
	id := r.query.Get("client_id")
	if url := r.query.Get("url"); url != "" {
		s.AddJWKSURL(id, url)
		return nil, nil
	}
	switch r.query.Get("level") {
	case "", "organization":
		return nil, s.AddJWKS(id, r.body)
	case "user":
		return nil, s.addSet(id, r.body, userKey)
	}
	return nil, errors.New("level is organization or user")
}

func (s *Server) controlToken(r controlRequest) (any, error) {
	ttl, err := durationOf(r.query.Get("ttl"))
	if err != nil {
		return nil, err
	}
	return map[string]string{"access_token": s.NewToken(r.query.Get("client_id"), ttl)}, nil
}

func (s *Server) faultSetting() faultSetting {
	profile, rules := s.Rules()
	return faultSetting{Profile: profile, Rules: rules, Profiles: Profiles()}
}

func (s *Server) setFault(f faultSetting) error {
	if len(f.Rules) > 0 {
		s.SetRules(f.Rules...)
		return nil
	}
	return s.SetProfile(f.Profile)
}

func (s *Server) setLegacy(k legacySetting) error {
	if k.APIKey == "" || k.Secret == "" {
		return errors.New("apiKey and secret are needed")
	}
	s.AddLegacyKey(k.APIKey, k.Secret)
	return nil
}

// controlArrivals writes one page. Its filters apply within the page, so a page may be empty and Sim-Next still advance;
// the end is where Sim-Next equals after. Arrivals still in flight have finish 0 and are not repeated later.
func (s *Server) controlArrivals(r controlRequest) (any, error) {
	q := r.query
	after, errAfter := number(q.Get("after"), 0)
	limit, errLimit := number(q.Get("limit"), 1000)
	if err := errors.Join(errAfter, errLimit); err != nil {
		return nil, err
	}
	page := s.ArrivalsAfter(after, int(min(limit, 100_000)))
	next := after
	if len(page) > 0 {
		next = page[len(page)-1].Seq
	}
	return written(func(w http.ResponseWriter) {
		w.Header().Set("Content-Type", "application/x-ndjson")
		w.Header().Set("Sim-Next", strconv.FormatUint(next, 10))
		enc := json.NewEncoder(w)
		for _, a := range page {
			if wanted(q.Get("key"), a.Key) && wanted(q.Get("source"), a.Source) && wanted(q.Get("path"), a.Path) {
				if enc.Encode(a) != nil {
					return
				}
			}
		}
	}), nil
}

// controlContent writes the content of an uploaded file.
func (s *Server) controlContent(r controlRequest) (any, error) {
	content, ok := s.BlobContent(r.query.Get("uri"))
	if !ok {
		return nil, errNoContent
	}
	return written(func(w http.ResponseWriter) {
		w.Header().Set("Content-Type", "application/octet-stream")
		_, _ = w.Write(content)
	}), nil
}

func wanted(filter, value string) bool { return filter == "" || filter == value }

func number(text string, otherwise uint64) (uint64, error) {
	if text == "" {
		return otherwise, nil
	}
	n, err := strconv.ParseUint(text, 10, 63)
	if err != nil {
		return 0, fmt.Errorf("%q is not a number", text)
	}
	return n, nil
}

// reply writes a JSON answer, or the error as {"error"} with status 400 or 404.
func reply(w http.ResponseWriter, v any, err error) {
	w.Header().Set("Content-Type", "application/json")
	if err != nil {
		status := http.StatusBadRequest
		if errors.Is(err, errNoRoute) || errors.Is(err, errNoContent) {
			status = http.StatusNotFound
		}
		w.WriteHeader(status)
		v = map[string]string{"error": err.Error()}
	}
	_ = json.NewEncoder(w).Encode(v)
}
