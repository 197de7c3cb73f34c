package bench

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"strings"
	"sync"
	"time"

	"github.com/redoxworker/redoxworker/cmd/redoxworker/internal/cli"
)

// processUsage is what a process has used so far.
type processUsage struct {
	CPU  time.Duration `json:"cpu"`  // user and system
	Peak int64         `json:"peak"` // resident memory in bytes
}

// controlled plays a role until its standard input ends, which also happens when the driver
// dies. Each line of the input asks for the usage; the answer is a line of JSON.
func (b *loopCommand) controlled(ctx context.Context, a *cli.App, role func(context.Context, *cli.App) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	// The reader cannot be interrupted; it ends with the process, which a role's end brings about.
	go func() {
		defer cancel()
		for in := bufio.NewScanner(a.Stdin); in.Scan(); {
			usage, err := readUsage()
			if err == nil {
				err = json.NewEncoder(a.Stdout).Encode(usage)
			}
			if err != nil {
				fmt.Fprintln(a.Stderr, "redoxworker:", err)
				return
			}
		}
	}()
	stop, err := b.profile()
	if err != nil {
		return err
	}
	return errors.Join(role(ctx, a), stop())
}

// profile writes profiles of this process when stop is called.
func (b *loopCommand) profile() (stop func() error, err error) {
	if b.Profile == "" || b.Role == roleStand {
		return func() error { return nil }, nil
	}
	name := filepath.Join(b.Profile, fmt.Sprintf("%s-%d", b.Role, os.Getpid()))
	cpu, err := os.Create(name + ".cpu.pprof")
	if err != nil {
		return nil, err
	}
	if err := pprof.StartCPUProfile(cpu); err != nil {
		return nil, errors.Join(err, cpu.Close())
	}
	return func() error {
		pprof.StopCPUProfile()
		heap, err := os.Create(name + ".heap.pprof")
		if err != nil {
			return errors.Join(err, cpu.Close())
		}
		return errors.Join(pprof.Lookup("allocs").WriteTo(heap, 0), heap.Close(), cpu.Close())
	}, nil
}

// childProcess is a child process as the driver sees it.
type childProcess struct {
	role   processRole
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	stdout *bufio.Scanner
	stderr tail
	stop   func() error // ends the child and waits for it; safe to call again
}

// stopTimeout is how long a child may take to end before it is killed.
const stopTimeout = 20 * time.Second

// itself is a command line of this binary, with an environment of its own: the user's settings
// are not what is measured.
func itself(ctx context.Context, a *cli.App, args ...string) (*exec.Cmd, error) {
	path, err := a.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, path)
	cmd.Args = append([]string{"redoxworker"}, args...)
	cmd.Env = childEnviron(a)
	return cmd, nil
}

// startChild starts this binary in a role.
func startChild(ctx context.Context, a *cli.App, role processRole, args ...string) (*childProcess, error) {
	cmd, err := itself(ctx, a, append([]string{"bench", "--role", string(role)}, args...)...)
	if err != nil {
		return nil, err
	}
	c := &childProcess{role: role, cmd: cmd}
	c.cmd.Stderr = &c.stderr
	if c.stdin, err = c.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	c.stdout = bufio.NewScanner(out)
	c.cmd.Cancel = c.stdin.Close
	c.cmd.WaitDelay = stopTimeout
	if err := c.cmd.Start(); err != nil {
		return nil, fmt.Errorf("bench: starting the %s: %w", role, err)
	}
	c.stop = sync.OnceValue(c.end)
	return c, nil
}

// childEnviron is what a child gets of the user's environment.
func childEnviron(a *cli.App) (environ []string) {
	for _, name := range []string{"PATH", "HOME", "TMPDIR", "GOGC", "GOMEMLIMIT", "GOMAXPROCS", "GODEBUG", "GOCOVERDIR"} {
		if value := a.Env(name); value != "" {
			environ = append(environ, name+"="+value)
		}
	}
	return environ
}

func (c *childProcess) end() error {
	_ = c.stdin.Close()
	kill := time.AfterFunc(stopTimeout, func() { _ = c.cmd.Process.Kill() })
	defer kill.Stop()
	if err := c.cmd.Wait(); err != nil {
		return c.failed(err)
	}
	return nil
}

// failed says what became of a child, with the end of what it wrote to stderr.
func (c *childProcess) failed(err error) error {
	return fmt.Errorf("bench: the %s failed: %w\n%s", c.role, err, c.stderr.String())
}

// usage asks the child what it has used.
func (c *childProcess) usage() (processUsage, error) {
	if _, err := io.WriteString(c.stdin, "usage\n"); err != nil {
		return processUsage{}, c.failed(err)
	}
	var u processUsage
	err := c.line(&u)
	return u, err
}

// line reads a line of JSON from the child.
func (c *childProcess) line(v any) error {
	if !c.stdout.Scan() {
		err := c.stdout.Err()
		if err == nil {
			err = io.ErrUnexpectedEOF
		}
		return errors.Join(c.failed(err), c.stop())
	}
	return json.Unmarshal(c.stdout.Bytes(), v)
}

// tail keeps the last lines written to it.
type tail struct {
	mu  sync.Mutex
	buf []byte
}

const tailBytes = 2 << 10

// Write keeps the end of p.
func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.buf = append(t.buf, p...)
	if cut := len(t.buf) - tailBytes; cut > 0 {
		t.buf = append(t.buf[:0], t.buf[cut:]...)
	}
	return len(p), nil
}

// String is what was kept, from the first whole line on.
func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	text := t.buf
	if len(text) >= tailBytes {
		_, text, _ = bytes.Cut(text, []byte("\n"))
	}
	return strings.TrimSpace(string(text))
}

// peakMemory reads the high-water mark of the resident memory. Linux hands a process the
// mark of its parent through rusage, but not through /proc.
func peakMemory(rusage int64) int64 {
	switch runtime.GOOS {
	case "linux":
		status, err := os.ReadFile("/proc/self/status")
		if err != nil {
			return rusage * 1024
		}
		for line := range strings.Lines(string(status)) {
			var kilobytes int64
			if n, _ := fmt.Sscanf(line, "VmHWM: %d kB", &kilobytes); n == 1 {
				return kilobytes * 1024
			}
		}
		return rusage * 1024
	case "darwin":
		return rusage
	default:
		return rusage * 1024
	}
}

// processRole is what a process of the benchmark is.
type processRole string

const (
	roleDriver processRole = "driver" // publishes, takes the replies and the time
	roleStand  processRole = "stand"  // NATS and the stand-in for Redox
	roleSim    processRole = "sim"    // what `sim` runs
	roleWorker processRole = "worker" // what `run` runs
	roleRaw    processRole = "raw"    // the raw loop
	roleServer processRole = "server" // NATS on disk, until a signal
)
