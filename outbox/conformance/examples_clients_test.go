package conformance

import (
	"bytes"
	"context"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// clean is a directory as a fresh clone has it: an example, and the vectors.
func clean(t *testing.T, example string) (dir string) {
	t.Helper()
	const top = "../.."
	root := t.TempDir()
	list := exec.CommandContext(t.Context(), "git", "ls-files", "--cached", "--others", "--exclude-standard", example, "outbox/testdata")
	list.Dir = top
	names, err := list.Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range strings.Fields(string(names)) {
		text, err := os.ReadFile(filepath.Join(top, name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.MkdirAll(filepath.Dir(filepath.Join(root, name)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(root, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(root, example)
}

// readme are the command lines of an example's README: the first runs what there is to talk to.
func readme(t *testing.T, dir string) (lines []string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile(`(?m)^\$ (.*)$`).FindAllStringSubmatch(string(text), -1) {
		lines = append(lines, m[1])
	}
	if len(lines) != 2 || lines[0] != "go run ../../../cmd/redoxworker dev --dir data" {
		t.Fatalf("README.md of %s: %q", dir, lines)
	}
	return lines
}

// hugeAnswers has the simulated Redox answer with more than fits into a message.
func (d *dev) hugeAnswers(ctx context.Context) {
	d.t.Helper()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, d.redox+"/_sim/fault", bytes.NewReader([]byte(`{"rules":[{"fault":"huge=2MB"}]}`)))
	if err != nil {
		d.t.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		d.t.Fatal(err)
	}
	_ = answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		d.t.Fatal(answer.Status)
	}
}

// runs is an example whose last line of its README is run, twice: with answers that fit into a
// message, and with larger ones.
func runs(t *testing.T, dir, line string) {
	t.Helper()
	d := startDev(t, filepath.Join(dir, "data"))
	for _, from := range []string{"in the message", "from the object store"} {
		before := len(d.delivered())
		out := output(t, dir, d.server, "sh", "-c", line)
		at := -1
		for _, want := range []string{"stored Arrival\n", "stored VisitUpdate\n", "stored Discharge\n", "again: duplicate true\n",
			"query: delivered 200, Query, " + from + "\n", "reply to Arrival: delivered 200", "reply to VisitUpdate: delivered 200", "reply to Discharge: delivered 200"} {
			if i := strings.Index(out, want); i <= at {
				t.Fatalf("%q is not there, or in another order:\n%s", want, out)
			} else {
				at = i
			}
		}
		got := d.delivered()[before:]
		for i, event := range []string{"Arrival", "VisitUpdate", "Discharge"} {
			if len(got) != 3 || !strings.HasSuffix(got[i], "-"+event) {
				t.Fatalf("delivered in order: %q", got)
			}
		}
		d.hugeAnswers(t.Context())
	}
}

// delivered are the ordered messages that were delivered, in order.
func (d *dev) delivered() (ids []string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, e := range d.events {
		if e.Event == "delivered" && e.Lane == "ordered" {
			ids = append(ids, e.Message)
		}
	}
	return ids
}

func TestClient_JavaScript(t *testing.T) {
	t.Parallel()
	dir := clean(t, "deploy/examples/javascript")
	runs(t, dir, readme(t, dir)[1])
	if out := output(t, dir, "", "npm", "test"); !strings.Contains(out, "pass 2") {
		t.Errorf("the vectors: %s", out)
	}
}

func TestClient_Python(t *testing.T) {
	t.Parallel()
	dir := clean(t, "deploy/examples/python")
	output(t, dir, "", python, "-m", "unittest")
	if slices.ContainsFunc(there(t), func(c client) bool { return c.name == "python" }) {
		_, last, _ := strings.Cut(readme(t, dir)[1], "venv/bin/python")
		runs(t, dir, python+last)
	}
}

// Rows that a program in Python commits to SQLite, with no library, are delivered in their order.
func TestClient_PythonOutbox(t *testing.T) {
	t.Parallel()
	dir := clean(t, "deploy/examples/python")
	d := startDev(t, filepath.Join(dir, "data"))
	binary, err := build()
	if err != nil {
		t.Fatal(err)
	}
	settings := []string{"--server", d.server, "--set", "outbox.driver=sqlite", "--set", "outbox.dsn=app.db"}
	output(t, dir, "", append([]string{binary, "outbox", "migrate"}, settings...)...)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	relay := command(ctx, dir, d.server, append([]string{binary, "outbox", "relay"}, settings...)...)
	if err := relay.Start(); err != nil {
		t.Fatal(err)
	}
	var want []string
	for range 3 {
		for line := range strings.Lines(output(t, dir, "", python, "outbox.py", "app.db")) {
			want = append(want, strings.TrimSpace(strings.TrimPrefix(line, "committed ")))
		}
	}
	for _, id := range want {
		d.await(event{Event: "delivered", Message: id, Source: "clinic-a", Lane: "ordered"})
	}
	if got := d.delivered(); len(want) != 6 || !slices.Equal(got, want) {
		t.Errorf("delivered %q\ncommitted %q", got, want)
	}
	stop()
	_ = relay.Wait()
}
