package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/auth"
	"github.com/redoxworker/redoxworker/cmd/redoxworker/internal/cli"
	"github.com/redoxworker/redoxworker/outbox/topology"
	"github.com/redoxworker/redoxworker/worker/redoxsim"
)

// rig is what a measurement stands on: a directory with keys and a worker's configuration, the
// driver's connection to NATS, and child processes, with a simulated Redox among them where one is started.
type rig struct {
	app    *cli.App
	dir    string
	config string              // file
	keys   map[string]auth.Key // by client id
	conn   *nats.Conn
	js     jetstream.JetStream
	sim    string // URL
	http   http.Client

	stops []func() error // what end stops, the last one first
}

// sharedKey is the client id of the key of all sources that have none of their own.
const sharedKey = "main"

// newRig makes the directory, with the keys of these clients. The caller ends it.
func newRig(a *cli.App, clients ...string) (*rig, error) {
	dir, err := os.MkdirTemp("", "redoxworker-bench-")
	if err != nil {
		return nil, err
	}
	r := &rig{app: a, dir: dir, config: filepath.Join(dir, "redoxworker.yaml"), keys: map[string]auth.Key{},
		stops: []func() error{func() error { return os.RemoveAll(dir) }}}
	for _, client := range clients {
		key, err := auth.GenerateKey(auth.ES384, client)
		if err == nil {
			err = auth.WriteKeyFile(r.keyFile(client), key)
		}
		if err != nil {
			return nil, errors.Join(err, r.end())
		}
		r.keys[client] = key
	}
	return r, nil
}

func (r *rig) keyFile(client string) string { return filepath.Join(r.dir, client+".pem") }

// end stops everything.
func (r *rig) end() (err error) {
	for len(r.stops) > 0 {
		n := len(r.stops) - 1
		err, r.stops = errors.Join(err, r.stops[n]()), r.stops[:n]
	}
	return err
}

// start starts this program in a role, until the end of the rig.
func (r *rig) start(ctx context.Context, role processRole, args ...string) (*process, error) {
	p, err := startRole(ctx, r.app, role, args...)
	if err == nil {
		r.stops = append(r.stops, p.stop)
	}
	return p, err
}

// startStand starts NATS and the stand-in for Redox, which takes so long to answer.
func (r *rig) startStand(ctx context.Context, latency time.Duration) (at standAddresses, err error) {
	stand, err := r.start(ctx, roleStand, "--latency", latency.String())
	if err != nil {
		return at, err
	}
	err = stand.line(&at)
	return at, err
}

// startSim starts the simulated Redox, which takes so long to answer, and makes the keys known to it.
func (r *rig) startSim(ctx context.Context, latency time.Duration) error {
	sim, err := r.start(ctx, roleSim)
	if err != nil {
		return err
	}
	var at struct {
		URL string `json:"url"`
	}
	if err := sim.line(&at); err != nil {
		return err
	}
	r.sim = at.URL
	for client := range r.keys {
		if err := r.allow(ctx, client); err != nil {
			return err
		}
	}
	return r.answerIn(ctx, latency)
}

// connect opens the driver's connection, which outlives a restart of the server.
func (r *rig) connect(ctx context.Context, address string, streams topology.Topology) (err error) {
	if r.conn, err = nats.Connect(address, nats.MaxReconnects(-1), nats.ReconnectWait(10*time.Millisecond), nats.ReconnectJitter(0, 0)); err != nil {
		return err
	}
	r.stops = append(r.stops, func() error { r.conn.Close(); return nil })
	if r.js, err = jetstream.New(r.conn, jetstream.WithPublishAsyncMaxPending(1000)); err != nil {
		return err
	}
	_, err = streams.Ensure(ctx, r.js)
	return err
}

// configure writes the worker's configuration as a user would: what the further lines do not name is at
// its default.
func (r *rig) configure(server, redox, sources string, further ...string) error {
	var text strings.Builder
	fmt.Fprintf(&text, "nats: {url: %q}\nredox: {base_url: %q, blob_url: %q}\nkeys:\n", server, redox, redox)
	for _, client := range slices.Sorted(maps.Keys(r.keys)) {
		fmt.Fprintf(&text, "  %s: {client_id: %s, kid: %s, private_key_file: %q}\n", client, client, client, r.keyFile(client))
	}
	if sources != "" {
		text.WriteString("sources:\n" + sources)
	}
	text.WriteString("log: {format: json}\n" + strings.Join(further, "\n") + "\n")
	return cli.ReplaceFile(r.config, []byte(text.String()))
}

// sourceLine configures a source with a key.
func sourceLine(n int, key string) string {
	return fmt.Sprintf("  %s: {id: %s, key: %s}\n", sourceName(n), sourceID(n), key)
}

// sourceLines configure n sources with the shared key.
func sourceLines(n int) string {
	var lines strings.Builder
	for i := range n {
		lines.WriteString(sourceLine(i, sharedKey))
	}
	return lines.String()
}

// noQuota is a line of the configuration: the raw loop keeps to none either.
const noQuota = "quota: {scope: none}"

// stream is the state of a stream.
func (r *rig) stream(ctx context.Context, name string) (state jetstream.StreamState, err error) {
	stream, err := r.js.Stream(ctx, name)
	if err != nil {
		return state, err
	}
	return stream.CachedInfo().State, nil
}

// allow has the simulator accept a key.
func (r *rig) allow(ctx context.Context, client string) error {
	set, err := auth.JWKS(r.keys[client])
	if err != nil {
		return err
	}
	_, err = r.ask(ctx, http.MethodPost, "keys?client_id="+client, json.RawMessage(set))
	return err
}

// answerIn has the simulator take so long to answer.
func (r *rig) answerIn(ctx context.Context, latency time.Duration) error {
	_, err := r.ask(ctx, http.MethodPost, "load", redoxsim.Load{Base: latency})
	return err
}

// ask sends a request to the routes of the simulator itself.
func (r *rig) ask(ctx context.Context, method, route string, body any) ([]byte, error) {
	text, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	request, err := http.NewRequestWithContext(ctx, method, r.sim+redoxsim.PathAdmin+route, bytes.NewReader(text))
	if err != nil {
		return nil, err
	}
	response, err := r.http.Do(request)
	if err != nil {
		return nil, err
	}
	answer, err := io.ReadAll(response.Body)
	err = errors.Join(err, response.Body.Close())
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("bench: the simulator answered %s %s with %s: %s", method, route, response.Status, answer)
	}
	return answer, err
}
