package chaos

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/natsdev"
)

// Under hold a message whose outcome is unknown is sent exactly once. It ends as a dead
// letter that says what is known, and its reply says held.
func TestHold_ExactlyOneRequest(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		faults string
		kill   func(*Bench, *testing.T)
		says   string
	}{
		"reset":                {faults: "reset", says: "outcome is unknown"},
		"reset after taking":   {faults: "accept reset", says: "outcome is unknown"},
		"hang":                 {faults: "hang", says: "no answer within redox.timeout"},
		"504":                  {faults: "504", says: "outcome is unknown"},
		"500":                  {faults: "500", says: "could not take it"},
		"worker killed":        {faults: "delay=30s", kill: (*Bench).killWorker, says: "a worker stopped between sending"},
		"nats-server killed":   {faults: "accept delay=1500ms reset", kill: (*Bench).killServer, says: "outcome is unknown"},
		"killed, then restart": {faults: "accept hang", kill: (*Bench).killBoth, says: "a worker stopped between sending"},
	} {
		for _, key := range []string{"", "patient"} {
			t.Run(strings.TrimSpace(name+" "+key), func(t *testing.T) {
				t.Parallel()
				b := bench(t, Config{Workers: 1, AckWait: 3 * time.Second, Timeout: 2 * time.Second})
				ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
				defer cancel()
				must(t, b.Start(0))
				must(t, b.Publish(ctx, Sending{ID: "m", Key: key, Hold: true, Reply: true, Faults: always(c.faults), Dies: outbox.Held}))
				must(t, b.Arrived("m"))
				if c.kill != nil {
					c.kill(b, t)
				}
				must(t, b.Drained(ctx, time.Minute))
				must(t, b.StopAll())
				heldOnce(t, verify(t, b, ctx), c.says)
				if t.Failed() {
					t.Log(b.Logs(1500))
				}
			})
		}
	}
}

func heldOnce(t *testing.T, r Record, says string) {
	t.Helper()
	if n := len(r.Requests); n != 1 {
		t.Errorf("%d requests", n)
	}
	if len(r.Dead) != 1 || r.Dead[0].Settlement != outbox.Held || !strings.Contains(r.Dead[0].Error, says) {
		t.Errorf("dead letters %+v, want one that says %q", r.Dead, says)
	}
	if len(r.Replies) != 1 || r.Replies[0].Settlement != outbox.Held {
		t.Errorf("replies %+v, want one that says held", r.Replies)
	}
}

func (b *Bench) killWorker(t *testing.T) {
	must(t, b.strike(t.Context(), Event{Fault: Kill, For: 10 * time.Millisecond}))
}

func (b *Bench) killServer(t *testing.T) {
	must(t, b.strike(t.Context(), Event{Fault: Kill, NATS: true, For: 10 * time.Millisecond}))
}

func (b *Bench) killBoth(t *testing.T) {
	b.killServer(t)
	b.killWorker(t)
}

// What surely was not sent is not unknown: the message waits until the address can be
// reached, and is then sent once.
func TestHold_NoConnectionIsNotUnknown(t *testing.T) {
	t.Parallel()
	address := freeAddress(t)
	b := bench(t, Config{Workers: 1, AckWait: time.Second, BaseURL: "http://" + address})
	waitsAndIsSent(t, b, func() {
		l, err := net.Listen("tcp", address)
		must(t, err)
		serve(t, b, l)
	})
}

// A handshake that is refused is none either.
func TestHold_RefusedTLSIsNotUnknown(t *testing.T) {
	t.Parallel()
	trusted, file := newAuthority(t)
	stranger, _ := newAuthority(t)
	var good atomic.Bool
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
		if good.Load() {
			return trusted, nil
		}
		return stranger, nil
	}})
	must(t, err)
	b := bench(t, Config{Workers: 1, AckWait: time.Second, BaseURL: "https://" + l.Addr().String(), CAFile: file})
	serve(t, b, l)
	waitsAndIsSent(t, b, func() { good.Store(true) })
}

// waitsAndIsSent sees a message under hold fail to be sent, mends that, and sees it sent.
func waitsAndIsSent(t *testing.T, b *Bench, mend func()) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	must(t, b.Start(0))
	must(t, b.Publish(ctx, Sending{ID: "m", Hold: true, Reply: true}))
	must(t, b.Publish(ctx, Sending{ID: "n", Key: "patient", Hold: true, Reply: true}))
	must(t, eventually(2*time.Minute, "a second try", func() bool {
		return strings.Count(b.workers[0].tail(1<<20), "message waits; not counted as an attempt") >= 2
	}))
	mend()
	must(t, b.Drained(ctx, time.Minute))
	must(t, b.StopAll())
	r := verify(t, b, ctx)
	if len(r.Requests) != 2 || len(r.Dead) != 0 {
		t.Errorf("%d requests and %d dead letters for two messages\n%s", len(r.Requests), len(r.Dead), b.Logs(1500))
	}
}

func freeAddress(t *testing.T) string {
	t.Helper()
	ports, err := natsdev.FreePorts(1)
	must(t, err)
	return fmt.Sprintf("127.0.0.1:%d", ports[0])
}

// serve the simulated Redox at one more address.
func serve(t *testing.T, b *Bench, l net.Listener) {
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { b.witness.sim.ServeHTTP(w, r) })}
	go func() { _ = server.Serve(l) }()
	t.Cleanup(func() { _ = server.Close() })
}

// newAuthority is a certificate for 127.0.0.1 that is its own authority, and its file.
func newAuthority(t *testing.T) (*tls.Certificate, string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "chaos"}, IsCA: true, BasicConstraintsValid: true,
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	must(t, err)
	file := filepath.Join(t.TempDir(), "ca.pem")
	must(t, os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, file
}
