package bench

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"github.com/redoxworker/redoxworker/cmd/redoxworker/internal/cli"
)

// process is a program that runs as a user would run it.
type process struct {
	name   string
	cmd    *exec.Cmd
	output string // file of stdout and stderr
	ended  chan struct{}
	err    error // of its end, once ended is closed
}

// startProcess starts a program, or, without one, this program. What it writes goes to a file in dir.
func startProcess(ctx context.Context, a *cli.App, dir, name, program string, args ...string) (*process, error) {
	called := program
	if program == "" {
		own, err := a.Executable()
		if err != nil {
			return nil, err
		}
		program, called = own, "redoxworker"
	}
	out, err := os.CreateTemp(dir, name+"-*.log")
	if err != nil {
		return nil, err
	}
	defer func() { _ = out.Close() }() // it is the process's
	p := &process{name: name, cmd: exec.CommandContext(ctx, program, args...), output: out.Name(), ended: make(chan struct{})}
	p.cmd.Args[0] = called
	p.cmd.Stdout, p.cmd.Stderr = out, out
	p.cmd.Env = childEnviron(a)
	p.cmd.Cancel = func() error { return p.cmd.Process.Signal(syscall.SIGTERM) }
	p.cmd.WaitDelay = stopTimeout
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting the %s: %w", name, err)
	}
	go func() {
		defer close(p.ended)
		p.err = p.cmd.Wait()
	}()
	return p, nil
}

// stop ends the process and says how long that took. It is safe to call again.
func (p *process) stop() (took time.Duration, err error) {
	from := time.Now()
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // it may have ended
	<-p.ended
	var exit *exec.ExitError
	if errors.As(p.err, &exit) && exit.ExitCode() == 1 && p.name == "server" {
		return time.Since(from), nil // so nats-server ends after SIGTERM
	}
	return time.Since(from), p.failed(p.err)
}

// failed says what became of the process, with the end of what it wrote.
func (p *process) failed(err error) error {
	if err == nil {
		return nil
	}
	var end tail
	if text, readErr := os.ReadFile(p.output); readErr == nil {
		_, _ = end.Write(text)
	}
	return fmt.Errorf("the %s failed: %w\n%s", p.name, err, end.String())
}

// until polls while the process runs.
func (p *process) until(ctx context.Context, try func() bool) error {
	return poll(ctx, func() (bool, error) {
		if try() {
			return true, nil
		}
		select {
		case <-p.ended:
			return false, p.failed(cmp.Or(p.err, errors.New("it ended")))
		default:
			return false, nil
		}
	})
}

// await waits until a URL answers 200.
func (p *process) await(ctx context.Context, url string) error {
	return p.until(ctx, func() bool { return readJSON(ctx, url, &struct{}{}) == nil })
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

// says waits for a line of JSON with a text under a name.
func (p *process) says(ctx context.Context, name string) (value string, err error) {
	err = p.until(ctx, func() bool {
		text, err := os.ReadFile(p.output)
		if err != nil {
			return false
		}
		for line := range strings.Lines(string(text)) {
			var fields map[string]any
			if json.Unmarshal([]byte(line), &fields) == nil {
				if value, _ = fields[name].(string); value != "" {
					return true
				}
			}
		}
		return false
	})
	return value, err
}

// processUse is what a process uses.
type processUse struct {
	cpu       time.Duration
	rss, peak float64 // MB
}

// use reads /proc.
func (p *process) use() (u processUse, err error) {
	pid := p.cmd.Process.Pid
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return u, err
	}
	// The fields after the name in parentheses begin with the third: proc_pid_stat(5).
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	var user, system int64
	if _, err := fmt.Sscan(fields[11]+" "+fields[12], &user, &system); err != nil {
		return u, err
	}
	const tick = time.Second / 100 // USER_HZ of every Linux that Go runs on
	u.cpu = time.Duration(user+system) * tick
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return u, err
	}
	for line := range strings.Lines(string(status)) {
		var kilobytes float64
		if n, _ := fmt.Sscanf(line, "VmRSS: %f kB", &kilobytes); n == 1 {
			u.rss = kilobytes * 1024 / 1e6
		}
		if n, _ := fmt.Sscanf(line, "VmHWM: %f kB", &kilobytes); n == 1 {
			u.peak = kilobytes * 1024 / 1e6
		}
	}
	return u, nil
}
