package deploy_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/redoxworker/redoxworker/config"
)

// unit maps section and key to values, in their order, of the service and what goes on top of it.
func unit(t *testing.T, files ...string) map[string][]string {
	t.Helper()
	settings := map[string][]string{}
	section := ""
	var text string
	for _, file := range files {
		text += read(t, file)
	}
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		switch {
		case line == "" || strings.HasPrefix(line, "#"):
		case strings.HasPrefix(line, "["):
			section = strings.Trim(line, "[]")
		default:
			key, value, ok := strings.Cut(line, "=")
			if !ok || section == "" {
				t.Fatalf("not a setting: %s", line)
			}
			if settings[section+"."+key] = append(settings[section+"."+key], value); value == "" && key != "CapabilityBoundingSet" && key != "AmbientCapabilities" {
				settings[section+"."+key] = nil // as systemd does: what was before is forgotten
			}
		}
	}
	return settings
}

// workerUnit, relayUnit and consoleUnit are the units of the command.
const workerUnit, relayUnit, consoleUnit = "redoxworker.service", "redoxworker-relay.service", "redoxworker-console.service"

func TestSystemd_Hardened(t *testing.T) {
	t.Parallel()
	for _, file := range []string{workerUnit, relayUnit, consoleUnit} {
		checkHardened(t, unit(t, file))
	}
	u := unit(t, workerUnit)
	for key, want := range map[string]string{"Type": "notify", "NotifyAccess": "main", "TimeoutStartSec": "60s", "WatchdogSec": "60s", "Restart": "on-failure",
		"Environment": "GOTRACEBACK=crash", "ExecReload": "kill -HUP $MAINPID"} {
		if got := u["Service."+key]; !slices.Equal(got, []string{want}) {
			t.Errorf("%s=%q, want %q", key, got, want)
		}
	}
}

func checkHardened(t *testing.T, u map[string][]string) {
	t.Helper()
	for key, want := range map[string]string{
		"DynamicUser": "yes", "NoNewPrivileges": "yes", "CapabilityBoundingSet": "", "AmbientCapabilities": "", "UMask": "0077",
		"ProtectSystem": "strict", "ProtectHome": "yes", "PrivateTmp": "yes", "PrivateDevices": "yes", "PrivateUsers": "yes", "PrivateMounts": "yes",
		"PrivateIPC": "yes", "RemoveIPC": "yes", "DevicePolicy": "closed", "KeyringMode": "private",
		"ProtectClock": "yes", "ProtectControlGroups": "yes", "ProtectHostname": "yes", "ProtectKernelLogs": "yes",
		"ProtectKernelModules": "yes", "ProtectKernelTunables": "yes", "ProtectProc": "invisible", "ProcSubset": "pid",
		"LockPersonality": "yes", "MemoryDenyWriteExecute": "yes", "RestrictAddressFamilies": "AF_INET AF_INET6 AF_UNIX", // the last for systemd's own socket
		"RestrictNamespaces": "yes", "RestrictRealtime": "yes", "RestrictSUIDSGID": "yes", "SystemCallArchitectures": "native",
		"LimitCORE": "0", "MemorySwapMax": "0",
		"RestartPreventExitStatus": "2", "KillSignal": "SIGTERM", "KillMode": "mixed",
	} {
		if got := u["Service."+key]; !slices.Equal(got, []string{want}) {
			t.Errorf("%s=%q, want %q", key, got, want)
		}
	}
	if got := u["Service.SystemCallFilter"]; !slices.Equal(got, []string{"@system-service", "~@privileged"}) {
		t.Errorf("SystemCallFilter=%q", got)
	}
	for _, key := range []string{"Service.User", "Service.EnvironmentFile", "Service.PermissionsStartOnly"} {
		if got := u[key]; got != nil {
			t.Errorf("%s=%q: secrets do not belong into an environment (only GOTRACEBACK does), nor a fixed user beside DynamicUser", key, got)
		}
	}
}

