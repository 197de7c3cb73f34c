package checkcmd

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/auth"
	"github.com/redoxworker/redoxworker/cmd/redoxworker/internal/cli"
	"github.com/redoxworker/redoxworker/cmd/redoxworker/internal/clitest"
	"github.com/redoxworker/redoxworker/outbox/natsdev"
	"github.com/redoxworker/redoxworker/outbox/topology"
	"github.com/redoxworker/redoxworker/worker/redoxsim"
)

// commands is a command line with those of this package.
type commands struct {
	cli.Globals
	Check     CheckCommand     `cmd:""`
	RetryPlan RetryPlanCommand `cmd:""`
}

// world is a NATS server, Redox and a configuration with which all is well.
type world struct {
	testing.TB
	dir    string
	server *natsdev.Server
	js     jetstream.JetStream // of somebody who may do everything
	sim    *redoxsim.Server
	far    *httptest.Server
	set    []string // settings over those of the file
}

const orderSecret = "the-secret-of-orders"

// natsConfig has three users: one who may do everything, and two for permissions.
const natsConfig = `
jetstream {}
accounts {
  A {
    jetstream: enabled
    users: [ {user: all, password: s3cret}, {user: worker, password: s3cret, permissions: %s} ]
  }
  NONE { users: [ {user: none, password: s3cret} ] }
}
no_auth_user: all
`

func newWorld(t testing.TB, permissions string) *world {
	t.Helper()
	w := &world{TB: t, dir: t.TempDir(), sim: &redoxsim.Server{}}
	if permissions == "" {
		permissions = "{}"
	}
	w.write("nats.conf", fmt.Sprintf(natsConfig, permissions))
	var err error
	w.server, err = natsdev.Start(natsdev.Options{Dir: t.TempDir(), Port: -1, ConfigFile: w.path("nats.conf")})
	w.must(err)
	t.Cleanup(func() { _ = w.server.Shutdown() })
	conn, err := nats.Connect(w.server.URL())
	w.must(err)
	t.Cleanup(conn.Close)
	w.js, err = jetstream.New(conn)
	w.must(err)
	w.far = httptest.NewServer(w.sim)
	t.Cleanup(w.far.Close)
	w.key("main", true)
	w.write("c.yaml", fmt.Sprintf(`
nats: {url: %q, provision: never}
redox: {base_url: %q, blob_url: %q}
keys: {main: {client_id: client, kid: main, private_key_file: main.pem}}
sources: {clinic-a: {id: 7ce6f387-c33c-417d-8682-81e83628cbd9, key: main}}
order: {secret: %s}
`, w.server.URL(), w.far.URL, w.far.URL, orderSecret))
	w.provision()
	return w
}

func (w *world) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

func (w *world) path(name string) string { return filepath.Join(w.dir, name) }

func (w *world) write(name, text string) {
	w.Helper()
	w.must(os.WriteFile(w.path(name), []byte(text), 0o600))
}

// key writes a private key, which Redox may know.
func (w *world) key(kid string, known bool) {
	w.Helper()
	key, err := auth.GenerateKey(auth.ES384, kid)
	w.must(err)
	_ = os.Remove(w.path(kid + ".pem"))
	w.must(auth.WriteKeyFile(w.path(kid+".pem"), key))
	if known {
		w.must(w.sim.AddOAuthKey("client", kid, key.Public()))
	}
}

// provision is `redoxworker provision`.
func (w *world) provision() {
	w.Helper()
	_, err := topology.Topology{}.Ensure(w.Context(), w.js)
	w.must(err)
}

// run runs a command line, with the settings of the world.
func (w *world) run(args ...string) (out string, code int) {
	w.Helper()
	args = append(args, "--config", w.path("c.yaml"))
	for _, s := range w.set {
		args = append(args, "--set", s)
	}
	a, stdout, stderr := clitest.App(args...)
	code = cli.Execute(w.Context(), *a, new(commands))
	out = stdout.String() + stderr.String()
	for _, secret := range []string{orderSecret, "s3cret", "eyJ", "PRIVATE KEY"} {
		if strings.Contains(out, secret) {
			w.Errorf("the secret %s is in\n%s", secret, out)
		}
	}
	return out, code
}

// check answers what a check finds.
func (w *world) check(args ...string) result {
	w.Helper()
	out, code := w.run(append([]string{"check", "--json"}, args...)...)
	var r result
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		w.Fatalf("%v: exit %d\n%s", err, code, out)
	}
	if want := map[bool]int{true: cli.ExitOK, false: cli.ExitFailed}[r.OK]; code != want || r.OK != (r.Faults == 0) {
		w.Fatalf("exit %d, %d faults, want exit %d", code, r.Faults, want)
	}
	return r
}

// found are the findings of a check in a status, as `check subject: text; mend`.
func (r result) found(s status) (lines []string) {
	for _, f := range r.Findings {
		if f.Status == s {
			lines = append(lines, f.Check+" "+f.Subject+": "+f.Text+"; "+f.Mend)
		}
	}
	return lines
}

// finds demands one finding that matches, and nothing else in that status but its like.
func (w *world) finds(r result, s status, pattern string) {
	w.Helper()
	want := regexp.MustCompile(pattern)
	hit := false
	for _, line := range r.found(s) {
		if !want.MatchString(line) {
			w.Errorf("also found: %s", line)
		}
		hit = hit || want.MatchString(line)
	}
	if !hit {
		w.Errorf("no %s matches %q among\n%s", s, pattern, strings.Join(r.found(s), "\n"))
	}
}

// whole demands that nothing is wrong.
func (w *world) whole(r result) {
	w.Helper()
	for _, s := range []status{statusFault, statusWarning} {
		for _, line := range r.found(s) {
			w.Errorf("%s: %s", s, line)
		}
	}
}

// consumer makes one of the queue.
func (w *world) consumer(c jetstream.ConsumerConfig) {
	w.Helper()
	c.Durable = c.Name
	_, err := w.js.CreateConsumer(context.Background(), "REDOX_OUT", c)
	w.must(err)
}
