package deploy_test

import (
	"bytes"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/auth"
	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/natsdev"
	"github.com/redoxworker/redoxworker/worker/redoxsim"
)

// trialGroup is the number of the group redoxworker-files of redoxworker-files.conf, in the trial.
const trialGroup = 65533

// manager is a systemd that runs the units of this folder in namespaces of its own: it sees this machine's
// programs and network, and changes none of its files.
type manager struct {
	*testing.T
	etc  string // its /etc/redoxworker
	unit string // where it finds units
	out  bytes.Buffer
	pid  string
}

// startManager answers nil where there is no systemd, or none may be started.
func startManager(t *testing.T, binary string) *manager {
	t.Helper()
	const systemd = "/usr/lib/systemd/systemd"
	if _, err := os.Stat(systemd); err != nil || os.Getuid() != 0 {
		t.Logf("no systemd can be started here: the other tests must do")
		return nil
	}
	m := &manager{T: t, etc: t.TempDir(), unit: t.TempDir()}
	const groups = `set -e
mount --make-rprivate /
mkdir "$TRIAL/cgroup"; mount -t cgroup2 cgroup2 "$TRIAL/cgroup"
mkdir "$TRIAL/cgroup/redoxworker-trial-$$"; echo $$ > "$TRIAL/cgroup/redoxworker-trial-$$/cgroup.procs"
exec unshare --cgroup --pid --fork --kill-child --mount-proc --ipc --uts sh -c "$INNER"`
	const inner = `set -e
mount -t tmpfs tmpfs /run
mkdir /run/etc; cp -a /etc/. /run/etc; mount --bind /run/etc /etc
mount -t tmpfs tmpfs /usr/local/bin; cp "$BINARY" /usr/local/bin/redoxworker
groupadd --system --gid "$GROUP" redoxworker-files
mkdir -p /etc/redoxworker; mount --bind "$ETC" /etc/redoxworker
rm -rf /etc/systemd/system; mkdir -p /etc/systemd/system; mount --bind "$UNIT" /etc/systemd/system
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mount --make-rshared /
exec ` + systemd + ` --system --unit=trial.target --log-target=console --log-level=notice --show-status=no`
	write(t, filepath.Join(m.unit, "trial.target"), "[Unit]\nDefaultDependencies=no\n")
	cmd := exec.CommandContext(t.Context(), "unshare", "--mount", "sh", "-c", groups)
	cmd.Env = append(os.Environ(), "container=trial", "INNER="+inner, "TRIAL="+t.TempDir(), "BINARY="+binary, "ETC="+m.etc, "UNIT="+m.unit, fmt.Sprint("GROUP=", trialGroup))
	cmd.Stdout, cmd.Stderr = &m.out, &m.out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { _ = cmd.Wait(); close(ended) }()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-ended
		eventually(t, "its control group is gone", func() bool { return withoutGroup(cmd.Process.Pid) })
	})
	over := false
	eventually(t, "systemd runs", func() bool {
		select {
		case <-ended:
			over = true
			return true
		default:
		}
		children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", cmd.Process.Pid, cmd.Process.Pid))
		m.pid = strings.TrimSpace(string(children))
		return err == nil && m.pid != "" && exec.CommandContext(t.Context(), "nsenter", "--target", m.pid, "--mount", "--pid", "systemctl", "is-active", "trial.target").Run() == nil
	})
	if over {
		t.Logf("no systemd can be started here: the other tests must do\n%s", &m.out)
		return nil
	}
	return m
}

// withoutGroup removes the control group of a manager, and those in it. It reports whether none is left:
// one whose processes are still ending cannot be removed.
func withoutGroup(pid int) bool {
	name := fmt.Sprint("redoxworker-trial-", pid)
	for _, root := range [...]string{"/sys/fs/cgroup", "/sys/fs/cgroup/unified"} {
		var groups []string
		_ = filepath.WalkDir(filepath.Join(root, name), func(path string, d fs.DirEntry, err error) error {
			if err == nil && d.IsDir() {
				groups = append(groups, path)
			}
			return nil
		})
		for _, group := range slices.Backward(groups) { // the inner ones first
			if err := os.Remove(group); err != nil {
				return false
			}
		}
	}
	return true
}

// ctl is systemctl.
func (m *manager) ctl(args ...string) string {
	m.Helper()
	out, err := exec.CommandContext(m.Context(), "nsenter", append([]string{"--target", m.pid, "--mount", "--pid", "systemctl", "--no-pager"}, args...)...).CombinedOutput()
	if err != nil {
		log, _ := exec.CommandContext(m.Context(), "nsenter", "--target", m.pid, "--mount", "--pid", "sh", "-c", "systemctl --no-pager status "+workerUnit+"; cat /run/redoxworker.log").CombinedOutput()
		m.Fatalf("systemctl %v: %v\n%s\n%s\n%s", args, err, out, log, &m.out)
	}
	return string(out)
}

// install puts a file of this folder where systemd finds it.
func (m *manager) install(file, as string) {
	m.Helper()
	as = filepath.Join(m.unit, as)
	if err := os.MkdirAll(filepath.Dir(as), 0o755); err != nil {
		m.Fatal(err)
	}
	write(m.T, as, read(m.T, file))
}

