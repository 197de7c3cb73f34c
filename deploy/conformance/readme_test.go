package conformance

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/redoxworker/redoxworker/auth"
	"github.com/redoxworker/redoxworker/outbox/natsdev"
	"github.com/redoxworker/redoxworker/worker/redoxsim"
)

// readmeBlocks are the blocks of code of a section of the README, by their language.
func readmeBlocks(t *testing.T, section, language string) (blocks []string) {
	t.Helper()
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "\n## "+section+"\n")
	rest, _, _ = strings.Cut(rest, "\n## ")
	for _, m := range regexp.MustCompile("(?ms)^```"+language+"$\n(.*?)^```$").FindAllStringSubmatch(rest, -1) {
		blocks = append(blocks, m[1])
	}
	return blocks
}

// Who follows the README line by line in an empty directory has a worker that delivers: its commands and
// its configuration are used as they stand there, with the address of a simulator for Redox's, and the
// values that Redox gives for the ellipses.
func TestReadme_Followed(t *testing.T) {
	t.Parallel()
	s := &site{T: t, dir: t.TempDir(), sim: new(redoxsim.Server)}
	far := httptest.NewServer(s.sim)
	t.Cleanup(func() { s.sim.Release(); far.Close() })
	var err error
	s.nats, err = natsdev.Start(natsdev.Options{Dir: filepath.Join(s.dir, "nats"), Port: -1})
	s.must(err)
	t.Cleanup(func() { _ = s.nats.Shutdown() })
	ports, err := natsdev.FreePorts(1)
	s.must(err)
	s.admin = fmt.Sprint("127.0.0.1:", ports[0])
	commands, files := readmeBlocks(t, "Run it", "console"), readmeBlocks(t, "Run it", "yaml")
	if len(commands) < 2 || len(files) < 1 {
		t.Fatalf("the README has %d blocks of commands and %d files", len(commands), len(files))
	}
	environ := []string{"REDOXWORKER_NATS_URL=" + s.nats.URL(), "REDOXWORKER_REDOX_BASE_URL=" + far.URL, "REDOXWORKER_ADMIN_LISTEN=" + s.admin}
	configuration := filepath.Join(s.dir, "redoxworker.yaml")
	for _, line := range commandLines(commands[0]) {
		switch {
		case strings.Contains(line, "keys new"):
			s.keysNew(line, files[0])
		case strings.HasPrefix(line, "redoxworker run"):
			s.eventuallyReady(s.launchWith(environ, strings.Fields(line)[1:]...))
		default:
			s.follow(environ, line)
		}
	}
	s.write("message.json", string(s.body("a")))
	s.write("query.json", `{"Meta":{"DataModel":"PatientSearch","EventType":"Query","Destinations":[{"ID":"a"}]},"Patient":{"Demographics":{"LastName":"Doe"}}}`)
	environ = append(environ, "REDOXWORKER_CONFIG="+configuration)
	for _, line := range commandLines(commands[1]) {
		s.follow(environ, line)
	}
	s.eventually("two SENDs and two queries are delivered", func() bool {
		sends, queries := s.taken()
		return sends == 2 && queries == 2
	})
	if letters := s.follow(environ, "redoxworker dlq ls --json"); letters != "" {
		t.Errorf("dead letters: %s", letters)
	}
	for _, line := range readmeCommands(t, "Operate it") {
		s.follow(environ, line)
	}
}

// taken counts what the simulator has taken: messages, not requests for tokens.
func (s *site) taken() (sends, queries int) {
	for _, a := range s.sim.Arrivals() {
		switch {
		case a.Path != "/endpoint" || a.Status != http.StatusOK:
		case a.Query:
			queries++
		default:
			sends++
		}
	}
	return sends, queries
}

// commandLines are those of a block of a console.
func commandLines(block string) (lines []string) {
	for line := range strings.Lines(block) {
		if command, ok := strings.CutPrefix(strings.TrimSpace(line), "$ "); ok {
			lines = append(lines, command)
		}
	}
	return lines
}

// readmeCommands are the whole commands in the text of a section, but those that run until they are
// stopped, or measure.
func readmeCommands(t *testing.T, section string) (commands []string) {
	t.Helper()
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "\n## "+section+"\n")
	rest, _, _ = strings.Cut(rest, "\n## ")
	for _, m := range regexp.MustCompile("`(redoxworker [a-z -]+)`").FindAllStringSubmatch(rest, -1) {
		program := strings.Fields(m[1])[1]
		if needs := []string{"bench", "sources", "console", "log", "token", "dlq", "astray", "seal", "run", "outbox"}; !slices.Contains(needs, program) || m[1] == "redoxworker dlq ls" {
			commands = append(commands, m[1])
		}
	}
	if len(commands) < 4 {
		t.Errorf("%d commands found in %q", len(commands), section)
	}
	return commands
}

// keysNew makes the key, gives Redox its public half, and writes the configuration with what Redox
// gives in turn.
func (s *site) keysNew(line, file string) {
	s.Helper()
	var public struct{ KID string }
	s.must(json.Unmarshal([]byte(s.follow(nil, line)), &public))
	key, err := auth.ReadKeyFile(filepath.Join(s.dir, "key.pem"), public.KID)
	s.must(err)
	s.write("order-secret", strings.Repeat("ab", 32)) // openssl rand -hex 32
	for _, value := range []string{"a-client", key.ID()} {
		file = strings.Replace(file, "…", value, 1)
	}
	s.write("redoxworker.yaml", file)
	s.must(s.sim.AddOAuthKey("a-client", key.ID(), key.Public()))
}

// follow runs a line of the README.
func (s *site) follow(environ []string, line string) string {
	s.Helper()
	bin, err := program()
	s.must(err)
	cmd := exec.CommandContext(s.Context(), "sh", "-c", line)
	cmd.Dir = s.dir
	cmd.Env = append(append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"), "XDG_CONFIG_HOME="+s.dir), environ...)
	if s.nats != nil {
		cmd.Env = append(cmd.Env, "NATS_URL="+s.nats.URL())
	}
	out, err := cmd.Output()
	if code := cmd.ProcessState.ExitCode(); err != nil && (code != 1 || !strings.HasPrefix(line, "redoxworker check")) { // which says what a production would have
		s.Errorf("%s: %v\n%s", line, err, out)
	}
	return string(out)
}
