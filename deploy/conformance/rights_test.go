package conformance

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/natsdev"
)

// guarded is a site whose NATS server has nats/single.conf with its accounts.
func guarded(t *testing.T) *site {
	t.Helper()
	s := newSite(t, 1, "registry: true\noutbox: {driver: sqlite, dsn: outbox.db}\n")
	var err error
	s.nats, err = natsdev.Start(natsdev.Options{Dir: filepath.Join(s.dir, "guarded"), Port: -1, ConfigFile: "../nats/single.conf"})
	s.must(err)
	t.Cleanup(func() { _ = s.nats.Shutdown() })
	text, err := os.ReadFile(s.file)
	s.must(err)
	_, rest, _ := strings.Cut(string(text), "\nredox:")
	s.write("redoxworker.yaml", fmt.Sprintf("nats: {url: %q, provision: never}\nredox:%s", s.nats.URL(), rest))
	return s
}

// as runs a command as a user of accounts.conf, and answers what it prints.
func (s *site) as(user, command string) string {
	s.Helper()
	out, err := s.try(user, command)
	if text := strings.ToLower(out); err != nil || strings.Contains(text, "permission") || strings.Contains(text, "may not") || strings.Contains(text, "could not be learn") {
		s.Errorf("%s: %s: %v\n%s", user, command, err, out)
	}
	return out
}

// try runs a command as a user of accounts.conf.
func (s *site) try(user, command string) (out string, err error) {
	s.Helper()
	bin, err := program()
	s.must(err)
	cmd := exec.CommandContext(s.Context(), "sh", "-c", command)
	cmd.Dir = s.dir
	cmd.Env = append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"), "REDOXWORKER_CONFIG="+s.file, "REDOXWORKER_NATS_USER="+user,
		"REDOXWORKER_NATS_PASSWORD="+password(user), "REDOXWORKER_NATS_INBOX_PREFIX=_INBOX_"+user)
	text, err := cmd.CombinedOutput()
	return string(text), err
}

// The users relay and console of accounts.conf may do what they are for, by the command itself.
func TestRights_RelayAndConsole(t *testing.T) {
	t.Parallel()
	s := guarded(t)
	s.as("operator", "redoxworker provision")
	worker := s.launch("worker", "run")
	s.eventuallyReady(worker)
	box := s.openOutbox()
	tx, err := s.db.BeginTx(t.Context(), nil)
	s.must(err)
	s.must(s.sim.SetProfile("rejected"))
	_, err = box.Enqueue(t.Context(), tx, outbox.Message{ID: "m-1", Source: "clinic-a", Body: s.body("a")}, outbox.Message{ID: "m-2", Source: "clinic-a", Body: s.body("a")})
	s.must(err)
	s.must(tx.Commit())
	relay := s.launch("relay", "outbox", "relay")
	s.eventually("two dead letters", func() bool {
		return strings.Count(s.as("console", "redoxworker dlq ls --json"), "\n") == 2
	})
	relay.stop()
	s.must(s.sim.SetProfile("none"))
	for _, command := range []string{
		"redoxworker status --json", "redoxworker workers --json", "redoxworker find m-1 --source clinic-a", "redoxworker order ls",
		"redoxworker dlq ls --counts", "redoxworker dlq show m-1 --reveal --reason test", "redoxworker dlq replay m-1 --force --reason test",
		"redoxworker dlq discard m-2 --force --reason test", "redoxworker pause --source clinic-a --reason test", "redoxworker resume --source clinic-a --reason test",
		"redoxworker sources add clinic-c --id 8ce6f387-c33c-417d-8682-81e83628cbd9 --key main --reason test", "redoxworker sources ls",
		"redoxworker sources rm clinic-c --force --reason test", "redoxworker audit ls",
	} {
		s.as("console", command)
	}
	s.eventually("the replay is delivered", func() bool { return s.as("console", "redoxworker dlq ls --json") == "" })
	deeds := s.as("console", "redoxworker audit ls --json")
	for _, deed := range []string{"reveal", "replay", "discard", "pause", "resume", "source.add", "source.rm"} {
		if !strings.Contains(deeds, `"`+deed+`"`) {
			t.Errorf("the trail has no %s:\n%s", deed, deeds)
		}
	}
	if log := worker.log(); strings.Contains(strings.ToLower(log), "permission") {
		t.Errorf("the worker was refused something:\n%s", log)
	}
}
