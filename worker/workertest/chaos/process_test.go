package chaos

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Binaries are the programs that a bench runs as processes.
type Binaries struct {
	// Worker is redoxworker; FailingWorker is built with the tag failpoint.
	Worker, FailingWorker string
	// Server is nats-server, of the version in go.mod.
	Server string
}

// Build builds the programs into dir, from the module that the working directory is in.
func Build(dir string) (Binaries, error) {
	const worker = "github.com/redoxworker/redoxworker/cmd/redoxworker"
	b := Binaries{Worker: filepath.Join(dir, "redoxworker"), FailingWorker: filepath.Join(dir, "redoxworker-failpoint"), Server: filepath.Join(dir, "nats-server")}
	return b, errors.Join(
		build(b.Worker, worker),
		build(b.FailingWorker, "-tags=failpoint", worker),
		build(b.Server, "github.com/nats-io/nats-server/v2"))
}

func build(path string, args ...string) error {
	if text, err := exec.Command("go", append([]string{"build", "-o", path}, args...)...).CombinedOutput(); err != nil {
		return fmt.Errorf("go build %s: %w: %s", strings.Join(args, " "), err, text)
	}
	return nil
}

// process is a program that can be killed, stopped and started again. What it prints goes
// to the end of one file. Its methods are safe for concurrent use, one at a time.
type process struct {
	name string
	path string
	args []string
	env  []string
	log  string // file

	mu    sync.Mutex
	begin int64     // where the log of this start begins
	cmd   *exec.Cmd // nil when it does not run
	ended chan struct{}
	err   error // of Wait, once ended is closed
}

// start runs the program; it dies with this process.
func (p *process) start(env ...string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd != nil {
		return fmt.Errorf("%s runs already", p.name)
	}
	out, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = out.Close() }()
	if p.begin, err = out.Seek(0, io.SeekEnd); err != nil {
		return err
	}
	cmd := exec.Command(p.path, p.args...)
	cmd.Stdout, cmd.Stderr = out, out
	cmd.Env = append(append(os.Environ(), p.env...), env...)
	cmd.SysProcAttr = diesWithParent()
	if err := cmd.Start(); err != nil {
		return err
	}
	p.cmd, p.ended = cmd, make(chan struct{})
	go func(ended chan struct{}) {
		defer close(ended)
		p.err = cmd.Wait()
	}(p.ended)
	return nil
}

func (p *process) signal(s syscall.Signal) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd == nil {
		return fmt.Errorf("%s does not run", p.name)
	}
	return p.cmd.Process.Signal(s)
}

// wait until the program has ended. It reports how.
func (p *process) wait(d time.Duration) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd == nil {
		return nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-p.ended:
		p.cmd = nil
		return p.err
	case <-timer.C:
		return fmt.Errorf("%s has not ended after %v", p.name, d)
	}
}

func (p *process) running() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.cmd != nil
}

// stopped reports whether the program is stopped by a signal: proc(5), field 3.
func (p *process) stopped() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd == nil {
		return false
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	_, state, found := strings.Cut(string(stat), ") ")
	return err == nil && found && strings.HasPrefix(state, "T")
}

// kill with SIGKILL, which a stopped process gets too, and wait for the end.
func (p *process) kill() {
	if p.signal(syscall.SIGKILL) == nil {
		_ = p.wait(time.Minute) // the exit status is that of the signal
	}
}

// terminate asks the program to end, and reports whether it exited with 0.
func (p *process) terminate(d time.Duration) error {
	if err := p.signal(syscall.SIGTERM); err != nil {
		return err
	}
	if err := p.wait(d); err != nil {
		return fmt.Errorf("%s after SIGTERM: %w", p.name, err)
	}
	return nil
}

// said reports whether the program has printed a text since it was started.
func (p *process) said(text string) bool {
	p.mu.Lock()
	begin := p.begin
	p.mu.Unlock()
	log, err := os.ReadFile(p.log)
	return err == nil && int64(len(log)) > begin && strings.Contains(string(log[begin:]), text)
}

// tail is the end of what the program has printed.
func (p *process) tail(size int) string {
	text, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	return string(text[max(0, len(text)-size):])
}
