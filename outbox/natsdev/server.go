package natsdev

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

const (
	startTimeout = 20 * time.Second
	startPoll    = 100 * time.Millisecond
)

// errStopped is returned for a server that was shut down.
var errStopped = errors.New("natsdev: the server is shut down: start another")

// Server is a running NATS server. Its methods are safe for concurrent use.
type Server struct {
	opts      Options
	dir       string
	temporary bool

	mu   sync.Mutex
	srv  *server.Server // nil after Shutdown, and while it restarts
	port int            // kept by Restart, so that clients find it again
	done chan struct{}  // closed when the server's Start has returned
}

// Start starts a server and returns when it accepts connections. The caller
// ends it with [Server.Shutdown].
func Start(o Options) (*Server, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	dir, temporary, err := o.storeDir()
	if err != nil {
		return nil, err
	}
	s := &Server{opts: o, dir: dir, temporary: temporary, port: o.Port}
	if err := s.start(); err != nil {
		return nil, errors.Join(err, s.removeDir())
	}
	return s, nil
}

func (s *Server) start() error {
	opts, err := s.opts.build(s.dir, s.port)
	if err != nil {
		return err
	}
	srv, err := server.NewServer(opts)
	if err != nil {
		return fmt.Errorf("natsdev: %w", err)
	}
	log := new(fatalLog)
	srv.SetLoggerV2(log, false, false, false)
	done := make(chan struct{})
	go func() {
		defer close(done)
		srv.Start()
	}()
	if err := ready(srv, log); err != nil {
		stop(srv, done)
		return err
	}
	if addr, ok := srv.Addr().(*net.TCPAddr); ok {
		s.port = addr.Port
	}
	s.srv, s.done = srv, done
	return nil
}

// ready waits until the server accepts connections or has said why it cannot.
func ready(srv *server.Server, log *fatalLog) error {
	for waited := time.Duration(0); waited < startTimeout; waited += startPoll {
		if srv.ReadyForConnections(startPoll) && log.err() == nil {
			return nil
		}
		if err := log.err(); err != nil {
			return fmt.Errorf("natsdev: start: %w", err)
		}
	}
	return fmt.Errorf("natsdev: not ready after %v", startTimeout)
}

func stop(srv *server.Server, done <-chan struct{}) {
	srv.Shutdown()
	srv.WaitForShutdown()
	<-done
}

// URL is where clients connect, empty when the server opens no port or is shut down.
func (s *Server) URL() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.srv == nil || s.port == 0 {
		return ""
	}
	return s.srv.ClientURL()
}

// Dir is the directory of the JetStream data.
func (s *Server) Dir() string { return s.dir }

// Connect opens a connection that the caller closes: over TCP when the server
// listens, else inside the process. It comes back after [Server.Restart]: it
// never gives up reconnecting and tries every 50 ms, unless opts say otherwise.
func (s *Server) Connect(opts ...nats.Option) (*nats.Conn, error) {
	all := []nats.Option{nats.MaxReconnects(-1), nats.ReconnectWait(50 * time.Millisecond), nats.ReconnectJitter(0, 0)}
	url := s.URL()
	if url == "" {
		all = append(all, nats.InProcessServer(s))
	}
	nc, err := nats.Connect(url, append(all, opts...)...)
	if err != nil {
		return nil, fmt.Errorf("natsdev: connect: %w", err)
	}
	return nc, nil
}

// InProcessConn opens a raw connection to whichever server runs now. It makes
// a Server a [nats.InProcessConnProvider].
func (s *Server) InProcessConn() (net.Conn, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.srv == nil {
		return nil, errStopped
	}
	return s.srv.InProcessConn()
}

// Restart stops the server and starts it again with the same data and the same
// port, for which it waits if something else has it. Clients are disconnected in
// between.
func (s *Server) Restart() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.srv == nil {
		return errStopped
	}
	srv, done := s.srv, s.done
	s.srv = nil
	stop(srv, done)
	s.awaitPort()
	return s.start()
}

// awaitPort waits until the port is free: an outgoing connection of this machine may have
// been given it. That it is not in time is for the server to say.
func (s *Server) awaitPort() {
	poll := time.NewTicker(startPoll)
	defer poll.Stop()
	for deadline := time.Now().Add(startTimeout); time.Now().Before(deadline); <-poll.C {
		l, err := net.Listen("tcp", net.JoinHostPort(s.opts.host(), strconv.Itoa(s.port)))
		if err == nil {
			_ = l.Close()
			return
		}
	}
}

// Shutdown stops the server, waits for it to end and removes its directory if
// that is a temporary one. Further calls do nothing.
func (s *Server) Shutdown() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.srv != nil {
		stop(s.srv, s.done)
		s.srv = nil
	}
	return s.removeDir()
}

func (s *Server) removeDir() error {
	if !s.temporary {
		return nil
	}
	if err := os.RemoveAll(s.dir); err != nil {
		return fmt.Errorf("natsdev: remove the temporary directory: %w", err)
	}
	return nil
}
