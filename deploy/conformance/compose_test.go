package conformance

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
	"github.com/nats-io/nats-server/v2/server"

	"github.com/redoxworker/redoxworker/auth"
	"github.com/redoxworker/redoxworker/outbox/natsdev"
)

// compose reads compose.yaml as `docker compose` does, with what the environment must bring.
func compose(t *testing.T, tokens string) *types.Project {
	t.Helper()
	options, err := cli.NewProjectOptions([]string{"../compose.yaml"}, cli.WithEnv([]string{"CONSOLE_TOKENS=" + tokens}))
	if err != nil {
		t.Fatal(err)
	}
	project, err := options.LoadProject(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return project
}

// Every file that compose.yaml mounts is there, every port is of this machine alone, every image is
// pinned, and a worker has the time to drain.
func TestCompose_IsWhole(t *testing.T) {
	t.Parallel()
	project := compose(t, "me=sha256:00")
	names := project.ServiceNames()
	for _, want := range []string{"nats", "simulator", "worker-1", "worker-2", "console", "prometheus", "grafana", "collector"} {
		if !slices.Contains(names, want) {
			t.Errorf("there is no %s", want)
		}
	}
	for name, s := range project.Services {
		for _, v := range s.Volumes {
			if _, err := os.Stat(v.Source); v.Type == types.VolumeTypeBind && (err != nil || !v.ReadOnly) {
				t.Errorf("%s mounts %s: %v, read only %v", name, v.Source, err, v.ReadOnly)
			}
		}
		for _, p := range s.Ports {
			if p.HostIP != "127.0.0.1" {
				t.Errorf("%s opens %s to others", name, p.Published)
			}
		}
		if s.Image != "redoxworker" && !regexp.MustCompile(`:v?\d+\.\d+\.\d+`).MatchString(s.Image) {
			t.Errorf("%s: image %s", name, s.Image)
		}
		if strings.HasPrefix(name, "worker") && (!s.ReadOnly || s.StopGracePeriod == nil || time.Duration(*s.StopGracePeriod) < 45*time.Second) {
			t.Errorf("%s: read only %v, stops within %v", name, s.ReadOnly, s.StopGracePeriod)
		}
	}
}

// stack runs the services of compose.yaml as processes of this machine: their commands, environments and
// files are those of compose.yaml, with other ports and, for the names of services, this host.
type stack struct {
	*site
	project *types.Project
	moved   *strings.Replacer
	ports   map[string]string
}

func newStack(t *testing.T, tokens string) *stack {
	t.Helper()
	s := &stack{site: &site{T: t, dir: t.TempDir()}, project: compose(t, tokens), ports: make(map[string]string)}
	fixed := []string{"4222", "8222", "8080", "8466", "8468", "8470", "9090", "4318", "4317"}
	free, err := natsdev.FreePorts(len(fixed))
	s.must(err)
	var pairs []string
	for _, host := range []string{"nats", "simulator", "collector", "0.0.0.0", ""} {
		for i, port := range fixed {
			s.ports[port] = fmt.Sprint(free[i])
			if host == "" {
				pairs = append(pairs, ":"+port, fmt.Sprint(":", free[i]))
				continue
			}
			pairs = append(pairs, host+":"+port, fmt.Sprint("127.0.0.1:", free[i]))
		}
	}
	pairs = append(pairs, "http_port=8222", "http_port="+s.ports["8222"], "/data", filepath.Join(s.dir, "data"), "/prometheus:", "/prometheus:")
	for _, service := range s.project.Services {
		for _, v := range service.Volumes {
			if v.Type == types.VolumeTypeBind {
				pairs = append(pairs, v.Target, filepath.Join(s.dir, filepath.Base(v.Target)))
			}
		}
	}
	pairs = append(pairs, "/run/secrets/main-key", filepath.Join(s.dir, "key.pem"), "=/prometheus", "="+filepath.Join(s.dir, "prometheus"))
	s.moved = strings.NewReplacer(pairs...)
	for _, service := range s.project.Services {
		for _, v := range service.Volumes {
			if v.Type != types.VolumeTypeBind || service.Name == "grafana" {
				continue
			}
			text, err := os.ReadFile(v.Source)
			s.must(err)
			s.write(filepath.Base(v.Target), s.moved.Replace(string(text)))
		}
	}
	key, err := auth.GenerateKey(auth.ES384, "compose")
	s.must(err)
	s.must(auth.WriteKeyFile(filepath.Join(s.dir, "key.pem"), key))
	return s
}

// up starts a service of ours.
func (s *stack) up(name string) *process {
	s.Helper()
	service := s.project.Services[name]
	var args []string
	for _, arg := range service.Command {
		args = append(args, s.moved.Replace(arg))
	}
	environ := []string{"REDOXWORKER_CONFIG=" + filepath.Join(s.dir, "redoxworker.yaml")} // as the image has it
	for key, value := range service.Environment {
		environ = append(environ, key+"="+s.moved.Replace(*value))
	}
	return s.launchWith(environ, args...)
}

// startNATS runs the service nats in this process, by its command line.
func (s *stack) startNATS() {
	s.Helper()
	var args []string
	for _, arg := range s.project.Services["nats"].Command {
		args = append(args, s.moved.Replace(arg))
	}
	nothing := func() { s.Fatal("nats: a command line that starts nothing") }
	opts, err := server.ConfigureOptions(flag.NewFlagSet("nats", flag.ContinueOnError), append(args, "--addr=127.0.0.1", "--port="+s.ports["4222"]), nothing, nothing, nothing)
	s.must(err)
	opts.NoSigs, opts.NoLog = true, true
	srv, err := server.NewServer(opts)
	s.must(err)
	go srv.Start()
	s.Cleanup(func() { srv.Shutdown(); srv.WaitForShutdown() })
	if !srv.ReadyForConnections(time.Minute) {
		s.Fatal("nats is not ready")
	}
}

// get asks a page, and answers what it says, if it says it well.
func (s *stack) get(url string) string {
	client := http.Client{Timeout: 5 * time.Second}
	resp, err := client.Get(url)
	if err != nil {
		return ""
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		return ""
	}
	return string(text)
}

// The services work together: a message goes through a worker and the simulator, Prometheus sees both
// workers and has every alert, spans come to where the collector listens, the console asks who it is.
func TestCompose_ServicesRun(t *testing.T) {
	t.Parallel()
	bin, err := program()
	if err != nil {
		t.Fatal(err)
	}
	var made struct{ Entry string }
	out, err := exec.CommandContext(t.Context(), bin+"/redoxworker", "console-token", "me", "--json").Output()
	if err == nil {
		err = json.Unmarshal(out, &made)
	}
	if err != nil {
		t.Fatal(err)
	}
	s := newStack(t, made.Entry)
	s.startNATS()
	spans := s.collect()
	s.up("simulator")
	s.up("worker-1")
	s.up("worker-2")
	console := s.up("console")
	for _, port := range []string{"8466", "8468"} {
		s.eventually("a worker is ready", func() bool { return s.get("http://127.0.0.1:"+s.ports[port]+"/readyz") != "" })
	}
	s.write("message.json", string(s.body("a")))
	out, err = exec.CommandContext(t.Context(), bin+"/redoxworker", "send", "--server", "nats://127.0.0.1:"+s.ports["4222"], "--source", "clinic-a", "--wait", filepath.Join(s.dir, "message.json")).CombinedOutput()
	if err != nil || !strings.Contains(string(out), "delivered") {
		t.Fatalf("send: %v\n%s", err, out)
	}
	s.eventually("a trace comes to the collector", func() bool { return spans.Load() > 0 })
	s.eventually("the console answers", func() bool { return s.get("http://127.0.0.1:"+s.ports["8470"]+"/") != "" })
	var check []string
	for _, arg := range s.project.Services["console"].HealthCheck.Test[2:] { // CMD and the program
		check = append(check, strings.Replace(arg, "127.0.0.1:8470", "127.0.0.1:"+s.ports["8470"], 1))
	}
	if out, err := exec.CommandContext(t.Context(), bin+"/redoxworker", check...).CombinedOutput(); err != nil || string(out) != "ready\n" {
		t.Errorf("the health check %v: %v %s", check, err, out)
	}
	if log := console.log(); strings.Contains(log, made.Entry) {
		t.Error("the console's log has its token")
	}
	s.startPrometheus()
	api := "http://127.0.0.1:" + s.ports["9090"] + "/api/v1/"
	s.eventually("Prometheus sees both workers", func() bool { return strings.Count(s.get(api+"targets"), `"health":"up"`) == 2 })
	if n := strings.Count(s.get(api+"rules"), `"type":"alerting"`); n != len(alerts(t)) {
		t.Errorf("Prometheus has %d alerts, alerts.yaml %d", n, len(alerts(t)))
	}
}

// collect listens where the collector would.
func (s *stack) collect() *atomic.Int64 {
	var posts atomic.Int64
	http1 := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v1/traces" {
			posts.Add(1)
		}
	}))
	s.must(http1.Listener.Close())
	listener, err := listen("127.0.0.1:" + s.ports["4318"])
	s.must(err)
	http1.Listener = listener
	http1.Start()
	s.Cleanup(http1.Close)
	return &posts
}

// startPrometheus runs the service by its command line.
func (s *stack) startPrometheus() {
	s.Helper()
	var args []string
	for _, arg := range s.project.Services["prometheus"].Command {
		args = append(args, s.moved.Replace(arg))
	}
	cmd := exec.CommandContext(s.Context(), "prometheus", args...)
	cmd.Dir = s.dir
	s.must(cmd.Start())
	s.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
}
