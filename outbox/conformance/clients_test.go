package conformance

import (
	"cmp"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// scripts are what each client shows, beside ids.
var scripts = []string{"send", "send-ordered", "read-reply", "request", "read", "dead-letters"}

// client runs the examples of one language.
type client struct {
	name, ending string
	run          []string // before the name of the file
	// token and dedup print the order token of a key, and the Nats-Msg-Id of a source and id,
	// which follow as arguments.
	token, dedup []string
}

var python = cmp.Or(os.Getenv("CONTRACT_PYTHON"), "python3")

var clients = []client{
	{
		name: "nats", ending: ".sh", run: []string{"sh", "-e"},
		token: []string{"sh", "-ec", `. ./ids.sh; order_token "$1"`, "sh"},
		dedup: []string{"sh", "-ec", `. ./ids.sh; dedup_id "$1" "$2"`, "sh"},
	},
	{
		name: "javascript", ending: ".mjs", run: []string{"node"},
		token: []string{"node", "--input-type=module", "-e", `import { orderToken } from "./ids.mjs"; console.log(orderToken(process.argv[1]))`, "--"},
		dedup: []string{"node", "--input-type=module", "-e", `import { dedupId } from "./ids.mjs"; console.log(dedupId(process.argv[1], process.argv[2]))`, "--"},
	},
	{
		name: "python", ending: ".py", run: []string{python},
		token: []string{python, "-c", `import ids, sys; print(ids.order_token(sys.argv[1]))`},
		dedup: []string{python, "-c", `import ids, sys; print(ids.dedup_id(sys.argv[1], sys.argv[2]))`},
	},
}

// file is the name of a script of the client.
func (c client) file(script string) string {
	if c.ending == ".py" {
		script = strings.ReplaceAll(script, "-", "_")
	}
	return script + c.ending
}

// there are the clients whose libraries are installed.
func there(t *testing.T) (list []client) {
	t.Helper()
	names := strings.Fields(cmp.Or(os.Getenv("CONTRACT_CLIENTS"), "nats javascript python"))
	for _, name := range names {
		i := slices.IndexFunc(clients, func(c client) bool { return c.name == name })
		if i < 0 {
			t.Fatalf("CONTRACT_CLIENTS: there is no client %q", name)
		}
		list = append(list, clients[i])
	}
	return list
}

// desk is a directory with all examples in it, as somebody has it who copied them.
func desk(t *testing.T, secret string) string {
	t.Helper()
	dir := t.TempDir()
	files := examples(t)
	files["order-secret"] = secret
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	packages, err := filepath.Abs("testdata/javascript/node_modules")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(packages, filepath.Join(dir, "node_modules")); err != nil {
		t.Fatal(err)
	}
	return dir
}

// command runs in a directory, with a server for NATS clients. It is killed with the test.
func command(ctx context.Context, dir, server string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "NATS_URL="+server, "PYTHONIOENCODING=utf-8", "PYTHONUTF8=1", "PYTHONDONTWRITEBYTECODE=1")
	cmd.WaitDelay = 10 * time.Second
	return cmd
}

// output is what a command prints; one that fails is fatal.
func output(t *testing.T, dir, server string, args ...string) string {
	t.Helper()
	var stderr strings.Builder
	cmd := command(t.Context(), dir, server, args...)
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s%s", strings.Join(args, " "), err, out, stderr.String())
	}
	return string(out) + stderr.String()
}

// The functions of every language make the tokens and ids of the contract's tables. They need
// no library.
func TestExamples_MakeTheTokensAndIDsOfTheTables(t *testing.T) {
	t.Parallel()
	tokens, ids := vectors(t)
	for _, c := range clients {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			for _, v := range tokens {
				if got := strings.TrimSpace(output(t, desk(t, v.secret), "", append(slices.Clone(c.token), v.text)...)); got != v.want {
					t.Errorf("order token of %q under %q: %s, want %s", v.text, v.secret, got, v.want)
				}
			}
			for _, v := range ids {
				if got := strings.TrimSpace(output(t, desk(t, v.secret), "", append(slices.Clone(c.dedup), v.source, v.text)...)); got != v.want {
					t.Errorf("Nats-Msg-Id of %q of %s under %q: %s, want %s", v.text, v.source, v.secret, got, v.want)
				}
			}
		})
	}
}
