package conformance

import (
	"cmp"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/redoxworker/redoxworker/outbox/sqloutbox"
	"github.com/redoxworker/redoxworker/outbox/sqloutbox/internal/sqltest"
)

// client is an example in another language that commits two messages about the patient MRN 1.
type client struct {
	*sqltest.Rig
	dir  string
	args []string
}

// newClient has an example in a directory of its own, and a database for it.
func newClient(t *testing.T, folder string) *client {
	t.Helper()
	p := &client{Rig: postgres.serving().New(t, sqloutbox.Config{}).Provision(), dir: t.TempDir()}
	files, err := filepath.Glob(filepath.Join("../../../deploy/examples", folder, "*.*"))
	p.Must(err)
	for _, file := range files {
		text, err := os.ReadFile(file)
		p.Must(err)
		p.Must(os.WriteFile(filepath.Join(p.dir, filepath.Base(file)), text, 0o600))
	}
	p.Must(os.WriteFile(filepath.Join(p.dir, "order.secret"), []byte(sqltest.Secret+"\n"), 0o600))
	return p
}

// command is one in the directory, whose PG… variables name the database.
func (p *client) command(args ...string) *exec.Cmd {
	p.Helper()
	dsn, err := url.Parse(p.Database.DSN)
	p.Must(err)
	c := exec.CommandContext(p.Ctx(), args[0], args[1:]...)
	c.Dir = p.dir
	c.Env = append(os.Environ(), "PGHOST="+dsn.Hostname(), "PGPORT="+dsn.Port(), "PGUSER="+dsn.User.Username(), "PGDATABASE="+strings.Trim(dsn.Path, "/"),
		"PGSSLMODE=disable", "ORDER_SECRET_FILE=order.secret", "PYTHONDONTWRITEBYTECODE=1")
	return c
}

// waitsAndIsRelayed runs the example while a transaction of Go has the lock of the same order key: it
// waits for that, and its messages are published after that one's.
func (p *client) waitsAndIsRelayed() {
	p.Helper()
	tx, err := p.DB.BeginTx(p.Ctx(), nil)
	p.Must(err)
	first, err := p.Box.Enqueue(p.Ctx(), tx, sqltest.Ordered("clinic-a", "MRN 1", 1))
	p.Must(err)
	example := p.command(p.args...)
	var out strings.Builder
	example.Stdout, example.Stderr = &out, os.Stderr
	p.Must(example.Start())
	p.Until("the example waits for the lock", func() bool { return p.waiting() == 1 })
	p.Must(tx.Commit())
	p.Must(example.Wait())
	want := first
	for line := range strings.Lines(out.String()) {
		want = append(want, strings.TrimSpace(strings.TrimPrefix(line, "committed ")))
	}
	p.Relay(sqloutbox.RelayConfig{})
	p.Empty()
	queued := p.Queued()
	if len(want) != 3 || len(queued) != 3 {
		p.Fatalf("committed %q, queued %v", want, queued)
	}
	for i, m := range queued {
		if m.ID != want[i] || m.OrderToken != queued[0].OrderToken || m.Source != "clinic-a" || i > 0 && m.ReplyTo != "redox.reply.clinic-a."+m.ID {
			p.Errorf("message %d: %v, want %s", i+1, m, want[i])
		}
	}
}

// waiting is how many sessions wait for a lock of an order key.
func (p *client) waiting() (n int) {
	p.Helper()
	p.Must(p.DB.QueryRowContext(p.Ctx(), "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database())").Scan(&n))
	return n
}

func TestClient_JavaScript(t *testing.T) {
	t.Parallel()
	p := newClient(t, "javascript")
	p.Must(command(p.command("npm", "ci", "--silent", "--no-audit", "--no-fund")))
	p.args = []string{"node", "outbox.mjs"}
	p.waitsAndIsRelayed()
}

// The driver for Python is a package of the system or of CONTRACT_PYTHON; where there is none, the
// rows of SQLite are what is tried in Python, by outbox/conformance.
func TestClient_Python(t *testing.T) {
	t.Parallel()
	for _, python := range []string{cmp.Or(os.Getenv("CONTRACT_PYTHON"), "python3"), "/usr/bin/python3"} {
		if exec.CommandContext(t.Context(), python, "-c", "import psycopg").Run() == nil {
			p := newClient(t, "python")
			p.args = []string{python, "outbox.py", p.Database.DSN}
			p.waitsAndIsRelayed()
			return
		}
	}
	t.Log("no psycopg here: not tried")
}
