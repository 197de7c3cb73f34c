package natslink

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/redoxworker/redoxworker/config"
	"github.com/redoxworker/redoxworker/outbox/natsdev"
	"github.com/redoxworker/redoxworker/worker/workertest"
	"github.com/redoxworker/redoxworker/worker/workertest/bubble"
)

// natsServer starts one with a configuration file.
func natsServer(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "server.conf")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := natsdev.Start(natsdev.Options{Dir: t.TempDir(), Port: -1, ConfigFile: file})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Shutdown() })
	_, address, _ := strings.Cut(s.URL(), "://")
	return address
}

// tlsFiles are a certificate that nobody trusts and its key.
func tlsFiles(t *testing.T) (certificate, key string) {
	t.Helper()
	s := httptest.NewTLSServer(http.NotFoundHandler())
	s.Close()
	der, err := x509.MarshalPKCS8PrivateKey(s.TLS.Certificates[0].PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	write := func(name, kind string, der []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	return write("cert.pem", "CERTIFICATE", s.Certificate().Raw), write("key.pem", "PRIVATE KEY", der)
}

// silent is an address where somebody takes connections and says nothing.
func silent(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	return listener.Addr().String()
}

// deserted is an address where nobody listens.
func deserted(t *testing.T) string {
	t.Helper()
	ports, err := natsdev.FreePorts(1)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("127.0.0.1:%d", ports[0])
}

// linkCase is a way to get no connection.
type linkCase struct {
	url, reason string
	refused     bool // it does not go on trying
}

func (c linkCase) check(t *testing.T) {
	log := new(workertest.Output)
	settings := &config.Config{NATS: config.NATS{URL: config.NewURL(c.url)}}
	link := New(slog.New(slog.NewJSONHandler(log, nil)), settings.NATS.URL.String())
	ctx, cancel := context.WithCancel(t.Context())
	watched, ended := make(chan struct{}), make(chan error, 1)
	go func() { defer close(watched); _ = link.Watch(ctx) }()
	go func() {
		conn, _, err := link.connect(ctx, settings)
		if err == nil {
			conn.Close()
		}
		ended <- err
	}()
	for !strings.Contains(log.String(), "\n") {
		<-time.After(5 * time.Millisecond)
	}
	down := link.Down()
	if !c.refused {
		cancel()
	}
	err := <-ended
	cancel()
	<-watched
	lines := log.String()
	if strings.Count(lines, "\n") != 1 || !strings.Contains(lines, `"level":"WARN","msg":"nats: cannot connect; trying again"`) || !strings.Contains(lines, c.reason) {
		t.Errorf("the log: %s", lines)
	}
	if !strings.HasPrefix(down, "NATS at ") || !strings.Contains(down, c.reason) && !strings.Contains(c.reason, "cannot connect") {
		t.Errorf("/readyz: %s", down)
	}
	if err == nil || !strings.Contains(err.Error(), c.reason) || c.refused == errors.Is(err, context.Canceled) {
		t.Errorf("the error: %v", err)
	}
	if all := lines + down + fmt.Sprint(err); strings.Contains(all, "pa55") {
		t.Errorf("a password is shown: %s", all)
	}
}

// A failure that is noted only after the connection came back is over at the next look.
func TestNATSLink_AFailureThatIsNotedLate(t *testing.T) {
	t.Parallel()
	log := new(workertest.Output)
	settings := &config.Config{NATS: config.NATS{URL: config.NewURL("nats://" + natsServer(t, ""))}}
	link := New(slog.New(slog.NewTextHandler(log, nil)), settings.NATS.URL.String())
	conn, _, err := link.connect(t.Context(), settings)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	link.failed(nats.ErrStaleConnection)
	link.look()
	link.look()
	link.connected(conn) // what the client tells is not said twice
	lines := log.String()
	if strings.Count(lines, "\n") != 3 || strings.Count(lines, `level=INFO msg="nats: connected"`) != 2 || link.why() != nil {
		t.Errorf("%v, the log: %s", link.why(), lines)
	}
}

// A worker that gets no connection names the server and the reason at once, in one line.
func TestNATSLink_NamesWhyThereIsNoConnection(t *testing.T) {
	t.Parallel()
	web := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(web.Close)
	cert, key := tlsFiles(t)
	plain := natsServer(t, "max_payload: 1MB")
	withTLS := natsServer(t, fmt.Sprintf("tls { cert_file: %q, key_file: %q }", cert, key))
	closed := natsServer(t, "authorization { user: a, password: b }")
	for name, c := range map[string]linkCase{
		"nobody listens":       {"nats://user:pa55@" + deserted(t), "connection refused", false},
		"no such name":         {"nats://user:pa55@nats.invalid:4222", "lookup nats.invalid", false},
		"wrong password":       {"nats://user:pa55@" + closed, "Authorization Violation; are the credentials right?", true},
		"an HTTP server":       {"nats://user:pa55@" + web.Listener.Addr().String(), "are host and port right?", false},
		"a silent server":      {"nats://user:pa55@" + silent(t), "are host and port right?", false},
		"an unknown authority": {"nats://user:pa55@" + withTLS, "give nats.tls.ca_file the certificate of its CA", false},
		"no TLS there":         {"tls://user:pa55@" + plain, "the server has no TLS", false},
		"two servers":          {"nats://user:pa55@" + deserted(t) + ",nats://user:pa55@" + closed, "nats: cannot connect", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c.check(t)
		})
	}
}

// The log has the first line at once, one a minute after that, and one at the end.
func TestNATSLink_OneLineAMinute(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log := new(workertest.Output)
		link := New(slog.New(slog.NewJSONHandler(log, nil)), "nats://n")
		for range 600 {
			link.failed(nats.ErrNoServers)
			bubble.Sleep(time.Second)
		}
		link.connected(&nats.Conn{})
		link.failed(errors.New("EOF"))
		lines := log.String()
		if n := strings.Count(lines, "\n"); n != 10+1+1 || strings.Count(lines, "cannot connect") != 10 ||
			strings.Count(lines, `"msg":"nats: connected"`) != 1 || strings.Count(lines, "nats: connection lost; trying again") != 1 {
			t.Errorf("%d lines: %s", n, lines)
		}
	})
}

// What the server reports again and again, as of each message that may not be sent, is a few lines.
func TestNATSLink_AFloodOfReportsIsAFewLines(t *testing.T) {
	t.Parallel()
	log := new(workertest.Output)
	settings := &config.Config{NATS: config.NATS{User: "a", Password: config.NewSecret("b"), URL: config.NewURL("nats://" + natsServer(t, "authorization { users: [{user: a, password: b, permissions: {publish: {deny: [denied]}}}] }"))}}
	link := New(slog.New(slog.NewTextHandler(log, nil)), settings.NATS.URL.String())
	conn, _, err := link.connect(t.Context(), settings)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	told := make(chan struct{}, 500)
	report := conn.Opts.AsyncErrorCB
	conn.SetErrorHandler(func(c *nats.Conn, s *nats.Subscription, err error) { report(c, s, err); told <- struct{}{} })
	for range cap(told) {
		if err := conn.Publish("denied", nil); err != nil {
			t.Fatal(err)
		}
	}
	for range cap(told) {
		<-told
	}
	if n := strings.Count(log.String(), "the server reported an error"); n == 0 || n > 20 {
		t.Errorf("%d lines: %s", n, log)
	}
}
