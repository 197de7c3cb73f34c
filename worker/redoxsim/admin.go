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

// serveAdmin answers the simulator's own routes. They are neither recorded nor counted, and need no credentials: serve
// them on loopback only, or set [Server.NoAdmin].
//
//	GET  /_sim/arrivals?after=SEQ&limit=N&key=K&source=S&path=P   NDJSON of Arrival; header Sim-Next: after for the next page
//	GET  /_sim/stats                       Stats
//	GET  /_sim/windows?per=5s              Windows; per is that of the quota by default
//	GET  /_sim/quota                       {"quota","used"}
//	POST /_sim/quota                       Quota: {"limit":50,"per":"5s"}; {} for none
//	POST /_sim/quota/restart?client=IP     Server.RestartWindow
//	GET  /_sim/load                        Load
//	POST /_sim/load                        Load: {"base":"50ms","slots":8}; {} for none
//	GET  /_sim/blobs                       uploaded files: a list of Blob
//	GET  /_sim/blobs/content?uri=URI       the content of one, with Server.KeepBodies
//	GET  /_sim/logs?state=S&destination=D  Redox's logs: a list of Log
//	POST /_sim/logs                        {"id","state","attempts"}: Server.SetLog
//	POST /_sim/destinations/fail?id=ID     Server.FailDestination: its queue pauses
//	POST /_sim/destinations/heal?id=ID     the same with false
//	GET  /_sim/fault                       {"profile","rules","profiles"}
//	POST /_sim/fault                       {"profile":"flaky"} or {"rules":[Rule,...]}
//	POST /_sim/revoke?owner=ID             ends tokens: {"revoked":n}
//	POST /_sim/reset                       Server.Reset
//	POST /_sim/release                     Server.Release
//	POST /_sim/keys?client_id=ID           body: JWK set, or with &url=URL none; with &level=user a user-level key
//	DELETE /_sim/keys?client_id=ID&kid=K   Server.RemoveOAuthKey
//	POST /_sim/legacy                      {"apiKey","secret"}
//	POST /_sim/sources                     Source
//	POST /_sim/destinations                Destination
//	POST /_sim/token?client_id=ID&ttl=5m   {"access_token"}
func (s *Server) serveAdmin(w http.ResponseWriter, r *http.Request) {
	name := r.Method + " " + strings.TrimPrefix(r.URL.Path, PathAdmin)
	switch name {
	case "GET arrivals":
		s.writeArrivals(w, r)
		return
	case "GET blobs/content":
		s.writeBlob(w, r)
		return
	}
	act, ok := adminRoutes()[name]
	if !ok {
		reply(w, nil, errNoRoute)
		return
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	if err != nil {
		reply(w, nil, errors.New("the request broke off"))
		return
	}
	result, err := act(s, r.URL.Query(), body)
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

var (
	errNoRoute   = errors.New("no such route, or not with this method")
	errNoContent = errors.New("no such file, or its content was not kept")
)

// adminRoute acts on a query and a body. No result means {"ok":true}.
type adminRoute func(s *Server, q url.Values, body []byte) (any, error)

func adminRoutes() map[string]adminRoute {
	return map[string]adminRoute{
		"GET stats": func(s *Server, _ url.Values, _ []byte) (any, error) { return s.Stats(), nil },
		"GET fault": func(s *Server, _ url.Values, _ []byte) (any, error) {
			profile, rules := s.Rules()
			return faultSetting{Profile: profile, Rules: rules, Profiles: Profiles()}, nil
		},
		"GET windows": (*Server).adminWindows,
		"GET quota": func(s *Server, _ url.Values, _ []byte) (any, error) {
			return quotaSetting{s.QuotaInForce(), s.QuotaUsed()}, nil
		},
		"GET load":               func(s *Server, _ url.Values, _ []byte) (any, error) { return s.LoadInForce(), nil },
		"GET blobs":              func(s *Server, _ url.Values, _ []byte) (any, error) { return s.Blobs(), nil },
		"GET logs":               (*Server).adminLogs,
		"POST logs":              func(s *Server, _ url.Values, body []byte) (any, error) { return nil, s.adminSetLog(body) },
		"POST destinations/fail": func(s *Server, q url.Values, _ []byte) (any, error) { return nil, s.adminFail(q.Get("id"), true) },
		"POST destinations/heal": func(s *Server, q url.Values, _ []byte) (any, error) { return nil, s.adminFail(q.Get("id"), false) },
		"POST fault":             func(s *Server, _ url.Values, body []byte) (any, error) { return nil, s.adminFault(body) },
		"POST quota":             decoded((*Server).SetQuota),
		"POST load":              decoded((*Server).SetLoad),
		"POST sources":           decoded((*Server).AddSource),
		"POST destinations":      decoded((*Server).AddDestination),
		"POST quota/restart":     func(s *Server, q url.Values, _ []byte) (any, error) { s.RestartWindow(q["client"]...); return nil, nil },
		"POST reset":             func(s *Server, _ url.Values, _ []byte) (any, error) { s.Reset(); return nil, nil },
		"POST release":           func(s *Server, _ url.Values, _ []byte) (any, error) { s.Release(); return nil, nil },
		"POST keys":              (*Server).adminKeys,
		"POST legacy":            func(s *Server, _ url.Values, body []byte) (any, error) { return nil, s.adminLegacy(body) },
		"POST token":             (*Server).adminToken,
		"POST revoke": func(s *Server, q url.Values, _ []byte) (any, error) {
			return map[string]int{"revoked": s.RevokeTokens(q["owner"]...)}, nil
		},
		"DELETE keys": func(s *Server, q url.Values, _ []byte) (any, error) {
			s.RemoveOAuthKey(q.Get("client_id"), q.Get("kid"))
			return nil, nil
		},
	}
}

// decoded is a route that reads its body into a value and sets it.
func decoded[T any](set func(*Server, T)) adminRoute {
	return func(s *Server, _ url.Values, body []byte) (any, error) {
		var v T
		if err := jsonread.Strict(body, &v); err != nil {
			return nil, err
		}
		set(s, v)
		return nil, nil
	}
}

func (s *Server) adminWindows(q url.Values, _ []byte) (any, error) {
	per, err := durationOf(q.Get("per"))
	if err != nil {
		return nil, err
	}
	return s.Windows(per), nil
}

func (s *Server) adminLogs(q url.Values, _ []byte) (any, error) {
	list := []Log{}
	for _, l := range s.Logs() {
		if wanted(q.Get("state"), string(l.State)) && wanted(q.Get("destination"), l.Destination) {
			list = append(list, l)
		}
	}
	return list, nil
}

func (s *Server) adminSetLog(body []byte) error {
	change := struct {
		ID       string   `json:"id"`
		State    LogState `json:"state"`
		Attempts int      `json:"attempts"`
	}{Attempts: -1}
	if err := jsonread.Strict(body, &change); err != nil {
		return err
	}
	return s.SetLog(change.ID, change.State, change.Attempts)
}

func (s *Server) adminFail(id string, failing bool) error {
	if id == "" {
		return errors.New("id is needed")
	}
	s.FailDestination(id, failing)
	return nil
}

func (s *Server) adminKeys(q url.Values, body []byte) (any, error) {
	if url := q.Get("url"); url != "" {
		s.AddJWKSURL(q.Get("client_id"), url)
		return nil, nil
	}
	switch q.Get("level") {
	case "", "organization":
		return nil, s.AddJWKS(q.Get("client_id"), body)
	case "user":
		return nil, s.AddUserJWKS(q.Get("client_id"), body)
	}
	return nil, errors.New("level is organization or user")
}

func (s *Server) adminToken(q url.Values, _ []byte) (any, error) {
	ttl, err := durationOf(q.Get("ttl"))
	if err != nil {
		return nil, err
	}
	return map[string]string{"access_token": s.NewToken(q.Get("client_id"), ttl)}, nil
}

func (s *Server) adminFault(body []byte) error {
	var f faultSetting
	if err := jsonread.Strict(body, &f); err != nil {
		return err
	}
	if len(f.Rules) > 0 {
		s.SetRules(f.Rules...)
		return nil
	}
	return s.SetProfile(f.Profile)
}

func (s *Server) adminLegacy(body []byte) error {
	var k struct {
		APIKey string `json:"apiKey"`
		Secret string `json:"secret"`
	}
	if err := jsonread.Strict(body, &k); err != nil {
		return err
	}
	if k.APIKey == "" || k.Secret == "" {
		return errors.New("apiKey and secret are needed")
	}
	s.AddLegacyKey(k.APIKey, k.Secret)
	return nil
}

// writeArrivals writes one page. Its filters apply within the page, so a page may be empty and Sim-Next still advance;
// the end is where Sim-Next equals after. Arrivals still in flight have finish 0 and are not repeated later.
func (s *Server) writeArrivals(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	after, errAfter := number(q.Get("after"), 0)
	limit, errLimit := number(q.Get("limit"), 1000)
	if err := errors.Join(errAfter, errLimit); err != nil {
		reply(w, nil, err)
		return
	}
	page := s.ArrivalsAfter(after, int(min(limit, 100_000)))
	next := after
	if len(page) > 0 {
		next = page[len(page)-1].Seq
	}
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
}

// writeBlob writes the content of an uploaded file.
func (s *Server) writeBlob(w http.ResponseWriter, r *http.Request) {
	content, ok := s.BlobContent(r.URL.Query().Get("uri"))
	if !ok {
		reply(w, nil, errNoContent)
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	_, _ = w.Write(content)
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
