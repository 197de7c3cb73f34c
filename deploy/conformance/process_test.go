package conformance

import (
	"bytes"
	"net"
	"net/http"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"
)

// process is one of the command that runs beside the test.
type process struct {
	*site
	cmd   *exec.Cmd
	ended chan error
	end   sync.Once
	mu    sync.Mutex
	text  bytes.Buffer
}

// Write keeps what it logs.
func (p *process) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.text.Write(b)
}

func (p *process) log() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.text.String()
}

// launch starts the command as a user of accounts.conf, until the test ends or stop is called.
func (s *site) launch(user string, args ...string) *process {
	s.Helper()
	return s.launchWith([]string{"REDOXWORKER_CONFIG=" + s.file, "REDOXWORKER_NATS_USER=" + user, "REDOXWORKER_NATS_PASSWORD=" + password(user),
		"REDOXWORKER_NATS_INBOX_PREFIX=_INBOX_" + user}, args...)
}

// launchWith starts the command with more in its environment.
func (s *site) launchWith(environ []string, args ...string) *process {
	s.Helper()
	bin, err := s.bin, error(nil)
	if bin == "" {
		bin, err = program()
	}
	s.must(err)
	p := &process{site: s, cmd: exec.Command(bin+"/redoxworker", args...), ended: make(chan error, 1)}
	p.cmd.Dir, p.cmd.Stdout, p.cmd.Stderr = s.dir, p, p
	p.cmd.Env = append(os.Environ(), environ...)
	s.must(p.cmd.Start())
	go func() { p.ended <- p.cmd.Wait() }()
	s.Cleanup(p.stop)
	return p
}

// stop ends it as a supervisor does, and it ends well.
func (p *process) stop() {
	p.end.Do(func() {
		_ = p.cmd.Process.Signal(syscall.SIGTERM)
		if err := <-p.ended; err != nil {
			p.Errorf("%v ends with %v\n%s", p.cmd.Args, err, p.log())
		}
	})
}

// kill ends it as a crash does.
func (p *process) kill() {
	p.end.Do(func() {
		_ = p.cmd.Process.Kill()
		<-p.ended
	})
}

// eventually waits for a condition.
func (s *site) eventually(what string, is func() bool) {
	s.Helper()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(time.Minute)
	for !is() {
		select {
		case <-tick.C:
		case <-deadline:
			s.Fatalf("%s: not within a minute", what)
		}
	}
}

// eventuallyReady waits for a worker that serves its pages at the site's address.
func (s *site) eventuallyReady(p *process) { s.Helper(); s.readyAt(p, s.admin) }

// readyAt waits for a worker that serves its pages at an address.
func (s *site) readyAt(p *process, admin string) {
	s.Helper()
	client := http.Client{Timeout: time.Second}
	s.eventually("ready", func() bool {
		select {
		case err := <-p.ended:
			p.ended <- err
			s.Fatalf("it ended: %v\n%s", err, p.log())
		default:
		}
		resp, err := client.Get("http://" + admin + "/readyz")
		if err != nil {
			return false
		}
		_ = resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	})
}

func listen(address string) (net.Listener, error) { return net.Listen("tcp", address) }
