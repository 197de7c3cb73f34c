package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"maps"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/worker/redoxsim"
)

// pair writes a certificate that is its own authority, and its key.
func pair(t *testing.T, name, certFile, keyFile string) *x509.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{keyFile: {Type: "PRIVATE KEY", Bytes: private}, certFile: {Type: "CERTIFICATE", Bytes: cert}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	leaf, err := x509.ParseCertificate(cert)
	if err != nil {
		t.Fatal(err)
	}
	return leaf
}

// gate is a gateway in front of Redox that counts requests by their path.
type gate struct {
	mu    sync.Mutex
	asked map[string]int
}

// start serves with TLS, writes the certificate of the gate to the file ca, and answers its URL.
func (g *gate) start(t *testing.T, behind http.Handler, config *tls.Config, ca string) string {
	t.Helper()
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		g.mu.Lock()
		g.asked[r.URL.Path]++
		g.mu.Unlock()
		behind.ServeHTTP(w, r)
	}))
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.TLS = config
	server.StartTLS()
	t.Cleanup(server.Close)
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	return server.URL
}

func (g *gate) paths() map[string]int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return maps.Clone(g.asked)
}

// A gateway in front of Redox that wants a client certificate: with one that it does not know
// nothing is sent and messages wait, and once the files hold another everything goes through
// it, whatever its URL.
func TestRun_ClientCertificate(t *testing.T) {
	t.Parallel()
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		t.Run(tls.VersionName(version), func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			cert, key, ca := filepath.Join(dir, "client.pem"), filepath.Join(dir, "client.key"), filepath.Join(dir, "ca.pem")
			known := pair(t, "known", cert+".known", key+".known")
			pair(t, "stranger", cert, key)
			clients := x509.NewCertPool()
			clients.AddCert(known)

			sim := &redoxsim.Server{}
			gate := &gate{asked: map[string]int{}}
			server := gate.start(t, sim, &tls.Config{ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: clients, MinVersion: version, MaxVersion: version}, ca)

			s := newStage(t, sim, "")
			s.sim.AddSource(redoxsim.Source{ID: sourceID})
			s.addLegacy("clinic-old", "api-key-1", sourceC)
			s.reconfigure("redox: {base_url: ", fmt.Sprintf("redox: {blob_url: %q, ca_file: %q, client_cert_file: %q, client_key_file: %q, base_url: ", server, ca, cert, key))
			s.reconfigure(fmt.Sprintf("base_url: %q", s.far), fmt.Sprintf("base_url: %q", server))
			r := s.run()
			for id, m := range map[string]outbox.Message{
				"model": {Source: "clinic-a", Body: admit("x")}, "old": {Source: "clinic-old", Body: admit("y")},
				"file": {Source: "clinic-a", Kind: outbox.KindFile, ContentType: "application/pdf", Body: []byte("%PDF-1.7")},
			} {
				m.ID, m.ReplyTo = id, "redox.reply."+m.Source+"."+id
				if _, err := s.publisher().Publish(t.Context(), m); err != nil {
					t.Fatal(err)
				}
			}
			s.eventually("the refusal is named", func() bool { return strings.Contains(r.err.String(), "certificate") }, r.err.String)
			if asked := gate.paths(); len(asked) != 0 {
				t.Errorf("requests arrived: %v", asked)
			}

			for _, file := range []string{key, cert} {
				if err := os.Rename(file+".known", file); err != nil {
					t.Fatal(err)
				}
			}
			for _, id := range []string{"model", "old", "file"} {
				source := "clinic-a"
				if id == "old" {
					source = "clinic-old"
				}
				reply, err := s.publisher().Await(t.Context(), "redox.reply."+source+"."+id)
				if err != nil || !reply.OK() || reply.Attempts != 1 {
					t.Errorf("%s: %+v %v", id, reply, err)
				}
			}
			asked := gate.paths()
			for _, path := range []string{"/endpoint", "/upload", "/v2/auth/token", "/auth/authenticate"} {
				if asked[path] == 0 {
					t.Errorf("nothing arrived at %s: %v", path, asked)
				}
			}
		})
	}
}
