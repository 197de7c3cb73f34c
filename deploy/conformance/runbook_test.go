package conformance

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redoxworker/redoxworker/outbox"
)

// section of RUNBOOK.md.
type section struct {
	title, text string
	commands    []string
}

func runbook(t *testing.T) (all []section) {
	t.Helper()
	text, err := os.ReadFile("../RUNBOOK.md")
	if err != nil {
		t.Fatal(err)
	}
	for i, part := range regexp.MustCompile(`(?m)^##? `).Split(string(text), -1) {
		title, body, _ := strings.Cut(part, "\n")
		if i == 0 {
			continue
		}
		s := section{title: title, text: body}
		for _, block := range regexp.MustCompile("(?ms)^```console$(.*?)^```$").FindAllStringSubmatch(body, -1) {
			for line := range strings.Lines(block[1]) {
				if command, ok := strings.CutPrefix(strings.TrimSpace(line), "$ "); ok {
					s.commands = append(s.commands, command)
				}
			}
		}
		all = append(all, s)
	}
	return all
}

// Each alert has a section with what it means, how to see it and what to do, and no section is of an
// alert that is none.
func TestRunbook_HasEveryAlert(t *testing.T) {
	t.Parallel()
	sections := make(map[string]section)
	for _, s := range runbook(t) {
		sections[s.title] = s
	}
	known := make(map[string]bool)
	for _, a := range alerts(t) {
		known[a.Alert] = true
		s := sections[a.Alert]
		if !strings.Contains(s.text, "**Means** ") || !strings.Contains(s.text, "**Do** ") || len(s.commands) == 0 {
			t.Errorf("%s: its section does not say what it means, how to see it and what to do", a.Alert)
		}
	}
	for title := range sections {
		if strings.HasPrefix(title, "Redoxworker") && !known[title] {
			t.Errorf("%s is no alert", title)
		}
	}
}

// program builds the command, once.
var program = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "redoxworker-deploy-")
	if err != nil {
		return "", err
	}
	build := exec.Command("go", "build", "-o", dir, "./cmd/redoxworker")
	build.Dir = "../.."
	out, err := build.CombinedOutput()
	if err != nil {
		err = fmt.Errorf("%w: %s", err, out)
	}
	return dir, err
})

// shell runs a command of the runbook, in the directory of the site.
func (s *site) shell(command string) {
	s.Helper()
	bin, err := program()
	s.must(err)
	cmd := exec.CommandContext(s.Context(), "sh", "-c", command)
	cmd.Dir = s.dir
	cmd.Env = append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"), "REDOXWORKER_CONFIG="+s.file, "NATS_URL="+s.nats.URL(), "XDG_CONFIG_HOME="+s.dir)
	began := time.Now()
	out, err := cmd.CombinedOutput()
	s.Logf("%s: %v, %v of the processor", command, time.Since(began).Round(time.Millisecond), cmd.ProcessState.UserTime()+cmd.ProcessState.SystemTime())
	switch {
	case strings.Contains(command, "redoxworker check") && cmd.ProcessState.ExitCode() == 1: // it found something
	case strings.Contains(command, "--dry-run") && cmd.ProcessState.ExitCode() == 3: // there is something to do
	case err != nil:
		s.Errorf("%s: %v\n%s", command, err, out)
	}
}

// patient is where a runbook is tried: a worker that serves its pages, and a dead letter m-1.
func patient(t *testing.T) *site {
	s := newSite(t, 1, "registry: true\naudit: {stream: true}\nseal: {ring_file: ring.json}\noutbox: {driver: sqlite, dsn: outbox.db}\n")
	s.newRing()
	s.openOutbox()
	s.must(s.sim.SetProfile("rejected"))
	_, err := s.bare().Publish(t.Context(), outbox.Message{ID: "m-1", Source: "clinic-a", Body: s.body("a")})
	s.must(err)
	return s
}

// The commands work as they stand there.
func TestRunbook_CommandsRun(t *testing.T) {
	t.Parallel()
	s := patient(t)
	s.work("v1.0.0")
	s.shows("a dead letter", above("redoxworker_settled_total", 0, `settlement="rejected"`))
	s.must(s.sim.SetProfile("none"))
	ran := make(map[string]bool)
	for _, part := range runbook(t) {
		for _, command := range part.commands {
			if !ran[command] && !strings.Contains(part.title, "volume") {
				ran[command] = true
				s.shell(command)
			}
		}
	}
	if len(ran) < 30 {
		t.Errorf("%d commands found", len(ran))
	}
	if n := s.scrape().max("redoxworker_replays_total", `settlement="delivered"`); n != 1 {
		t.Errorf("%v dead letters were delivered by the replay", n)
	}
}

// What is lost with the volume of the only server comes back as the runbook says: what waited when
// the backup was made is sent, and nothing before the operator says so.
func TestRunbook_ALostVolume(t *testing.T) {
	t.Parallel()
	s := patient(t)
	stop := s.work("v1.0.0")
	s.shows("a dead letter", above("redoxworker_settled_total", 0, `settlement="rejected"`))
	stop()
	s.publish("clinic-a", 5) // they wait
	for _, part := range runbook(t) {
		switch part.title {
		case "Backup and restore":
			for _, command := range part.commands {
				s.shell(command)
			}
			s.must(s.nats.Shutdown())
			s.must(os.RemoveAll(filepath.Join(s.dir, "nats")))
			s.restartNATS()
		case "A lost volume":
			s.must(s.sim.SetProfile("none"))
			last := len(part.commands) - 1
			for _, command := range part.commands[:last] {
				s.shell(command)
			}
			s.workers = nil
			s.work("v1.0.0")
			s.shows("all wait", func(m metrics) bool { return m.max("redoxworker_queue_messages", `source="clinic-a"`) == 5 })
			if n := s.scrape().max("redoxworker_attempts_total", `source="clinic-a"`); n > 0 {
				t.Errorf("%v messages were sent before the operator resumed", n)
			}
			s.shell(part.commands[last])
			s.shows("all delivered", func(m metrics) bool { return m.max("redoxworker_settled_total", `settlement="delivered"`) == 5 })
			s.shell("redoxworker dlq show m-1")
		}
	}
}