// The service is restarted after a panic, though not after a mistake in the configuration.
func TestSystemd_RestartsAfterAPanic(t *testing.T) {
	t.Parallel()
	const child = "DEPLOY_TEST_PANIC"
	if os.Getenv(child) != "" {
		go panic("of a goroutine that nobody recovers")
		select {}
	}
	u := unit(t, workerUnit)
	cmd := exec.CommandContext(t.Context(), "sh", "-c", `ulimit -c 0; exec "$0" "$@"`, os.Args[0], "-test.run=^TestSystemd_RestartsAfterAPanic$")
	cmd.Env = append(append(os.Environ(), child+"=1"), u["Service.Environment"]...)
	out, err := cmd.CombinedOutput()
	exit, ok := errors.AsType[*exec.ExitError](err)
	if !ok || !strings.Contains(string(out), "of a goroutine") {
		t.Fatalf("the process did not panic: %v\n%s", err, out)
	}
	if code := strconv.Itoa(exit.ExitCode()); slices.Contains(u["Service.RestartPreventExitStatus"], code) {
		t.Errorf("it ends with %s, after which systemd does not start it again", code)
	}
}

// The worker drains before systemd loses patience: drain_timeout, and what settles after it.
func TestSystemd_WaitsForTheDrain(t *testing.T) {
	t.Parallel()
	stop, err := time.ParseDuration(strings.Join(unit(t, workerUnit)["Service.TimeoutStopSec"], " "))
	if err != nil {
		t.Fatal(err)
	}
	const settle = 15 * time.Second
	for name, drain := range map[string]time.Duration{"default": config.Defaults().Worker.DrainTimeout, "redoxworker.yaml": loadSample(t, nil).Worker.DrainTimeout} {
		if stop < drain+settle {
			t.Errorf("TimeoutStopSec %v; drain_timeout is %v (%s)", stop, drain, name)
		}
	}
}

// The service reads what systemd hands it, and redoxworker.yaml names nothing else.
func TestSystemd_Credentials(t *testing.T) {
	t.Parallel()
	u := unit(t, workerUnit)
	var given []string
	for _, c := range u["Service.LoadCredential"] {
		name, path, _ := strings.Cut(c, ":")
		if path != "/etc/redoxworker/"+name {
			t.Errorf("LoadCredential=%s", c)
		}
		given = append(given, name)
	}
	named := []string{"redoxworker.yaml"}
	for _, k := range sampleKeys(t) {
		if k.live && strings.HasSuffix(k.path, "_file") {
			named = append(named, k.value)
		}
	}
	slices.Sort(given)
	slices.Sort(named)
	if !slices.Equal(given, named) {
		t.Errorf("credentials %q; redoxworker.yaml needs %q", given, named)
	}
	if got := u["Service.ExecStart"]; !slices.Equal(got, []string{"/usr/local/bin/redoxworker run --config %d/redoxworker.yaml"}) {
		t.Errorf("ExecStart=%q", got)
	}
}

// Relay and console read what systemd hands them, with the rights of their users.
func TestSystemd_RelayAndConsole(t *testing.T) {
	t.Parallel()
	for file, user := range map[string]string{relayUnit: relay, consoleUnit: console} {
		c := handed(t, unit(t, file), map[string]string{"redoxworker.yaml": read(t, "redoxworker.yaml"), "nats-" + user + "-password": passwords[user], "outbox-dsn": "postgres://u@db/app"})
		if c.NATS.User != user || c.NATS.Password.Reveal() != passwords[user] || c.NATS.InboxPrefix != "_INBOX_"+user {
			t.Errorf("%s: user %s, inboxes %s", file, c.NATS.User, c.NATS.InboxPrefix)
		}
		if user == relay && (c.Outbox.Driver != config.DriverPostgres || c.Outbox.DSN.Reveal() == "") {
			t.Errorf("driver %s", c.Outbox.Driver)
		}
	}
}

