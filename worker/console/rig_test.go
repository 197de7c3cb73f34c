package console_test

import (
	"context"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/dlq"
	"github.com/redoxworker/redoxworker/outbox/natsdev"
	"github.com/redoxworker/redoxworker/outbox/topology"
	"github.com/redoxworker/redoxworker/worker/audit"
	"github.com/redoxworker/redoxworker/worker/console"
	"github.com/redoxworker/redoxworker/worker/console/access"
)

func TestMain(m *testing.M) {
	if server := os.Getenv(scaleServer); server != "" {
		flag.Parse()
		if err := scaleProcess(server); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		return
	}
	goleak.VerifyTestMain(m)
}

// rig is a provisioned NATS server and a console that runs, whose guard believes the header X-User.
type rig struct {
	testing.TB
	server  *natsdev.Server
	js      jetstream.JetStream
	letters *dlq.Store
	console *console.Console
	handler http.Handler
}

// users are those that the guard knows.
var users = map[string]access.User{
	"vera": {Name: "vera", Grants: []access.Grant{{Role: access.Viewer, Sources: []string{"*"}}}},
	"otto": {Name: "otto", Grants: []access.Grant{{Role: access.Operator, Sources: []string{"*"}}}},
	"rita": {Name: "rita", Grants: []access.Grant{{Role: access.Revealer, Sources: []string{"*"}}}},
	"ada":  {Name: "ada", Grants: []access.Grant{{Role: access.Admin, Sources: []string{"*"}}}},
	"lisa": {Name: "lisa", Grants: []access.Grant{{Role: access.Admin, Sources: []string{"lab-*"}}}},
}

func guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if u, ok := users[r.Header.Get("X-User")]; ok {
			r = r.WithContext(access.With(r.Context(), u))
		}
		next.ServeHTTP(w, r)
	})
}

func newRig(t testing.TB, change ...func(*console.Config)) *rig {
	t.Helper()
	s, err := natsdev.Start(natsdev.Options{Dir: t.TempDir(), Port: -1})
	must(t, err)
	t.Cleanup(func() { must(t, s.Shutdown()) })
	nc, err := s.Connect()
	must(t, err)
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	must(t, err)
	top := topology.Topology{Registry: true}
	_, err = top.Ensure(t.Context(), js)
	must(t, err)
	letters, err := dlq.New(js, dlq.Config{})
	must(t, err)
	r := &rig{TB: t, server: s, js: js, letters: letters}
	c := console.Config{JS: js, Guard: guard, Topology: top}
	for _, f := range change {
		f(&c)
	}
	r.handler = r.run(c)
	return r
}

// run starts a console until the test ends.
func (r *rig) run(c console.Config) *console.Console {
	r.Helper()
	h, err := console.New(c)
	must(r, err)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- h.Run(ctx) }()
	r.Cleanup(func() { cancel(); must(r, <-ended) })
	r.console = h
	return h
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// answer is what a request got.
type answer struct {
	status int
	header http.Header
	body   string
}

// get asks as a user; accept is "" for a page.
func (r *rig) get(user, path, accept string) answer {
	r.Helper()
	req := httptest.NewRequestWithContext(r.Context(), http.MethodGet, "http://console"+path, nil)
	return r.do(user, accept, req)
}

// post sends a form as a user.
func (r *rig) post(user, path, accept string, form ...string) answer {
	r.Helper()
	return r.do(user, accept, r.form(path, form...))
}

// form is a request with a form.
func (r *rig) form(path string, form ...string) *http.Request {
	v := url.Values{}
	for i := 0; i < len(form); i += 2 {
		v.Add(form[i], form[i+1])
	}
	req := httptest.NewRequestWithContext(r.Context(), http.MethodPost, "http://console"+path, strings.NewReader(v.Encode()))
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return req
}

func (r *rig) do(user, accept string, req *http.Request) answer {
	r.Helper()
	req.Header.Set("X-User", user)
	req.Header.Set("Accept", accept)
	w := httptest.NewRecorder()
	r.handler.ServeHTTP(w, req)
	body, err := io.ReadAll(w.Result().Body)
	must(r, err)
	return answer{w.Code, w.Result().Header, string(body)}
}

const asJSON = "application/json"

// bury has messages m-0, m-1 and so on of some sources die, every fifth of them with status 503. The
// bodies and hidden headers hold a secret each.
func (r *rig) bury(from, n int, sources ...string) {
	r.Helper()
	for i := from; i < from+n; i++ {
		source := sources[i%len(sources)]
		l := dlq.Letter{MessageID: fmt.Sprint("m-", i), Source: source, Settlement: outbox.Rejected, Error: "status 400: Patient.Identifiers missing", Status: 400, Attempts: 1,
			At: time.Now().Add(time.Duration(i) * time.Millisecond), Subject: "redox.out." + source + ".send", Sequence: uint64(i + 1), Worker: "worker-1",
			Header: map[string][]string{"Redox-Header-If-Match": {secret(i)}, "X-Own": {secret(i)}},
			Body:   fmt.Appendf(nil, `{"Meta":{"DataModel":"Order","EventType":"New"},"Patient":{"Identifiers":[{"ID":"%[1]s","IDType":"MR"},{"ID":"%[1]s"}],"%[1]s":true}}`, secret(i))}
		if i%5 == 0 {
			l.Status, l.Error, l.Settlement = 503, "status 503", outbox.Exhausted
		}
		if _, err := r.js.PublishMsgAsync(l.Encode("")); err != nil {
			r.Fatal(err)
		}
	}
	<-r.js.PublishAsyncComplete()
}

func secret(i int) string { return fmt.Sprintf("Planted%04dQz", i) }

// deeds are those in the audit trail, oldest first, without their outcomes.
func (r *rig) deeds(actions ...audit.Action) (all []audit.Deed) {
	r.Helper()
	for e, err := range audit.NewReader(r.js, "").List(r.Context(), audit.Query{Actions: actions}) {
		must(r, err)
		if e.Deed.Outcome == "" {
			all = append(all, *e.Deed)
		}
	}
	return all
}
