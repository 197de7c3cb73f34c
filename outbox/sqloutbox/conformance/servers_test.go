package conformance

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	_ "github.com/go-sql-driver/mysql"
	_ "github.com/jackc/pgx/v5/stdlib"

	"github.com/redoxworker/redoxworker/outbox/sqloutbox"
	"github.com/redoxworker/redoxworker/outbox/sqloutbox/internal/sqltest"
)

// Servers of the tests, started by TestMain.
var postgres, maria *server

func TestMain(m *testing.M) {
	if sqltest.IsChild() {
		sqltest.Child() // a relay of a test, to be killed
		return
	}
	os.Exit(run(m))
}

func run(m *testing.M) int {
	var err error
	if postgres, err = startPostgres(); err == nil {
		defer postgres.stop()
		if maria, err = startMaria(); err == nil {
			defer maria.stop()
			return m.Run()
		}
	}
	fmt.Fprintln(os.Stderr, err)
	return 1
}

// server is a database server of the tests.
type server struct {
	dialect sqloutbox.Dialect
	driver  string
	dir     string
	command *exec.Cmd
	root    *sql.DB
	dsn     func(database string) string
	made    atomic.Int64
}

// serving makes databases on the server.
func (s *server) serving() sqltest.Server {
	return sqltest.Server{Dialect: s.dialect, Fresh: func(t testing.TB) sqltest.Database {
		t.Helper()
		name := fmt.Sprintf("test%d", s.made.Add(1))
		if _, err := s.root.ExecContext(t.Context(), "CREATE DATABASE "+name); err != nil {
			t.Fatal(err)
		}
		return sqltest.Database{Dialect: s.dialect, Driver: s.driver, DSN: s.dsn(name)}
	}}
}

func (s *server) stop() {
	s.root.Close()
	_ = s.command.Process.Signal(syscall.SIGQUIT)
	_ = s.command.Wait()
	_ = os.RemoveAll(s.dir)
}

// start runs the server and waits until it answers.
func (s *server) start(command *exec.Cmd, database string) (*server, error) {
	log, err := os.Create(filepath.Join(s.dir, "server.log"))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	s.command = command
	command.Stdout, command.Stderr = log, log
	if err := command.Start(); err != nil {
		return nil, err
	}
	if s.root, err = sql.Open(s.driver, s.dsn(database)); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for {
		if err = s.root.PingContext(ctx); err == nil {
			return s, nil
		}
		select {
		case <-ctx.Done():
			text, _ := os.ReadFile(log.Name())
			s.stop()
			return nil, fmt.Errorf("%s does not start: %w\n%s", command.Path, err, text)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func program(name string, places ...string) (string, error) {
	if path, err := exec.LookPath(name); err == nil {
		return path, nil
	}
	for _, place := range places {
		if found, _ := filepath.Glob(filepath.Join(place, name)); len(found) > 0 {
			return found[len(found)-1], nil
		}
	}
	return "", fmt.Errorf("no program %s: install it (apt-get install postgresql mariadb-server)", name)
}

func freePort() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return strconv.Itoa(l.Addr().(*net.TCPAddr).Port), nil
}

// command has its output in its error.
func command(c *exec.Cmd) error {
	if out, err := c.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", c.Path, err, out)
	}
	return nil
}

func startPostgres() (*server, error) {
	initdb, err := program("initdb", "/usr/lib/postgresql/*/bin")
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "sqloutbox-postgres-")
	if err != nil {
		return nil, err
	}
	as, err := unprivileged(dir)
	if err != nil {
		return nil, err
	}
	data := filepath.Join(dir, "data")
	init := exec.Command(initdb, "-D", data, "-U", "test", "-A", "trust", "--no-sync", "--locale=C", "-E", "UTF8")
	init.SysProcAttr, init.Dir = as, dir
	if err := command(init); err != nil {
		return nil, err
	}
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	s := &server{dialect: sqloutbox.Postgres, driver: "pgx", dir: dir, dsn: func(database string) string {
		return "postgres://test@127.0.0.1:" + port + "/" + database + "?sslmode=disable"
	}}
	run := exec.Command(filepath.Join(filepath.Dir(initdb), "postgres"), "-D", data, "-p", port, "-k", dir, "-c", "listen_addresses=127.0.0.1",
		"-c", "fsync=off", "-c", "synchronous_commit=off", "-c", "full_page_writes=off")
	run.SysProcAttr, run.Dir = as, dir
	return s.start(run, "postgres")
}

// unprivileged says as whom PostgreSQL runs, and gives the directory to it.
func unprivileged(dir string) (*syscall.SysProcAttr, error) {
	if os.Getuid() != 0 {
		return nil, nil
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		if u, err = user.Lookup("nobody"); err != nil {
			return nil, errors.New("PostgreSQL does not run as root, and there is no user postgres or nobody")
		}
	}
	uid, _ := strconv.Atoi(u.Uid)
	gid, _ := strconv.Atoi(u.Gid)
	return &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}, os.Chown(dir, uid, gid)
}

func startMaria() (*server, error) {
	install, err := program("mariadb-install-db")
	if err != nil {
		return nil, err
	}
	daemon, err := program("mariadbd", "/usr/sbin", "/usr/libexec")
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "sqloutbox-mariadb-")
	if err != nil {
		return nil, err
	}
	me, err := user.Current()
	if err != nil {
		return nil, err
	}
	data, socket := filepath.Join(dir, "data"), filepath.Join(dir, "s")
	if err := command(exec.Command(install, "--no-defaults", "--user="+me.Username, "--datadir="+data, "--auth-root-authentication-method=normal", "--skip-test-db")); err != nil {
		return nil, err
	}
	s := &server{dialect: sqloutbox.MySQL, driver: "mysql", dir: dir, dsn: func(database string) string {
		return "root@unix(" + socket + ")/" + database
	}}
	run := exec.Command(daemon, "--no-defaults", "--user="+me.Username, "--datadir="+data, "--socket="+socket, "--skip-networking",
		"--skip-log-bin", "--innodb-flush-log-at-trx-commit=0", "--innodb-flush-method=nosync", "--innodb-doublewrite=0", "--max-allowed-packet=64M")
	run.Env = append(os.Environ(), "TZ=America/New_York") // a place with an hour that comes twice
	return s.start(run, "mysql")
}