// handed is the configuration that a unit's program has of its credentials and its environment.
func handed(t *testing.T, u map[string][]string, files map[string]string) *config.Config {
	t.Helper()
	dir := t.TempDir()
	environ := []string{"CREDENTIALS_DIRECTORY=" + dir}
	for _, line := range u["Service.Environment"] {
		environ = append(environ, strings.Fields(strings.ReplaceAll(line, "%d", dir))...)
	}
	for _, c := range u["Service.LoadCredential"] {
		name, path, _ := strings.Cut(c, ":")
		if path != "/etc/redoxworker/"+name || files[name] == "" {
			t.Errorf("LoadCredential=%s", c)
		}
		write(t, filepath.Join(dir, name), files[name])
	}
	c, err := config.Load(config.Options{File: filepath.Join(dir, "redoxworker.yaml"), Environ: environ, Skip: config.PartKeys | config.PartSources | config.PartOrderSecret})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// With the drop-in the service reads the files themselves, and nothing is copied.
func TestSystemd_FilesInsteadOfCopies(t *testing.T) {
	t.Parallel()
	u := unit(t, workerUnit, "redoxworker-files.conf")
	if got := u["Service.LoadCredential"]; got != nil {
		t.Errorf("copies of %q", got)
	}
	if got := u["Service.ExecStart"]; !slices.Equal(got, []string{"/usr/local/bin/redoxworker run --config /etc/redoxworker/redoxworker.yaml"}) {
		t.Errorf("ExecStart=%q", got)
	}
	checkHardened(t, u)
}

// The server has the time that it takes to leave.
func TestSystemd_NATSLeavesInTime(t *testing.T) {
	t.Parallel()
	stop, err := time.ParseDuration(strings.Join(unit(t, "nats/nats-server.service")["Service.TimeoutStopSec"], " "))
	if err != nil {
		t.Fatal(err)
	}
	if leaves := server.DEFAULT_LAME_DUCK_DURATION; stop < leaves+time.Minute {
		t.Errorf("TimeoutStopSec %v; it leaves within %v", stop, leaves)
	}
}

// What systemd itself says, where it is installed: no mistake, and how exposed a unit is, of 10.
func TestSystemd_Verify(t *testing.T) {
	t.Parallel()
	tool, err := exec.LookPath("systemd-analyze")
	if err != nil || runtime.GOOS != "linux" {
		t.Logf("systemd-analyze is not here: the other tests must do")
		return
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		files []string
		most  string // tenths
	}{
		"redoxworker.service":         {[]string{workerUnit}, "12"},
		"redoxworker-files.service":   {[]string{workerUnit, "redoxworker-files.conf"}, "12"},
		"redoxworker-relay.service":   {[]string{relayUnit}, "12"},
		"redoxworker-console.service": {[]string{consoleUnit}, "12"},
		"nats-server.service":         {[]string{"nats/nats-server.service"}, "13"},
	} {
		file, text := filepath.Join(t.TempDir(), name), ""
		for _, f := range c.files {
			text += read(t, f)
		}
		text = regexp.MustCompile(`/usr/local/bin/[a-z-]+`).ReplaceAllLiteralString(text, self) // verify wants a program that exists
		write(t, file, text)
		out, err := exec.CommandContext(t.Context(), tool, "verify", "--man=no", file).CombinedOutput()
		if err != nil || strings.Contains(string(out), name) {
			t.Errorf("verify %s: %v\n%s", name, err, out)
		}
		out, err = exec.CommandContext(t.Context(), tool, "security", "--offline=true", "--threshold="+c.most, "--no-pager", file).CombinedOutput()
		if err != nil {
			t.Errorf("exposure of %s over %s tenths: %v\n%s", name, c.most, err, out)
		}
		if level := regexp.MustCompile(`Overall exposure level.*`).Find(out); level != nil {
			t.Logf("%s: %s", name, level)
		}
	}
}
