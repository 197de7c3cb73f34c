package service_test

import (
	"context"
	"errors"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/auth"
	"github.com/redoxworker/redoxworker/config"
	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/outbox/natsdev"
	"github.com/redoxworker/redoxworker/worker/redoxsim"
	"github.com/redoxworker/redoxworker/worker/service"
)

// world is what a service works in: a NATS server, a simulated Redox that knows its key, and a
// configuration file.
type world struct {
	dir  string
	nats *natsdev.Server
	sim  *redoxsim.Server
	far  *httptest.Server
	file string
	// conn and js are an application's own.
	conn *nats.Conn
	js   jetstream.JetStream
}

const (
	clinicA = "7ce6f387-c33c-417d-8682-81e83628cbd9"
	clinicB = "1f8c54c4-4b1b-4a3f-9f6f-0d8f3e2b7c11"
	clinicC = "a0d2c7de-54a1-4f0c-8a39-3c5a1b0f7e42"
)

// newWorld starts one. sources is their section of the configuration file, extra what comes
// after it.
func newWorld(sim *redoxsim.Server, sources, extra string) (w *world, err error) {
	w = &world{sim: sim}
	defer func() {
		if err != nil {
			w.close()
		}
	}()
	if w.dir, err = os.MkdirTemp("", "redoxworker-service-"); err != nil {
		return w, err
	}
	if w.nats, err = natsdev.Start(natsdev.Options{Dir: filepath.Join(w.dir, "nats"), Port: -1}); err != nil {
		return w, err
	}
	if w.conn, err = nats.Connect(w.nats.URL(), nats.MaxReconnects(-1)); err != nil {
		return w, err
	}
	if w.js, err = jetstream.New(w.conn); err != nil {
		return w, err
	}
	w.far = httptest.NewServer(sim)
	key, err := auth.GenerateKey(auth.ES384, "k1")
	if err != nil {
		return w, err
	}
	w.file = filepath.Join(w.dir, "redoxworker.yaml")
	text := fmt.Sprintf(`
nats: {url: %q}
redox: {base_url: %q}
keys:
  main: {client_id: a-client, kid: k1, private_key_file: key.pem}
sources: {%s}
admin: {listen: "off"}
%s`, w.nats.URL(), w.far.URL, sources, extra)
	return w, errors.Join(sim.AddOAuthKey("a-client", "k1", key.Public()),
		auth.WriteKeyFile(filepath.Join(w.dir, "key.pem"), key), os.WriteFile(w.file, []byte(text), 0o600))
}

// configure reads the configuration file, with settings that go before it.
func (w *world) configure(flags map[string]any) (config.Config, error) {
	c, err := config.Load(config.Options{File: w.file, Flags: flags})
	if err != nil {
		return config.Config{}, err
	}
	return *c, nil
}

// provision makes the streams, for who publishes before a service has made them.
func (w *world) provision(c config.Config) error {
	_, err := service.Topology(&c).Ensure(context.Background(), w.js)
	return err
}

// admit is the body of a SEND.
func admit(patient string) []byte {
	return fmt.Appendf(nil, `{"Meta":{"DataModel":"PatientAdmin","EventType":"NewPatient","Destinations":[{"ID":"hospital"}]},
		"Patient":{"Identifiers":[{"ID":%q,"IDType":"MRN"}],"Demographics":{"LastName":"Doe"}}}`, patient)
}

// publisher under the prefix of a queue; "" is the usual one.
func (w *world) publisher(prefix contract.Prefix) (*outbox.Publisher, error) {
	return outbox.NewPublisher(w.js, outbox.PublisherConfig{Prefix: prefix})
}

// check ends an example that cannot go on.
func check(err error) {
	if err != nil {
		panic(err)
	}
}

func (w *world) close() {
	if w.far != nil {
		w.sim.Release()
		w.far.Close()
	}
	if w.conn != nil {
		w.conn.Close()
	}
	if w.nats != nil {
		_ = w.nats.Shutdown()
	}
	_ = os.RemoveAll(w.dir)
}
