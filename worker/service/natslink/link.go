package natslink

import (
	"cmp"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/redoxworker/redoxworker/outbox/logsample"
)

// Link logs what is wrong with the connection to NATS, once when it begins and once a minute while
// it lasts. It is safe for concurrent use.
type Link struct {
	log     *slog.Logger
	servers string // without passwords
	// daemon: it waits for NATS, however long, and says so.
	daemon  bool
	trouble *logsample.Trouble

	mu      sync.Mutex
	conn    *nats.Conn
	given   bool   // conn is somebody else's
	reason  error  // why there is no connection; nil while there is one
	ever    bool   // there was a connection
	server  string // that the log names as connected to
	refused int    // times that the first connection was refused the way in
	barred  chan struct{}
}

const linkMember = "nats"

// New returns the link of a daemon, before there is a connection. servers are those that it
// waits for, without passwords.
func New(log *slog.Logger, servers string) *Link { return newLink(log, servers, true) }

func newLink(log *slog.Logger, servers string, daemon bool) *Link {
	log = logsample.Wrap(log) // each message that may not be sent is an error of the server
	return &Link{log: log, servers: servers, daemon: daemon, trouble: logsample.NewTrouble(log, "nats: connected"), barred: make(chan struct{})}
}

// options has the client tell of what happens to its connection.
func (l *Link) options() []nats.Option {
	opts := []nats.Option{
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err != nil {
				l.failed(err)
			}
		}),
		nats.ReconnectHandler(l.connected),
		nats.ReconnectErrHandler(func(_ *nats.Conn, err error) { l.failed(err) }),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			level := slog.LevelError
			if !l.daemon && errors.Is(err, nats.ErrPermissionViolation) {
				level = slog.LevelDebug // whoever does one thing is told by that what it may not
			}
			l.log.Log(context.Background(), level, "nats: the server reported an error", "error", err)
		}),
	}
	if l.daemon { // a server that refuses for a while must not end the connection for good
		opts = append(opts, nats.IgnoreAuthErrorAbort())
	}
	return opts
}

// opened is told of the connection, which may not be up yet. Only then are the servers of a
// context known.
func (l *Link) opened(conn *nats.Conn, ofContext bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.conn = conn
	if ofContext {
		l.servers = redactURLs(strings.Join(conn.Servers(), ","))
	}
}

// await waits for the connection until ctx ends.
func (l *Link) await(ctx context.Context, conn *nats.Conn) error {
	status := conn.StatusChanged(nats.CONNECTED, nats.CLOSED)
	defer conn.RemoveStatusListener(status)
	if conn.IsConnected() {
		l.connected(conn)
		return nil
	}
	select {
	case <-status:
		if conn.IsConnected() {
			l.connected(conn)
			return nil
		}
		if last := conn.LastError(); last != nil {
			return fmt.Errorf("the server refused it: %w", natsReason(last))
		}
		return errors.New("the connection was closed")
	case <-l.barred:
		return fmt.Errorf("the server refused it: %w", l.why())
	case <-ctx.Done():
		if last := cmp.Or(conn.LastError(), l.why()); last != nil {
			return fmt.Errorf("%w (%w)", context.Cause(ctx), natsReason(last))
		}
		return context.Cause(ctx)
	}
}

func (l *Link) why() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.reason
}

// connected notes that the connection is up.
func (l *Link) connected(conn *nats.Conn) {
	server := redactURLs(conn.ConnectedUrl())
	l.mu.Lock()
	news := !l.ever || l.reason != nil || l.server != server
	l.reason, l.ever, l.server = nil, true, server
	l.mu.Unlock()
	if !l.trouble.Worked(linkMember, "server", server) && l.daemon && news {
		l.log.Info("nats: connected", "server", server)
	}
}

