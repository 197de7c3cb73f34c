package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/redoxworker/redoxworker/auth"
	"github.com/redoxworker/redoxworker/outbox/natsdev"
	"github.com/redoxworker/redoxworker/worker/redoxsim"
)

// scriptNATS is a script's server and a connection to it from outside.
type scriptNATS struct {
	server *natsdev.Server
	opts   natsdev.Options
	conn   *nats.Conn
	js     jetstream.JetStream
}

func natsServerCmd(ts *testscript.TestScript, neg bool, args []string) {
	plain(ts, "nats-server", neg, true)
	state := stateOf(ts)
	if state.nats == nil {
		dir := ts.MkAbs("jetstream")
		ts.Check(ts.Exec("mkdir", dir))
		state.nats = &scriptNATS{opts: natsdev.Options{Dir: dir, Port: -1}}
		for _, a := range args {
			switch name, value, _ := strings.Cut(a, "="); name {
			case "max_payload":
				state.nats.opts.MaxPayload = int32(scriptInt(ts, value))
			case "config":
				state.nats.opts.ConfigFile = ts.MkAbs(value)
			default:
				ts.Fatalf("unknown option %s", a)
			}
		}
	}
	ts.Check(state.nats.start())
	ts.Setenv("NATS", state.nats.server.URL())
	state.vars = append(state.vars, "NATS="+state.nats.server.URL())
}

func (n *scriptNATS) start() (err error) {
	if n.server, err = natsdev.Start(n.opts); err != nil {
		return err
	}
	n.opts.Port, err = portOf(n.server.URL())
	return err
}

func portOf(address string) (port int, err error) {
	_, err = fmt.Sscanf(address[strings.LastIndex(address, ":"):], ":%d", &port)
	return port, err
}

// stream connects on first use: a server with accounts may not let anybody in.
func (n *scriptNATS) stream(ctx context.Context, name string) (jetstream.Stream, error) {
	if err := n.connect(); err != nil {
		return nil, err
	}
	return n.js.Stream(ctx, name)
}

func (n *scriptNATS) connect() (err error) {
	if n.conn != nil {
		return nil
	}
	if n.conn, err = n.server.Connect(); err != nil {
		return err
	}
	n.js, err = jetstream.New(n.conn)
	return err
}

func (n *scriptNATS) close() {
	if n.conn != nil {
		n.conn.Close()
		n.conn = nil
	}
	_ = n.server.Shutdown() // the script's directory goes anyway
}

func natsStopCmd(ts *testscript.TestScript, neg bool, args []string) {
	plain(ts, "nats-stop", neg, len(args) == 0 && stateOf(ts).nats != nil)
	stateOf(ts).nats.close()
}

func natsPubCmd(ts *testscript.TestScript, neg bool, args []string) {
	plain(ts, "nats-pub", neg, len(args) >= 2 && stateOf(ts).nats != nil)
	n := stateOf(ts).nats
	ts.Check(n.connect())
	m := nats.NewMsg(args[0])
	m.Data = []byte(ts.ReadFile(args[1]))
	for _, h := range args[2:] {
		name, value, _ := strings.Cut(h, ":")
		m.Header.Set(name, value)
	}
	ts.Check(n.conn.PublishMsg(m))
	ts.Check(n.conn.FlushTimeout(scriptPatience))
}

// natsStreamCmd makes a stream of the configuration in a file.
func natsStreamCmd(ts *testscript.TestScript, neg bool, args []string) {
	plain(ts, "nats-stream", neg, len(args) == 1 && stateOf(ts).nats != nil)
	n := stateOf(ts).nats
	ts.Check(n.connect())
	var c jetstream.StreamConfig
	ts.Check(json.Unmarshal([]byte(ts.ReadFile(args[0])), &c))
	ctx, cancel := context.WithTimeout(context.Background(), scriptPatience)
	defer cancel()
	_, err := n.js.CreateStream(ctx, c)
	ts.Check(err)
}

func storedCmd(ts *testscript.TestScript, neg bool, args []string) {
	plain(ts, "stored", neg, len(args) == 2 && stateOf(ts).nats != nil)
	want := uint64(scriptInt(ts, args[1]))
	ctx, cancel := context.WithTimeout(context.Background(), scriptPatience)
	defer cancel()
	poll := time.NewTicker(20 * time.Millisecond)
	defer poll.Stop()
	for {
		stream, err := stateOf(ts).nats.stream(ctx, args[0])
		if err == nil && stream.CachedInfo().State.Msgs == want {
			return
		}
		select {
		case <-poll.C:
		case <-ctx.Done():
			if err == nil {
				err = fmt.Errorf("%s holds %d messages, want %d", args[0], stream.CachedInfo().State.Msgs, want)
			}
			ts.Check(err)
		}
	}
}

// scriptSim is a script's Redox.
type scriptSim struct {
	redox  *redoxsim.Server
	server *httptest.Server
}

func (s *scriptSim) close() {
	s.redox.Release()
	s.server.CloseClientConnections()
	s.server.Close()
}

