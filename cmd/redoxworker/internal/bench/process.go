package bench

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"syscall"
	"time"

	"github.com/redoxworker/redoxworker/cmd/redoxworker/internal/cli"
)

// process is a child as the driver sees it: this program in a role, or a nats-server.
type process struct {
	name   string
	cmd    *exec.Cmd
	stdin  io.WriteCloser // of a role; nil for a nats-server, which a signal ends
	stdout *os.File
	lines  *bufio.Scanner // of stdout
	stderr tail
	ended  chan struct{}
	err    error // of its end, once ended is closed
}

const (
	// stopTimeout is how long a child may take to end before it is killed.
	stopTimeout = time.Minute
	// upPatience is how long a child may take until it is up.
	upPatience = 2 * time.Minute
)

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

// childEnviron is what a child gets of the user's environment.
func childEnviron(a *cli.App) (environ []string) {
	for _, name := range []string{"PATH", "HOME", "TMPDIR", "GOGC", "GOMEMLIMIT", "GOMAXPROCS", "GODEBUG", "GOCOVERDIR"} {
		if value := a.Env(name); value != "" {
			environ = append(environ, name+"="+value)
		}
	}
	return environ
}

// startRole starts this binary in a role.
func startRole(ctx context.Context, a *cli.App, role processRole, args ...string) (*process, error) {
	cmd, err := itself(ctx, a, append([]string{"bench", "--role", string(role)}, args...)...)
	if err != nil {
		return nil, err
	}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	return startProcess(string(role), cmd, stdin)
}

// startServer starts a nats-server.
func startServer(ctx context.Context, a *cli.App, program string, args ...string) (*process, error) {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Env = childEnviron(a)
	return startProcess(program, cmd, nil)
}

func startProcess(name string, cmd *exec.Cmd, stdin io.WriteCloser) (*process, error) {
	stdout, theirs, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	p := &process{name: name, cmd: cmd, stdin: stdin, stdout: stdout, lines: bufio.NewScanner(stdout), ended: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = theirs, &p.stderr
	cmd.Cancel, cmd.WaitDelay = p.interrupt, stopTimeout
	err = errors.Join(cmd.Start(), theirs.Close())
	if err != nil {
		return nil, errors.Join(fmt.Errorf("bench: starting the %s: %w", name, err), stdout.Close())
	}
	go func() {
		defer close(p.ended)
		p.err = cmd.Wait()
	}()
	return p, nil
}

func (p *process) interrupt() error {
	if p.stdin != nil {
		return p.stdin.Close()
	}
	return p.cmd.Process.Signal(syscall.SIGTERM)
}

// stop ends the process and waits for it. It is safe to call again.
func (p *process) stop() error {
	_ = p.interrupt() // it may have ended
	kill := time.AfterFunc(stopTimeout, func() { _ = p.cmd.Process.Kill() })
	defer kill.Stop()
	<-p.ended
	_ = p.stdout.Close() // what is left in it is nobody's
	var exit *exec.ExitError
	if p.err == nil || p.stdin == nil && errors.As(p.err, &exit) && exit.ExitCode() == 1 { // so nats-server ends after SIGTERM
		return nil
	}
	return p.failed(p.err)
}

// failed says what became of the process, with the end of what it wrote to stderr.
func (p *process) failed(err error) error {
	return fmt.Errorf("bench: the %s failed: %w\n%s", p.name, err, p.stderr.String())
}

// usage asks a role what it has used.
func (p *process) usage() (u processUsage, err error) {
	if _, err := io.WriteString(p.stdin, "usage\n"); err != nil {
		return u, p.failed(err)
	}
	err = p.line(&u)
	return u, err
}

// line reads a line of JSON from a role.
func (p *process) line(v any) error {
	if !p.lines.Scan() {
		err := p.lines.Err()
		if err == nil {
			err = io.ErrUnexpectedEOF
		}
		return errors.Join(p.failed(err), p.stop())
	}
	return json.Unmarshal(p.lines.Bytes(), v)
}

// until tries until there is no error, for as long as the process runs.
func (p *process) until(ctx context.Context, try func() error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() {
		select {
		case <-p.ended:
			cancel(errors.Join(errors.New("it ended"), p.err))
		case <-ctx.Done():
		}
	}()
	if err := eventually(ctx, upPatience, try); err != nil {
		return p.failed(err)
	}
	return nil
}

// await waits until a URL answers 200.
func (p *process) await(ctx context.Context, url string) error {
	return p.until(ctx, func() error { return readJSON(ctx, url, &struct{}{}) })
}

// readJSON reads what a URL answers with 200.
func readJSON(ctx context.Context, url string, v any) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	client := http.Client{Timeout: stepPatience, Transport: &http.Transport{DisableKeepAlives: true}}
	answer, err := client.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = answer.Body.Close() }()
	if answer.StatusCode != http.StatusOK {
		return errors.New(answer.Status)
	}
	return json.NewDecoder(answer.Body).Decode(v)
}