// failed notes that it is not, and why.
func (l *Link) failed(err error) {
	err = natsReason(err)
	l.mu.Lock()
	l.reason = err
	text := "nats: cannot connect; trying again"
	if l.ever {
		text = "nats: connection lost; trying again"
	}
	waits, servers := l.daemon || l.ever, l.servers
	l.mu.Unlock()
	if !waits { // what asks once says itself that it got no connection
		l.log.Debug(text, "servers", servers, "error", err)
		return
	}
	l.trouble.Failed(linkMember, text, err, "servers", servers)
}

// linkEvery is how often a connection that is down is looked at: the client tells of no
// failure that comes after the handshake began.
const linkEvery = time.Second

var errClosed = errors.New("nats: the connection that was given is closed; keep it open until Run has returned")

// Watch looks after the connection until ctx ends. It returns an error if a connection that was
// given to Follow is closed meanwhile.
func (l *Link) Watch(ctx context.Context) error {
	ticker := time.NewTicker(linkEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
			if l.closed() {
				return errClosed
			}
			l.look()
		}
	}
}

func (l *Link) closed() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.given && l.conn.IsClosed()
}

func (l *Link) look() {
	l.mu.Lock()
	conn, reason, given := l.conn, l.reason, l.given
	l.mu.Unlock()
	if conn == nil {
		return
	}
	if conn.IsConnected() {
		if reason != nil { // it came while the failure before was being noted
			l.connected(conn)
		}
		return
	}
	if last := conn.LastError(); last != nil {
		l.bar(last)
		reason = last
	} else if given { // its own handlers hear why
		reason = nats.ErrDisconnected
	}
	if reason != nil {
		l.failed(reason)
	}
}

// bar closes barred when a server that was never connected to refuses the way in, again and
// again.
func (l *Link) bar(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ever || !isRefusal(err) {
		return
	}
	if l.refused++; l.refused == 3 {
		close(l.barred)
	}
}

// Down returns what is waited for; "" while there is a connection.
func (l *Link) Down() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.conn != nil && l.conn.IsConnected():
		return ""
	case l.reason != nil:
		return fmt.Sprintf("NATS at %s: %v", l.servers, l.reason)
	}
	return "NATS at " + l.servers
}

func isRefusal(err error) bool {
	return errors.Is(err, nats.ErrAuthorization) || errors.Is(err, nats.ErrAuthExpired) || errors.Is(err, nats.ErrAuthRevoked) || errors.Is(err, nats.ErrAccountAuthExpired)
}

var errRefusedConnection = errors.New("connection refused: no server listens there")

// natsReason says what an error of the connection means, and what to look at.
func natsReason(err error) error {
	mend := ""
	var timeout net.Error
	switch {
	case errors.As(err, new(reasonError)):
		return err
	case errors.Is(err, nats.ErrNoServers):
		return errRefusedConnection // what the client makes of it
	case isRefusal(err):
		mend = "are the credentials right?"
	case errors.As(err, new(x509.UnknownAuthorityError)):
		mend = "give nats.tls.ca_file the certificate of its CA"
	case errors.As(err, new(x509.HostnameError)):
		mend = "give nats.url the name that stands in the server's certificate"
	case strings.Contains(err.Error(), "tls: certificate required"):
		mend = "give nats.tls.cert_file and nats.tls.key_file a certificate that the server takes"
	case errors.Is(err, nats.ErrSecureConnWanted):
		mend = "the server has no TLS: use nats:// and no nats.tls, or enable it there"
	case errors.Is(err, nats.ErrNoInfoReceived):
		mend = "what answers is no NATS server; is this the port for clients?"
	case errors.As(err, &timeout) && timeout.Timeout():
		mend = "nothing answers as a NATS server does; are host and port right?"
	default:
		return err
	}
	return reasonError{err, mend}
}

// reasonError is an error with a mend.
type reasonError struct {
	error
	mend string
}

func (e reasonError) Error() string { return e.error.Error() + "; " + e.mend }
func (e reasonError) Unwrap() error { return e.error }
