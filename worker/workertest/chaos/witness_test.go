package chaos

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"sync"
	"time"

	"github.com/redoxworker/redoxworker/auth"
	"github.com/redoxworker/redoxworker/worker/redoxsim"
)

const (
	clientID = "chaos-client"
	keyID    = "chaos"
	sourceID = "7ce6f387-c33c-417d-8682-81e83628cbd9"
)

// witness is the simulated Redox. Each worker has an address of its own there, which tells
// whose request it was.
type witness struct {
	sim     *redoxsim.Server
	keyFile string
	servers []*http.Server

	mu    sync.Mutex
	names map[string]string // worker by address
}

func newWitness(dir string, sim *redoxsim.Server) (*witness, error) {
	w := &witness{sim: sim, keyFile: filepath.Join(dir, "key.pem"), names: map[string]string{}}
	key, err := auth.GenerateKey(auth.ES384, keyID)
	if err != nil {
		return nil, err
	}
	sim.ClientIP = w.client
	return w, errors.Join(auth.WriteKeyFile(w.keyFile, key), sim.AddOAuthKey(clientID, keyID, key.Public()))
}

// listen opens the address of a worker and returns its URL.
func (w *witness) listen(worker string) (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.names[l.Addr().String()] = worker
	server := &http.Server{Handler: w.sim, ReadHeaderTimeout: time.Minute}
	w.servers = append(w.servers, server)
	go func() { _ = server.Serve(l) }() // until close
	return fmt.Sprintf("http://%s", l.Addr()), nil
}

// client is the worker at whose address a request came in.
func (w *witness) client(r *http.Request) string {
	local, _ := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	if local == nil {
		return ""
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.names[local.String()]
}

// requests for messages so far.
func (w *witness) requests() []Request {
	var list []Request
	for _, a := range w.sim.Arrivals() {
		if a.Path != redoxsim.PathEndpoint {
			continue
		}
		list = append(list, Request{
			ID: a.Key, Worker: a.Client, Begin: a.Begin, Finish: a.Finish, Start: a.Start, End: a.End,
			Status: a.Status, Accepted: a.Accepted, Broken: breaks(a.Fault),
		})
	}
	return list
}

// breaks reports whether a fault leaves the sender without an answer, or with one that
// says nothing about the message.
func breaks(fault string) bool {
	f, err := redoxsim.ParseFault(fault)
	if err != nil {
		return false
	}
	switch f.Action {
	case redoxsim.Reset, redoxsim.ResetEarly, redoxsim.Hang:
		return true
	}
	return f.Status == http.StatusGatewayTimeout
}

func (w *witness) close() {
	w.sim.Release()
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, s := range w.servers {
		_ = s.Close()
	}
}
