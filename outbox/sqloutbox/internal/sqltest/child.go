package sqltest

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
	"time"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/internal/jsapi"
	"github.com/redoxworker/redoxworker/outbox/sqloutbox"
)

// childEnv has the order of a child, in JSON.
const childEnv = "SQLTEST_CHILD"

// childOrder says what a process of a test is to do.
type childOrder struct {
	Database  Database
	NATS      string
	Algorithm Algorithm
}

// Algorithm is a way to relay. All but Lanes are naive.
type Algorithm string

// The relay of package sqloutbox, and what it is compared with.
const (
	Lanes  Algorithm = "lanes"
	Cursor Algorithm = "cursor"           // remembers how far it has read
	Rows   Algorithm = "skip locked rows" // locks rows instead of lanes
)

// IsChild reports whether this process is a relay of a test.
func IsChild() bool { return os.Getenv(childEnv) != "" }

// Child relays until the process is killed, or its parent is gone.
func Child() {
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		cancel()
	}()
	if err := relayAsChild(ctx); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
}

func relayAsChild(ctx context.Context) error {
	var o childOrder
	if err := json.Unmarshal([]byte(os.Getenv(childEnv)), &o); err != nil {
		return err
	}
	db, err := sql.Open(o.Database.Driver, o.Database.DSN)
	if err != nil {
		return err
	}
	js, err := connect(o.NATS)
	if err != nil {
		return err
	}
	if o.Algorithm != Lanes {
		return naive{db: db, js: js, dialect: o.Database.Dialect}.run(ctx, o.Algorithm)
	}
	box, err := sqloutbox.New(o.Database.Dialect, sqloutbox.Config{OrderSecret: []byte(Secret)})
	if err != nil {
		return err
	}
	relay, err := newRelay(box, db, js, sqloutbox.RelayConfig{}, outbox.PublisherConfig{})
	if err != nil {
		return err
	}
	return relay.Run(ctx)
}

// process is a relay of its own.
type process struct {
	command *exec.Cmd
	stdin   io.Closer
}

// start starts a relay process.
func (r *Rig) start(a Algorithm) *process {
	r.Helper()
	order, err := json.Marshal(childOrder{r.Database, r.NATS.URL(), a})
	r.Must(err)
	self, err := os.Executable()
	r.Must(err)
	c := exec.CommandContext(context.Background(), self)
	c.Env = append(os.Environ(), childEnv+"="+string(order))
	c.Stderr = os.Stderr
	in, err := c.StdinPipe()
	r.Must(err)
	r.Must(c.Start())
	p := &process{c, in}
	r.Cleanup(p.kill)
	return p
}

// kill ends a process as kill -9 does.
func (p *process) kill() {
	_ = p.command.Process.Kill()
	_ = p.command.Wait()
	_ = p.stdin.Close()
}

// Frozen stops a relay process, not to say a word any more, at a moment that is right; what it returns
// ends it. The table has rows then.
func (r *Rig) Frozen(right func() bool) (end func()) {
	r.Helper()
	p := r.start(Lanes)
	for n := 0; ; n++ {
		ms := make([]outbox.Message, 200)
		for i := range ms {
			ms[i] = Ordered("clinic-a", fmt.Sprint(i), n)
		}
		r.Commit(ms...)
		jsapi.Sleep(r.Ctx(), time.Duration(n%7)*time.Millisecond)
		r.Must(p.command.Process.Signal(syscall.SIGSTOP))
		if right() && r.Count("redox_outbox") > 0 {
			return p.kill
		}
		r.Must(p.command.Process.Signal(syscall.SIGCONT))
	}
}
