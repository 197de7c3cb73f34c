package deploy_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"debug/elf"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/redoxworker/redoxworker/outbox/natsdev"
)

// The image, as far as it can be made without a container: what the Dockerfile's command builds from
// what its builder gets is a static program, the same wherever it is built, and it works as the only file
// of a file system that it cannot write to, as a user that owns nothing.
// Not parallel: a compiler beside them would starve the tests that run servers.
func TestDockerfile_BuildRunsAlone(t *testing.T) {
	source, dir := builderContext(t), t.TempDir()
	binary, again := filepath.Join(dir, "redoxworker"), filepath.Join(dir, "again")
	buildAs(t, source, binary, runtime.GOARCH)
	buildAs(t, "..", again, runtime.GOARCH)
	if sum(t, binary) != sum(t, again) {
		t.Error("two builds of the same source in two folders differ")
	}
	machines := map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64}
	checkStatic(t, binary, machines[runtime.GOARCH])
	for _, arch := range []string{"amd64", "arm64"} { // the platforms of the image that are not this one
		if foreign := filepath.Join(dir, arch); arch != runtime.GOARCH {
			buildAs(t, source, foreign, arch)
			checkStatic(t, foreign, machines[arch])
		}
	}
	if runtime.GOOS != "linux" {
		return // it was built for the image
	}
	version := exec.CommandContext(t.Context(), binary, "version")
	version.Env = []string{} // as in the image
	if out, err := version.CombinedOutput(); err != nil || !strings.Contains(string(out), "v1.2.3-test") {
		t.Errorf("version: %s, %v", out, err)
	}
	runImage(t, binary)
}

// builderContext is what Dockerfile.dockerignore leaves of the repository.
func builderContext(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	rules := read(t, "Dockerfile.dockerignore")
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		name := strings.TrimPrefix(path, "../")
		top, _, _ := strings.Cut(name, "/")
		switch {
		case err != nil || name == "..":
			return err
		case !strings.Contains(rules, "\n!"+top+"\n") || d.Name() == "testdata":
			if d.IsDir() {
				return filepath.SkipDir
			}
			return nil
		case d.IsDir():
			return os.Mkdir(filepath.Join(dir, name), 0o700)
		case strings.HasSuffix(name, "_test.go"):
			return nil
		}
		return os.WriteFile(filepath.Join(dir, name), []byte(read(t, path)), 0o600)
	})
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// buildAs runs the Dockerfile's command in a folder, for an architecture.
func buildAs(t *testing.T, dir, binary, arch string) {
	t.Helper()
	_, all := stages(t)
	run := value(all[0], "RUN")
	_, command, ok := strings.Cut(run, "CGO_ENABLED=0 ")
	if !ok || strings.Count(command, "/out/redoxworker") != 1 {
		t.Fatalf("RUN %s", run)
	}
	build := exec.CommandContext(t.Context(), "sh", "-c", "CGO_ENABLED=0 "+strings.Replace(command, "/out/redoxworker", binary, 1))
	build.Dir = dir
	build.Env = append(os.Environ(), "TARGETOS=linux", "TARGETARCH="+arch, "VERSION=v1.2.3-test")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

func sum(t *testing.T, file string) [sha256.Size]byte {
	t.Helper()
	return sha256.Sum256([]byte(read(t, file)))
}

// image is a file system as the Dockerfile's last stage makes it, with the configuration of a worker.
type image struct {
	root  string
	admin string
}

// command runs the program of the image with a root that is read-only, as its user, with only what the
// image has in its environment.
func (i image) command(ctx context.Context, args ...string) *exec.Cmd {
	script := `mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" && exec chroot --userspec=65532:65532 --groups=65532 "$0" /redoxworker "$@"`
	flags := []string{"--mount"}
	if os.Getuid() != 0 { // then the user is mapped by a namespace
		flags = append(flags, "--user", "--map-root-user")
		script = strings.Replace(script, " --userspec=65532:65532 --groups=65532", "", 1)
	}
	cmd := exec.CommandContext(ctx, "unshare", append(append(flags, "sh", "-c", script, i.root), args...)...)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "REDOXWORKER_CONFIG=/etc/redoxworker/redoxworker.yaml", "REDOXWORKER_ADMIN_LISTEN=" + i.admin}
	return cmd
}

// runImage starts a worker in it, asks it as HEALTHCHECK does, and stops it.
func runImage(t *testing.T, binary string) {
	t.Helper()
	srv, err := natsdev.Start(natsdev.Options{Dir: t.TempDir(), Port: -1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = srv.Shutdown() })
	ports, err := natsdev.FreePorts(1)
	if err != nil {
		t.Fatal(err)
	}
	i := image{root: t.TempDir(), admin: fmt.Sprint("127.0.0.1:", ports[0])}
	etc := filepath.Join(i.root, "etc/redoxworker")
	if err := os.MkdirAll(etc, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Link(binary, filepath.Join(i.root, "redoxworker")); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(etc, "key.pem"), privateKey(t))
	write(t, filepath.Join(etc, "redoxworker.yaml"), fmt.Sprintf(`nats: {url: %q}
keys: {main: {client_id: a, kid: k, private_key_file: key.pem}}
sources: {clinic-a: {id: 7ce6f387-c33c-417d-8682-81e83628cbd9, key: main}}
`, srv.URL()))
	for _, path := range []string{i.root, filepath.Dir(etc), etc} {
		if err := os.Chmod(path, 0o755); err != nil { // t.TempDir is its owner's
			t.Fatal(err)
		}
	}
	for _, name := range []string{"key.pem", "redoxworker.yaml"} { // of root, for the group of the image's user
		path := filepath.Join(etc, name)
		if err := os.Chmod(path, 0o640); err != nil {
			t.Fatal(err)
		}
		if err := os.Chown(path, -1, 65532); err != nil && os.Getuid() == 0 {
			t.Fatal(err)
		}
	}
	var log bytes.Buffer
	worker := i.command(context.Background(), "run")
	worker.Stderr, worker.Stdout = &log, &log
	if err := worker.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- worker.Wait() }()
	defer func() { _ = worker.Process.Kill() }()
	eventually(t, "the worker is ready", func() bool {
		select {
		case err := <-ended:
			t.Fatalf("it ended: %v\n%s", err, &log)
		default:
		}
		return i.command(t.Context(), "ready").Run() == nil
	})
	if status := read(t, fmt.Sprintf("/proc/%d/status", worker.Process.Pid)); os.Getuid() == 0 && !strings.Contains(status, "\nUid:\t65532\t65532\t65532\t65532\n") {
		t.Errorf("it runs as another user:\n%s", status)
	}
	out, err := i.command(t.Context(), "keys", "new", "--out", "/key.pem").CombinedOutput()
	if err == nil || !strings.Contains(string(out), "read-only file system") {
		t.Errorf("it can write to its root: %v %s", err, out)
	}
	if err := worker.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != nil {
		t.Errorf("at STOPSIGNAL it ends with %v\n%s", err, &log)
	}
	health := i.command(t.Context(), "ready")
	if out, err := health.CombinedOutput(); health.ProcessState.ExitCode() != 1 || !strings.Contains(string(out), "does not answer at "+i.admin) {
		t.Errorf("ready: %s, %v", out, err)
	}
}
