package deploy_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redoxworker/redoxworker/config"
)

// unit maps section and key to values, in their order.
func unit(t *testing.T) map[string][]string {
	t.Helper()
	settings := map[string][]string{}
	section := ""
	for line := range strings.Lines(read(t, "redoxworker.service")) {
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
			settings[section+"."+key] = append(settings[section+"."+key], value)
		}
	}
	return settings
}

func TestSystemd_Hardened(t *testing.T) {
	t.Parallel()
	u := unit(t)
	for key, want := range map[string]string{
		"DynamicUser": "yes", "NoNewPrivileges": "yes", "CapabilityBoundingSet": "", "AmbientCapabilities": "", "UMask": "0077",
		"ProtectSystem": "strict", "ProtectHome": "yes", "PrivateTmp": "yes", "PrivateDevices": "yes", "PrivateUsers": "yes", "PrivateMounts": "yes",
		"PrivateIPC": "yes", "RemoveIPC": "yes", "DevicePolicy": "closed", "KeyringMode": "private",
		"ProtectClock": "yes", "ProtectControlGroups": "yes", "ProtectHostname": "yes", "ProtectKernelLogs": "yes",
		"ProtectKernelModules": "yes", "ProtectKernelTunables": "yes", "ProtectProc": "invisible", "ProcSubset": "pid",
		"LockPersonality": "yes", "MemoryDenyWriteExecute": "yes", "RestrictAddressFamilies": "AF_INET AF_INET6 AF_UNIX", // the last for systemd's own socket
		"Type": "notify", "NotifyAccess": "main", "TimeoutStartSec": "60s", "WatchdogSec": "60s",
		"RestrictNamespaces": "yes", "RestrictRealtime": "yes", "RestrictSUIDSGID": "yes", "SystemCallArchitectures": "native",
		"LimitCORE": "0", "MemorySwapMax": "0",
		"Restart": "on-failure", "RestartPreventExitStatus": "2", "Environment": "GOTRACEBACK=crash", "KillSignal": "SIGTERM", "KillMode": "mixed",
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
	u := unit(t)
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
	stop, err := time.ParseDuration(strings.Join(unit(t)["Service.TimeoutStopSec"], " "))
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
	u := unit(t)
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

// What systemd itself says, where it is installed.
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
	file := filepath.Join(t.TempDir(), "redoxworker.service")
	write(t, file, strings.Replace(read(t, "redoxworker.service"), "/usr/local/bin/redoxworker", self, 1)) // verify wants a program that exists
	out, err := exec.CommandContext(t.Context(), tool, "verify", "--man=no", file).CombinedOutput()
	if err != nil || strings.Contains(string(out), "redoxworker.service") {
		t.Errorf("verify: %v\n%s", err, out)
	}
	out, err = exec.CommandContext(t.Context(), tool, "security", "--offline=true", "--threshold=20", "--no-pager", file).CombinedOutput()
	if err != nil {
		t.Errorf("exposure over 2.0: %v\n%s", err, out)
	}
}
