package conformance

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/redoxworker/redoxworker/auth"
)

// workerUnit is the unit of a worker.
const workerUnit = "redoxworker.service"

// trialGroup is the number of the group redoxworker-files of redoxworker-files.conf, in the trial.
const trialGroup = 65533

// manager is a systemd that runs the units of deploy in namespaces of its own: it sees this machine's
// programs and network, and changes nothing of it.
type manager struct {
	*site
	etc  string // its /etc/redoxworker
	unit string // where it finds units
	out  bytes.Buffer
	pid  string
}

// startManager answers nil where there is no systemd, or none may be started.
func startManager(s *site) *manager {
	s.Helper()
	const systemd = "/usr/lib/systemd/systemd"
	if _, err := os.Stat(systemd); err != nil || os.Getuid() != 0 {
		s.Logf("no systemd can be started here: the other tests must do")
		return nil
	}
	bin, err := program()
	s.must(err)
	m := &manager{site: s, etc: s.T.TempDir(), unit: s.T.TempDir()}
	const groups = `set -e
mount -t cgroup2 cgroup2 "$TRIAL"
mkdir "$TRIAL/redoxworker-trial-$$"; echo $$ > "$TRIAL/redoxworker-trial-$$/cgroup.procs"
exec unshare --cgroup --pid --fork --kill-child --mount-proc --ipc --uts sh -c "$INNER"`
	// The console, the settings of the kernel, and where a service has its temporary files are not this machine's.
	const inner = `set -e
mount -t tmpfs tmpfs /run
mkdir /run/etc; cp -a /etc/. /run/etc; mount --bind /run/etc /etc
mount -t tmpfs tmpfs /usr/local/bin; cp "$BINARY" /usr/local/bin/redoxworker
echo "redoxworker-files:x:$GROUP:" >> /etc/group
mkdir -p /etc/redoxworker /etc/systemd/system
mount --bind "$ETC" /etc/redoxworker; mount --bind "$UNIT" /etc/systemd/system
mount -t tmpfs tmpfs /tmp; mount -t tmpfs tmpfs /var/tmp
[ ! -e /dev/console ] || mount --bind /dev/null /dev/console
mount --bind /proc/sys /proc/sys; mount -o remount,bind,ro /proc/sys
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mount --make-rshared /
exec ` + systemd + ` --system --unit=trial.target --log-target=console --log-level=notice --show-status=no`
	m.place("trial.target", "[Unit]\nDefaultDependencies=no\n")
	cmd := exec.CommandContext(s.Context(), "unshare", "--mount", "sh", "-c", groups)
	cmd.Env = append(os.Environ(), "container=trial", "INNER="+inner, "TRIAL="+s.T.TempDir(), "BINARY="+bin+"/redoxworker", "ETC="+m.etc, "UNIT="+m.unit, fmt.Sprint("GROUP=", trialGroup))
	cmd.Stdout, cmd.Stderr = &m.out, &m.out
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} // a test that is killed leaves no systemd
	s.must(cmd.Start())
	ended := make(chan struct{})
	go func() { _ = cmd.Wait(); close(ended) }()
	s.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-ended
		s.eventually("its control group is gone", func() bool { return withoutGroup(s.T, cmd.Process.Pid) })
	})
	over := false
	s.eventually("systemd runs", func() bool {
		select {
		case <-ended:
			over = true
			return true
		default:
		}
		children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", cmd.Process.Pid, cmd.Process.Pid))
		m.pid = strings.TrimSpace(string(children))
		return err == nil && m.pid != "" && m.inside("systemctl", "is-active", "trial.target").Run() == nil
	})
	if over {
		s.Logf("no systemd can be started here: the other tests must do\n%s", &m.out)
		return nil
	}
	return m
}

// withoutGroup removes the control group of a manager, and those in it, in whichever hierarchy this machine
// has. It reports whether none is left: one whose processes are still ending cannot be removed.
func withoutGroup(t *testing.T, pid int) bool {
	const remove = `mount -t cgroup2 cgroup2 "$0" || exit 0
[ ! -d "$0/$1" ] || find "$0/$1" -depth -type d -exec rmdir {} +`
	return exec.Command("unshare", "--mount", "sh", "-c", remove, t.TempDir(), fmt.Sprint("redoxworker-trial-", pid)).Run() == nil
}

// inside is a command where the manager is.
func (m *manager) inside(command ...string) *exec.Cmd {
	return exec.CommandContext(m.Context(), "nsenter", append([]string{"--target", m.pid, "--mount", "--pid"}, command...)...)
}

// ctl is systemctl.
func (m *manager) ctl(args ...string) string {
	m.Helper()
	out, err := m.inside(append([]string{"systemctl", "--no-pager"}, args...)...).CombinedOutput()
	if err != nil {
		log, _ := m.inside("sh", "-c", "systemctl --no-pager status "+workerUnit+"; cat /run/redoxworker.log").CombinedOutput()
		m.Fatalf("systemctl %v: %v\n%s\n%s\n%s", args, err, out, log, &m.out)
	}
	return string(out)
}

