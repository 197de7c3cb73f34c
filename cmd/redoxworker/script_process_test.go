package main

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// process is a program that a script started in the background.
type process struct {
	cmd            *exec.Cmd
	stdout, stderr *transcript
	ended          chan struct{}
	err            error // of Wait, once ended is closed
}

// transcript collects output and wakes whoever waits for more of it.
type transcript struct {
	mu   sync.Mutex
	text bytes.Buffer
	more chan struct{}
}

func newTranscript() *transcript { return &transcript{more: make(chan struct{})} }

func (t *transcript) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	close(t.more)
	t.more = make(chan struct{})
	return t.text.Write(p)
}

// read returns the text so far and a channel that is closed when there is more.
func (t *transcript) read() (string, <-chan struct{}) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.text.String(), t.more
}

func startCmd(ts *testscript.TestScript, neg bool, args []string) {
	plain(ts, "start", neg, len(args) > 1)
	state, name, args := stateOf(ts), args[0], args[1:]
	if state.processes[name] != nil {
		ts.Fatalf("%s is running", name)
	}
	env := slices.Clone(state.vars)
	for strings.Contains(args[0], "=") {
		env, args = append(env, args[0]), args[1:]
	}
	p := &process{stdout: newTranscript(), stderr: newTranscript(), ended: make(chan struct{})}
	p.cmd = exec.Command(lookProgram(ts, args[0]), args[1:]...)
	p.cmd.Dir, p.cmd.Env, p.cmd.Stdout, p.cmd.Stderr = ts.MkAbs("."), env, p.stdout, p.stderr
	ts.Check(p.cmd.Start())
	state.processes[name] = p
	go func() {
		defer close(p.ended)
		p.err = p.cmd.Wait()
	}()
}

// lookProgram finds a program in the script's PATH, where exec looks in the test's.
func lookProgram(ts *testscript.TestScript, name string) string {
	for _, dir := range filepath.SplitList(ts.Getenv("PATH")) {
		if path, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
			return path
		}
	}
	ts.Fatalf("no program %s", name)
	return ""
}

func running(ts *testscript.TestScript, name string) *process {
	p := stateOf(ts).processes[name]
	if p == nil {
		ts.Fatalf("nothing called %s was started", name)
	}
	return p
}

func awaitCmd(ts *testscript.TestScript, neg bool, args []string) {
	plain(ts, "await", neg, len(args) == 3 && (args[1] == "stdout" || args[1] == "stderr"))
	p := running(ts, args[0])
	output := map[string]*transcript{"stdout": p.stdout, "stderr": p.stderr}[args[1]]
	pattern, err := regexp.Compile("(?m)" + args[2])
	ts.Check(err)
	late := time.NewTimer(scriptPatience)
	defer late.Stop()
	for ended := false; ; {
		text, more := output.read()
		if found := pattern.FindStringSubmatch(text); found != nil {
			if len(found) > 1 {
				ts.Setenv("MATCH", found[1])
			}
			return
		}
		if ended {
			p.dump(ts)
			ts.Fatalf("%s ended without %s on %s: %v", args[0], args[2], args[1], p.err)
		}
		select {
		case <-more:
		case <-p.ended:
			ended = true // and look once more
		case <-late.C:
			p.dump(ts)
			ts.Fatalf("%s has not printed %s on %s", args[0], args[2], args[1])
		}
	}
}

func (p *process) dump(ts *testscript.TestScript) { ts.Logf("%s", p) }

// String is what the process has printed.
func (p *process) String() string {
	stdout, _ := p.stdout.read()
	stderr, _ := p.stderr.read()
	return "[stdout]\n" + stdout + "\n[stderr]\n" + stderr
}

func interruptCmd(ts *testscript.TestScript, neg bool, args []string) {
	plain(ts, "interrupt", neg, len(args) == 1)
	ts.Check(running(ts, args[0]).cmd.Process.Signal(syscall.SIGTERM))
}

func crashCmd(ts *testscript.TestScript, neg bool, args []string) {
	plain(ts, "crash", neg, len(args) == 1)
	running(ts, args[0]).kill()
	delete(stateOf(ts).processes, args[0])
}

func finishCmd(ts *testscript.TestScript, neg bool, args []string) {
	plain(ts, "finish", neg, len(args) == 1 || len(args) == 2)
	name, want := args[0], 0
	if len(args) == 2 {
		want = scriptInt(ts, args[1])
	}
	p := running(ts, name)
	select {
	case <-p.ended:
	case <-time.After(scriptPatience):
		p.dump(ts)
		ts.Fatalf("%s does not end", name)
	}
	delete(stateOf(ts).processes, name)
	for suffix, output := range map[string]*transcript{".stdout": p.stdout, ".stderr": p.stderr} {
		text, _ := output.read()
		ts.Check(os.WriteFile(ts.MkAbs(name+suffix), []byte(text), 0o600))
	}
	if got := p.cmd.ProcessState.ExitCode(); got != want {
		p.dump(ts)
		ts.Fatalf("%s: exit code %d, want %d", name, got, want)
	}
}

func (p *process) kill() {
	_ = p.cmd.Process.Kill() // it may have ended
	<-p.ended
}

func exitsCmd(ts *testscript.TestScript, neg bool, args []string) {
	plain(ts, "exits", neg, len(args) > 1)
	err, got := ts.Exec(args[1], args[2:]...), 0
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		got = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if want := scriptInt(ts, args[0]); got != want {
		ts.Logf("[stdout]\n%s\n[stderr]\n%s", ts.ReadFile("stdout"), ts.ReadFile("stderr"))
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

func inorderCmd(ts *testscript.TestScript, neg bool, args []string) {
	plain(ts, "inorder", neg, len(args) == 2)
	want := slices.Collect(strings.Lines(ts.ReadFile(args[1])))
	for line := range strings.Lines(ts.ReadFile(args[0])) {
		if len(want) > 0 && line == want[0] {
			want = want[1:]
		}
	}
	if len(want) > 0 {
		ts.Fatalf("%s lacks, or has elsewhere: %s", args[0], want[0])
	}
}

func lacksCmd(ts *testscript.TestScript, neg bool, args []string) {
	plain(ts, "lacks", neg, len(args) == 2)
	pattern, err := regexp.Compile("(?m)" + args[1])
	ts.Check(err)
	if found := pattern.FindString(ts.ReadFile(args[0])); found != "" {
		ts.Fatalf("%s has %q", args[0], found)
	}
}
