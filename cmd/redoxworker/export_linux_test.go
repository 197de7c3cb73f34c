package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redoxworker/redoxworker/cmd/redoxworker/internal/clitest"
	"github.com/redoxworker/redoxworker/worker/redoxsim"
)

// peaking is a process whose most memory is watched, as it is not to be had afterwards.
type peaking struct {
	*exec.Cmd
	out, err output
	ended    chan struct{}
	failed   error
	peak     int64 // in bytes, once ended is closed
}

// watchPeak waits for the end of a process, and looks at its memory until then.
func watchPeak(p *peaking) {
	p.ended = make(chan struct{})
	done := make(chan error, 1)
	go func() { done <- p.Wait() }()
	go func() {
		defer close(p.ended)
		ticker := time.NewTicker(10 * time.Millisecond)
		defer ticker.Stop()
		for {
			select {
			case p.failed = <-done:
				return
			case <-ticker.C:
				p.peak = max(p.peak, highWater(p.Process.Pid))
			}
		}
	}()
}

// highWater is VmHWM of a process in bytes (proc(5)); 0 when it is gone.
func highWater(pid int) int64 {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(status), "VmHWM:")
	kilobytes, err := strconv.ParseInt(strings.TrimSpace(strings.SplitN(rest, "kB", 2)[0]), 10, 64)
	if err != nil {
		return 0
	}
	return kilobytes << 10
}

// process starts the real binary.
func (s *stage) process(args ...string) *peaking {
	s.Helper()
	p := &peaking{Cmd: exec.Command(clitest.Build(s), args...)}
	p.Stdout, p.Stderr = &p.out, &p.err
	if err := p.Start(); err != nil {
		s.Fatal(err)
	}
	watchPeak(p)
	s.Cleanup(p.kill)
	return p
}

func (p *peaking) kill() {
	_ = p.Process.Kill()
	<-p.ended
}

// worker starts a worker process and waits until it is ready.
func (s *stage) worker() *peaking {
	s.Helper()
	p := s.process("run", "--config", s.config)
	s.awaitReady(p.err.String)
	return p
}

// exportedIDs counts how often each resource is in the files of a directory.
func exportedIDs(t testing.TB, dir string) map[string]int {
	t.Helper()
	ids := map[string]int{}
	names, err := filepath.Glob(filepath.Join(dir, "*.ndjson"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		f, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		for lines := bufio.NewScanner(f); lines.Scan(); {
			var r struct{ ResourceType, ID string }
			if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			ids[r.ResourceType+"/"+r.ID]++
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return ids
}

// An export of 3 × 20,000 resources, with the worker killed twice and the command once on the way: it was
// begun once, every resource is there once, and neither process needs memory for more than a few files.
func TestExport_KilledOnTheWay(t *testing.T) {
	t.Parallel()
	const resources, lines, kinds = 20_000, 2_000, 3
	const megabytes = 100 // that a process may have
	s := newStage(t, &redoxsim.Server{Latency: 20 * time.Millisecond, Export: redoxsim.Export{Resources: resources, FileLines: lines, LineBytes: 600, RetryAfter: "0.1"}}, "worker: {ack_wait: 1s}\n")
	dir := filepath.Join(t.TempDir(), "out")
	args := []string{"export", "--config", s.config, "--path", "hospital/Development/Group/g-1/$export", "--dir", dir, "--parallel", "2"}
	worker, command := s.worker(), s.process(args...)
	log := func() string { return command.out.String() + command.err.String() + worker.err.String() }
	workers, commands := []*peaking{worker}, []*peaking{command}
	for _, step := range []struct {
		files int
		what  string
	}{{4, "worker"}, {11, "command"}, {20, "worker"}} {
		s.eventually(fmt.Sprint(step.files, " files were asked for"), func() bool { return s.fetched() >= step.files }, log)
		if step.what == "command" {
			command.kill()
			command = s.process(args...)
			commands = append(commands, command)
			continue
		}
		worker.kill()
		worker = s.worker()
		workers = append(workers, worker)
	}
	<-command.ended
	if command.failed != nil {
		t.Fatalf("%v\n%s", command.failed, log())
	}
	ids := exportedIDs(t, dir)
	for id, times := range ids {
		if times != 1 {
			t.Errorf("%s is there %d times", id, times)
		}
	}
	if len(ids) != kinds*resources {
		t.Errorf("%d resources", len(ids))
	}
	begun := 0
	for _, a := range s.sim.Arrivals() {
		if strings.HasSuffix(a.Path, "/$export") {
			begun++
		}
	}
	worker.kill()
	t.Logf("%d files were asked for %d times, %d answered; %s", kinds*resources/lines, s.fetched(), begun, command.out.String()+command.err.String())
	if begun != 1 {
		t.Errorf("it was begun %d times", begun)
	}
	for what, list := range map[string][]*peaking{"worker": workers, "command": commands} {
		for i, p := range list {
			t.Logf("%s %d had at most %d MB", what, i+1, p.peak/1_000_000)
			if p.peak > megabytes*1_000_000 {
				t.Errorf("that is over %d MB", megabytes)
			}
		}
	}
	if text := worker.err.String() + command.err.String(); strings.Contains(text, "g-1") || strings.Contains(text, "/export/") {
		t.Error("a link is in a log")
	}
}

// BenchmarkExport_LargeFile tells what a file of 120 MB costs the two processes. A worker holds an answer
// whole, and gives back what it has left when it next collects.
func BenchmarkExport_LargeFile(b *testing.B) {
	const resources, line = 20_000, 6_000
	var workers, commands int64
	clitest.Build(b)
	for b.Loop() {
		s := newStage(b, &redoxsim.Server{Export: redoxsim.Export{Resources: resources, LineBytes: line, Polls: -1}}, "")
		s.reconfigure("redox: {base_url: ", "redox: {max_answer: {request: 200MB}, base_url: ")
		worker := s.worker()
		command := s.process("export", "--config", s.config, "--path", "hospital/Development/$export", "--type", "Patient", "--dir", filepath.Join(b.TempDir(), "out"))
		if <-command.ended; command.failed != nil {
			b.Fatalf("%v\n%s%s", command.failed, command.err.String(), worker.err.String())
		}
		worker.kill()
		workers, commands = max(workers, worker.peak), max(commands, command.peak)
	}
	b.SetBytes(resources * line)
	b.ReportMetric(float64(workers)/1e6, "worker-MB")
	b.ReportMetric(float64(commands)/1e6, "command-MB")
}