func simulatorCmd(ts *testscript.TestScript, neg bool, args []string) {
	plain(ts, "simulator", neg, len(args) <= 1 && stateOf(ts).sim == nil)
	redox := &redoxsim.Server{KeepBodies: true}
	if len(args) == 1 {
		ts.Check(redox.SetProfile(args[0]))
	}
	for _, kid := range []string{"main", "next", "stranger", "person"} {
		key, err := auth.GenerateKey(auth.ES384, kid)
		ts.Check(err)
		ts.Check(auth.WriteKeyFile(ts.MkAbs(kid+".pem"), key))
		switch kid {
		case "main", "next":
			ts.Check(redox.AddOAuthKey("client", kid, key.Public()))
		case "person":
			ts.Check(redox.AddUserKey("person", kid, key.Public()))
		}
	}
	redox.AddLegacyKey("legacy", "s3cret")
	state := stateOf(ts)
	state.sim = &scriptSim{redox: redox, server: httptest.NewServer(redox)}
	ts.Setenv("SIM", state.sim.server.URL)
	state.vars = append(state.vars, "SIM="+state.sim.server.URL)
}

// arrivalsCmd waits for what has arrived to be answered: a request is noted before it is taken.
func arrivalsCmd(ts *testscript.TestScript, neg bool, args []string) {
	plain(ts, "arrivals", neg, len(args) == 1 && stateOf(ts).sim != nil)
	want := scriptInt(ts, args[0])
	var taken int
	await(func() bool {
		taken = 0
		for _, a := range stateOf(ts).sim.redox.Arrivals() {
			if a.Path == redoxsim.PathEndpoint && a.Accepted {
				taken++
			}
		}
		return taken >= want
	})
	if taken != want {
		ts.Fatalf("Redox took %d messages, want %d", taken, want)
	}
}

// await waits for something, and reports whether it came about.
func await(there func() bool) bool {
	ctx, cancel := context.WithTimeout(context.Background(), scriptPatience)
	defer cancel()
	poll := time.NewTicker(10 * time.Millisecond)
	defer poll.Stop()
	for !there() {
		select {
		case <-poll.C:
		case <-ctx.Done():
			return false
		}
	}
	return true
}

func takenCmd(ts *testscript.TestScript, neg bool, args []string) {
	plain(ts, "taken", neg, len(args) == 2 && stateOf(ts).sim != nil)
	var body []byte
	for _, a := range stateOf(ts).sim.redox.Arrivals() {
		if a.Path == args[0] && a.Accepted {
			body = a.Body
		}
	}
	if body == nil {
		ts.Fatalf("Redox took nothing at %s", args[0])
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), body, 0o600))
}

func arrivingCmd(ts *testscript.TestScript, neg bool, args []string) {
	plain(ts, "arriving", neg, len(args) == 2 && stateOf(ts).sim != nil)
	want := scriptInt(ts, args[1])
	var seen int
	if !await(func() bool {
		seen = 0
		for _, a := range stateOf(ts).sim.redox.Arrivals() {
			if a.Path == args[0] {
				seen++
			}
		}
		return seen >= want
	}) {
		ts.Fatalf("%d requests to %s, want %d", seen, args[0], want)
	}
}

func logStateCmd(ts *testscript.TestScript, neg bool, args []string) {
	plain(ts, "log-state", neg, len(args) == 2 && stateOf(ts).sim != nil)
	ts.Check(stateOf(ts).sim.redox.SetLog(args[0], redoxsim.LogState(args[1]), 3))
}

func destinationCmd(ts *testscript.TestScript, neg bool, args []string) {
	plain(ts, "destination", neg, len(args) == 2 && stateOf(ts).sim != nil && (args[1] == "fails" || args[1] == "works"))
	stateOf(ts).sim.redox.FailDestination(args[0], args[1] == "fails")
}

// fileCmd writes a file that no compression and no repetition makes small.
func fileCmd(ts *testscript.TestScript, neg bool, args []string) {
	plain(ts, "file", neg, len(args) == 2)
	content := make([]byte, scriptInt(ts, args[1]))
	_, _ = rand.NewChaCha8([32]byte{1}).Read(content) // never fails
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), content, 0o600))
}

func embedCmd(ts *testscript.TestScript, neg bool, args []string) {
	plain(ts, "embed", neg, len(args) == 2)
	text := base64.StdEncoding.EncodeToString([]byte(ts.ReadFile(args[1])))
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(strings.ReplaceAll(ts.ReadFile(args[0]), "@FILE@", text)), 0o600))
}

func httpGetCmd(ts *testscript.TestScript, neg bool, args []string) {
	plain(ts, "http-get", neg, len(args) == 2)
	client := http.Client{Timeout: scriptPatience, Transport: &http.Transport{DisableKeepAlives: true}}
	answer, err := client.Get(args[0])
	ts.Check(err)
	body, err := io.ReadAll(answer.Body)
	ts.Check(errors.Join(err, answer.Body.Close()))
	var header bytes.Buffer
	fmt.Fprintf(&header, "%s\n", answer.Status)
	ts.Check(answer.Header.Write(&header))
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), body, 0o600))
	ts.Check(os.WriteFile(ts.MkAbs(args[1]+".header"), header.Bytes(), 0o600))
}