// place writes a file where systemd finds it.
func (m *manager) place(name, text string) {
	m.Helper()
	file := filepath.Join(m.unit, name)
	m.must(os.MkdirAll(filepath.Dir(file), 0o755))
	m.must(os.WriteFile(file, []byte(text), 0o600))
}

// install puts a file of deploy where systemd finds it.
func (m *manager) install(file, as string) {
	m.Helper()
	text, err := os.ReadFile("../" + file)
	m.must(err)
	m.place(as, string(text))
}

// hand gives a file to the group of the service, in the place of the one before, as redoxworker-files.conf
// says.
func (m *manager) hand(file, as string) {
	m.Helper()
	m.must(os.Chown(file, 0, trialGroup))
	m.must(os.Chmod(file, 0o640))
	m.must(os.Rename(file, filepath.Join(m.etc, as)))
}

// configure hands the configuration of the unit.
func (m *manager) configure() {
	m.Helper()
	fresh := filepath.Join(m.etc, "fresh")
	for name, text := range map[string]string{"nats-password": "a", "redoxworker.yaml": fmt.Sprintf(`nats: {url: %q, user: worker, password_file: nats-password}
redox: {base_url: %q}
keys: {main: {client_id: a, private_key_file: redox-main-key}}
sources: {clinic-a: {id: %s, key: main}}
admin: {listen: "off"}
`, m.nats.URL(), m.load().Redox.BaseURL, sourceID(0))} {
		m.must(os.WriteFile(fresh, []byte(text), 0o600))
		m.hand(fresh, name)
	}
	m.must(os.Chown(m.etc, 0, trialGroup))
	m.must(os.Chmod(m.etc, 0o750))
}

// key makes a key that Redox knows, and hands it.
func (m *manager) key(kid string) {
	m.Helper()
	key, err := auth.GenerateKey(auth.ES384, kid)
	m.must(err)
	m.must(m.sim.AddOAuthKey("a", kid, key.Public()))
	fresh := filepath.Join(m.etc, "fresh.jwk")
	m.must(auth.WriteKeyFile(fresh, key))
	m.hand(fresh, "redox-main-key")
}

// delivers waits until a message that is published then is taken.
func (m *manager) delivers() {
	m.Helper()
	before, _ := m.taken()
	m.publish("clinic-a", 1)
	m.eventually("the message is taken", func() bool { after, _ := m.taken(); return after > before })
}

// redoxworker.service runs under systemd: it is started when it delivers, with the copies of its
// credentials; and with redoxworker-files.conf a key that is replaced is in use after `systemctl reload`,
// by the same process. A service that is killed with its systemd leaves no files on this machine.
func TestSystemd_RunsTheUnit(t *testing.T) {
	t.Parallel()
	before := privateFolders(t)
	t.Cleanup(func() {
		if after := privateFolders(t); !slices.Equal(before, after) {
			t.Errorf("folders of services: %v, before %v", after, before)
		}
	})
	m := startManager(newSite(t, 1, ""))
	if m == nil {
		return
	}
	m.key("k1")
	m.configure()
	m.install(workerUnit, workerUnit)
	m.place(workerUnit+".d/trial.conf", "[Unit]\nDefaultDependencies=no\n[Service]\nStandardError=append:/run/redoxworker.log\n")
	m.ctl("daemon-reload")
	m.ctl("start", workerUnit)
	m.ctl("stop", workerUnit)
	m.install("redoxworker-files.conf", workerUnit+".d/files.conf")
	m.ctl("daemon-reload")
	m.ctl("start", workerUnit)
	about := func() string {
		return m.ctl("show", workerUnit, "--property=MainPID,ActiveState,NRestarts,StatusText")
	}
	m.eventually("it says that it delivers", func() bool { return strings.Contains(about(), "StatusText=delivers") })
	first := about()
	m.delivers()
	m.key("k2")
	m.sim.RemoveOAuthKey("a", "k1")
	m.sim.RevokeTokens()
	m.ctl("reload", workerUnit)
	m.delivers()
	if after := about(); after != first || !strings.Contains(after, "ActiveState=active") || !strings.Contains(after, "NRestarts=0") {
		t.Errorf("after the reload it is\n%s, before\n%s", after, first)
	}
	m.ctl("stop", workerUnit)
	if left := m.ctl("show", workerUnit, "--property=Result,ExecMainStatus"); left != "Result=success\nExecMainStatus=0\n" && left != "ExecMainStatus=0\nResult=success\n" {
		t.Errorf("it ends with %s", left)
	}
	m.ctl("start", workerUnit)
}

// privateFolders are those that systemd makes for temporary files of the unit.
func privateFolders(t *testing.T) (found []string) {
	t.Helper()
	for _, dir := range []string{"/tmp", "/var/tmp"} {
		some, err := filepath.Glob(dir + "/systemd-private-*-" + workerUnit + "-*")
		if err != nil {
			t.Fatal(err)
		}
		found = append(found, some...)
	}
	return found
}
