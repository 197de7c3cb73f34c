package conformance

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/bcrypt"
	apps "k8s.io/api/apps/v1"
	"sigs.k8s.io/yaml"

	"github.com/redoxworker/redoxworker/outbox/natsdev"
)

// old and current are the versions that run side by side.
const old, current = "v0.1.0", "v0.2.0"

// member is a worker or a console, and where it is asked how it is.
type member struct {
	*process
	admin string
}

// group is what is replaced one by one.
type group struct {
	start func() *member

	mu      sync.Mutex
	members []*member
	gap     time.Duration // the longest time in which none was ready
}

func (g *group) open(n int) {
	for range n {
		g.members = append(g.members, g.start())
	}
}

func (g *group) all() []*member {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clone(g.members)
}

func (g *group) longest() time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.gap.Round(time.Millisecond)
}

// replace puts a new one in the place of another, and answers that.
func (g *group) replace(i int) (before *member) {
	m := g.start()
	g.mu.Lock()
	defer g.mu.Unlock()
	before, g.members[i] = g.members[i], m
	return before
}

// roll replaces one as a Deployment does: the new one is ready before the old one goes.
func (g *group) roll(i int) { g.replace(i).stop() }

// kill ends one as a crash does; another takes its place.
func (g *group) kill(i int) {
	g.all()[i].kill()
	g.replace(i)
}

// watch asks until ctx ends whether any is ready.
func (g *group) watch(ctx context.Context) {
	client := http.Client{Timeout: time.Second}
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for last := time.Now(); ctx.Err() == nil; {
		for _, m := range g.all() {
			if resp, err := client.Get("http://" + m.admin + "/readyz"); err == nil {
				_ = resp.Body.Close()
				if resp.StatusCode == http.StatusOK {
					last = time.Now()
					break
				}
			}
		}
		g.mu.Lock()
		g.gap = max(g.gap, time.Since(last))
		g.mu.Unlock()
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
}

// build builds the command as a version of it, once each, and answers the directory.
func (f *fleet) build(version string) string {
	f.Helper()
	dir := filepath.Join(f.dir, version)
	if _, err := os.Stat(dir); err == nil {
		return dir
	}
	cmd := exec.CommandContext(f.Context(), "go", "build", "-ldflags", "-X main.buildVersion="+version, "-o", dir+"/", "./cmd/redoxworker")
	cmd.Dir = "../.."
	if out, err := cmd.CombinedOutput(); err != nil {
		f.Fatalf("%v\n%s", err, out)
	}
	return dir
}

// run fails unless the workers are of these versions, side by side.
func (f *fleet) run(versions ...string) {
	f.Helper()
	var are []string
	for _, m := range f.workers.all() {
		page := (&stack{site: f.site}).get("http://" + m.admin + "/version")
		for _, v := range []string{old, current} {
			if strings.Contains(page, v) && !slices.Contains(are, v) {
				are = append(are, v)
			}
		}
	}
	slices.Sort(are)
	if !slices.Equal(are, versions) {
		f.Errorf("workers are of the versions %v, want %v", are, versions)
	}
}

// startWorker starts one more and waits until it delivers.
func (f *fleet) startWorker() *member {
	f.Helper()
	m := &member{admin: f.free()}
	m.process = f.launchWith([]string{"REDOXWORKER_CONFIG=" + f.file, "REDOXWORKER_ADMIN_LISTEN=" + m.admin}, "run")
	f.readyAt(m.process, m.admin)
	return m
}

// free is an address that nobody listens to.
func (f *fleet) free() string {
	f.Helper()
	ports, err := natsdev.FreePorts(1)
	f.must(err)
	return fmt.Sprint("127.0.0.1:", ports[0])
}

// consolePassword is that of the user ann of the console.
const consolePassword = "a password of ann"

func (f *fleet) writeConsoleSecret() {
	f.Helper()
	hash, err := bcrypt.GenerateFromPassword([]byte(consolePassword), bcrypt.MinCost)
	f.must(err)
	f.write("secrets/console-users", "ann:"+string(hash)+"\n")
	f.write("secrets/console-session-key", strings.Repeat("k", 64))
	f.write("secrets/nats-console-password", password("console"))
}

// startConsole starts one with the command and the environment that kubernetes/console gives it.
func (f *fleet) startConsole() *member {
	f.Helper()
	m := &member{admin: f.free()}
	args, environ := f.consoleProcess(m.admin)
	m.process = f.launchWith(environ, args...)
	f.readyAt(m.process, m.admin)
	return m
}

func (f *fleet) consoleProcess(listen string) (args, environ []string) {
	f.Helper()
	text, err := os.ReadFile("../kubernetes/console/deployment.yaml")
	f.must(err)
	_, text2, _ := strings.Cut(string(text), "\n---\n")
	var d apps.Deployment
	f.must(yaml.UnmarshalStrict([]byte(text2), &d))
	c := d.Spec.Template.Spec.Containers[0]
	for _, e := range c.Env {
		if e.Name == "REDOXWORKER_CONSOLE_LISTEN" {
			e.Value = listen
		}
		environ = append(environ, e.Name+"="+strings.ReplaceAll(e.Value, "/etc/redoxworker", f.dir))
	}
	return c.Args, environ
}

// looked is somebody who looks at the console, and who runs commands where it runs.
func (f *fleet) looked() {
	f.Helper()
	req, err := http.NewRequestWithContext(f.Context(), http.MethodGet, "http://"+f.console.all()[0].admin+"/", nil)
	f.must(err)
	req.SetBasicAuth("ann", consolePassword)
	req.Header.Set("Accept", "application/json")
	resp, err := http.DefaultClient.Do(req)
	f.must(err)
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		f.Errorf("the console answers %d", resp.StatusCode)
	}
	_, environ := f.consoleProcess("127.0.0.1:0")
	for _, command := range [][]string{{"status"}, {"workers"}, {"dlq", "ls"}} {
		cmd := exec.CommandContext(f.Context(), f.build(current)+"/redoxworker", command...)
		cmd.Env = environ
		if out, err := cmd.CombinedOutput(); err != nil || strings.Contains(strings.ToLower(string(out)), "permission") {
			f.Errorf("%v in the console's pod: %v\n%s", command, err, out)
		}
	}
}