// key puts a key in the place of the one before, as redoxworker-files.conf says.
func (m *manager) key(key auth.Key) {
	m.Helper()
	fresh := filepath.Join(m.etc, "fresh.jwk")
	if err := auth.WriteKeyFile(fresh, key); err != nil {
		m.Fatal(err)
	}
	m.hand(fresh)
	if err := os.Rename(fresh, filepath.Join(m.etc, "redox-main-key")); err != nil {
		m.Fatal(err)
	}
}

// hand gives a file to the group of the service.
func (m *manager) hand(file string) {
	m.Helper()
	if err := os.Chown(file, 0, trialGroup); err != nil {
		m.Fatal(err)
	}
	if err := os.Chmod(file, 0o640); err != nil {
		m.Fatal(err)
	}
}

// runSystemd runs redoxworker.service under systemd: it is started when it delivers, with the copies of its
// credentials; and with redoxworker-files.conf a key that is replaced is in use after `systemctl reload`,
// by the same process.
func runSystemd(t *testing.T, binary string) {
	t.Helper()
	m := startManager(t, binary)
	if m == nil {
		return
	}
	srv, err := natsdev.Start(natsdev.Options{Dir: t.TempDir(), Port: -1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = srv.Shutdown() })
	sim := new(redoxsim.Server)
	far := httptest.NewServer(sim)
	t.Cleanup(func() { sim.Release(); far.Close() })
	keys := make(map[string]auth.Key)
	for _, kid := range []string{"k1", "k2"} {
		if keys[kid], err = auth.GenerateKey(auth.ES384, kid); err != nil {
			t.Fatal(err)
		}
	}
	give := func(kid string) {
		if err := sim.AddOAuthKey("a", kid, keys[kid].Public()); err != nil {
			t.Fatal(err)
		}
		m.key(keys[kid])
	}
	give("k1")
	for name, text := range map[string]string{"nats-password": "a", "redoxworker.yaml": fmt.Sprintf(`nats: {url: %q, user: worker, password_file: nats-password}
redox: {base_url: %q}
keys: {main: {client_id: a, private_key_file: redox-main-key}}
sources: {clinic-a: {id: 7ce6f387-c33c-417d-8682-81e83628cbd9, key: main}}
admin: {listen: "off"}
`, srv.URL(), far.URL)} {
		write(t, filepath.Join(m.etc, name), text)
		m.hand(filepath.Join(m.etc, name))
	}
	if err := os.Chown(m.etc, 0, trialGroup); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(m.etc, 0o750); err != nil {
		t.Fatal(err)
	}
	m.install(workerUnit, workerUnit)
	write(t, filepath.Join(m.unit, "trial.conf"), "[Unit]\nDefaultDependencies=no\n[Service]\nStandardError=append:/run/redoxworker.log\n")
	if err := os.MkdirAll(filepath.Join(m.unit, workerUnit+".d"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(m.unit, "trial.conf"), filepath.Join(m.unit, workerUnit+".d", "trial.conf")); err != nil {
		t.Fatal(err)
	}
	m.ctl("daemon-reload")
	m.ctl("start", workerUnit)
	m.ctl("stop", workerUnit)
	m.install("redoxworker-files.conf", workerUnit+".d/files.conf")
	m.ctl("daemon-reload")
	m.ctl("start", workerUnit)
	about := func() string {
		return m.ctl("show", workerUnit, "--property=MainPID,ActiveState,NRestarts,StatusText")
	}
	eventually(t, "it says that it delivers", func() bool { return strings.Contains(about(), "StatusText=delivers") })
	before := about()
	m.delivers(srv, sim)
	give("k2")
	sim.RemoveOAuthKey("a", "k1")
	sim.RevokeTokens()
	m.ctl("reload", workerUnit)
	m.delivers(srv, sim)
	if after := about(); after != before || !strings.Contains(after, "ActiveState=active") || !strings.Contains(after, "NRestarts=0") {
		t.Errorf("after the reload it is\n%s, before\n%s", after, before)
	}
	m.ctl("stop", workerUnit)
	if left := m.ctl("show", workerUnit, "--property=Result,ExecMainStatus"); left != "Result=success\nExecMainStatus=0\n" && left != "ExecMainStatus=0\nResult=success\n" {
		t.Errorf("it ends with %s", left)
	}
}

// delivers waits until a message that is published now is taken.
func (m *manager) delivers(srv *natsdev.Server, sim *redoxsim.Server) {
	m.Helper()
	taken := func() int {
		return len(slices.DeleteFunc(sim.Arrivals(), func(a redoxsim.Arrival) bool {
			return a.Path != "/endpoint" || a.Status != http.StatusOK
		}))
	}
	before := taken()
	nc, err := srv.Connect()
	if err != nil {
		m.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		m.Fatal(err)
	}
	p, err := outbox.NewPublisher(js, outbox.PublisherConfig{})
	if err != nil {
		m.Fatal(err)
	}
	body := `{"Meta":{"DataModel":"PatientAdmin","EventType":"NewPatient","Destinations":[{"ID":"d"}]},"Patient":{"Identifiers":[{"ID":"1","IDType":"MRN"}],"Demographics":{"LastName":"Doe"}}}`
	if _, err := p.Publish(m.Context(), outbox.Message{Source: "clinic-a", Body: []byte(body)}); err != nil {
		m.Fatal(err)
	}
	eventually(m.T, "the message is taken", func() bool { return taken() > before })
}
