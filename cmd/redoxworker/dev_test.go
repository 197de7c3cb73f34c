package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/cmd/redoxworker/internal/cli"
	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/worker/redoxsim"
)

// devProcess is a `redoxworker dev --json` in this process.
type devProcess struct {
	NATS, Redox, Admin, Config, Dir, Organization string

	out, errs *output
	stop      func() int
}

func startDev(t *testing.T, args ...string) *devProcess {
	t.Helper()
	a, out, errs := demoApp(append([]string{"dev", "--json", "--nats-listen", "127.0.0.1:0", "--sim-listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"}, args...)...)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan int, 1)
	go func() { ended <- run(ctx, *a) }()
	p := &devProcess{out: out, errs: errs}
	p.stop = func() int { cancel(); return <-ended }
	(&stage{TB: t}).eventually("dev is ready", func() bool { return strings.Contains(out.String(), `{"event":"ready"}`) }, errs.String)
	first, _, _ := strings.Cut(out.String(), "\n")
	if err := json.Unmarshal([]byte(first), p); err != nil {
		t.Fatalf("%v: %s", err, first)
	}
	return p
}

func TestDev_GatewayAndAdminWorkAndNothingIsLeft(t *testing.T) {
	t.Parallel()
	p := startDev(t)
	conn, err := nats.Connect(p.NATS)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	body, err := sampleFiles.ReadFile("samples/free-slots.json")
	if err != nil {
		t.Fatal(err)
	}
	msg, err := conn.Request("redox.gateway.clinic-b.request", body, 2*time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if r, err := outbox.DecodeReply(msg); err != nil || !r.OK() || !strings.Contains(string(r.Body), "AvailableSlotsResponse") {
		t.Errorf("reply %+v, %v", r, err)
	}
	keyed := &nats.Msg{Subject: "redox.gateway.clinic-a.send", Data: body, Header: nats.Header{"Redox-Order-Key": {"patient 1"}}}
	if msg, err = conn.RequestMsg(keyed, 2*time.Minute); err != nil || !strings.Contains(string(msg.Data), `"stream":"REDOX_OUT"`) {
		t.Errorf("with an order key: %v, %v", msg, err)
	}
	for _, url := range []string{"http://" + p.Admin + "/readyz", p.Redox + "/_sim/stats"} {
		response, err := http.Get(url)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if response.StatusCode != http.StatusOK {
			t.Errorf("%s: %s", url, response.Status)
		}
	}
	if code := p.stop(); code != cli.ExitOK || p.errs.String() != "" {
		t.Errorf("exit %d, stderr %s", code, p.errs)
	}
	if !strings.HasSuffix(p.out.String(), "{\"event\":\"stopped\"}\n") {
		t.Errorf("the end of the output: %s", p.out)
	}
	if _, err := os.Stat(p.Dir); !os.IsNotExist(err) {
		t.Errorf("the temporary directory is left: %v", err)
	}
}

// What is not settled when dev ends is there the next time.
func TestDev_DirKeepsMessages(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	p := startDev(t, "--dir", dir, "--profile", "token-down")
	conn, err := nats.Connect(p.NATS)
	if err != nil {
		t.Fatal(err)
	}
	js, err := jetstream.New(conn)
	if err != nil {
		t.Fatal(err)
	}
	publisher, err := outbox.NewPublisher(js, outbox.PublisherConfig{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := publisher.Publish(t.Context(), outbox.Message{ID: "kept", Source: "clinic-a", Body: admit("kept")}); err != nil {
		t.Fatal(err)
	}
	conn.Close()
	(&stage{TB: t}).eventually("the message waits for a token", func() bool { return strings.Contains(p.out.String(), `"event":"wait","message":"kept"`) }, p.out.String)
	if code := p.stop(); code != cli.ExitOK {
		t.Fatalf("exit %d: %s", code, p.errs)
	}
	p = startDev(t, "--dir", dir)
	(&stage{TB: t}).eventually("the message is delivered", func() bool { return strings.Contains(p.out.String(), `"event":"delivered","message":"kept"`) }, p.out.String)
	if code := p.stop(); code != cli.ExitOK || p.Dir != dir {
		t.Errorf("exit %d, dir %s", code, p.Dir)
	}
}

// A taken port names its flag, whichever it is.
func TestDev_TakenPortNamesTheFlag(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for _, flag := range []string{"--nats-listen", "--sim-listen", "--admin-listen"} {
		args := []string{"dev"}
		for _, f := range []string{"--nats-listen", "--sim-listen", "--admin-listen"} {
			address := "127.0.0.1:0"
			if f == flag {
				address = taken.Addr().String()
			}
			args = append(args, f, address)
		}
		a, out, errs := demoApp(args...)
		code := run(t.Context(), *a)
		if text := errs.String(); code != cli.ExitUsage || out.String() != "" || strings.Count(text, "\n") != 1 ||
			!strings.HasPrefix(text, "redoxworker: "+flag+": listen tcp "+taken.Addr().String()) || !strings.Contains(text, "choose another address") {
			t.Errorf("%s: exit %d, %s", flag, code, text)
		}
	}
}

// A Redox that never answers must not keep dev from ending.
func TestStack_EndsAlthoughRedoxHangs(t *testing.T) {
	t.Parallel()
	a, _, _ := demoApp()
	s, err := newStack(t.Context(), a, stackOptions{natsListen: "127.0.0.1:0", simListen: "127.0.0.1:0", adminListen: "off", profile: "hang",
		logLevel: "error", redox: &redoxsim.Server{}, flags: map[string]any{"worker.drain_timeout": "100ms"}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	publisher, err := outbox.NewPublisher(s.js, outbox.PublisherConfig{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := publisher.Publish(t.Context(), outbox.Message{Source: "clinic-a", Body: admit("stuck")}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- s.run(ctx) }()
	(&stage{TB: t}).eventually("a message hangs", func() bool { return s.sim.redox.Stats().InFlight == 1 })
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if n, err := s.stored(t.Context(), "REDOX_OUT"); err != nil || n != 1 {
		t.Errorf("%d messages in REDOX_OUT, %v: it was handed back", n, err)
	}
	if _, err := s.stored(t.Context(), "REDOX_NONE"); err == nil {
		t.Error("a stream that does not exist holds messages")
	}
}

// A message goes out, its file with it, and the Platform API tells how its delivery stands.
func TestDev_FilesAndLogs(t *testing.T) {
	t.Parallel()
	p := startDev(t, "--set", "redox.offload.enabled=true", "--quota", "50", "--per", "5s")
	file := filepath.Join(t.TempDir(), "media.json")
	content := base64.StdEncoding.EncodeToString(make([]byte, 500_000))
	message := `{"Meta":{"DataModel":"Media","EventType":"New","Destinations":[{"ID":"d"}]},"Media":{"FileContents":"` + content + `"}}`
	if err := os.WriteFile(file, []byte(message), 0o600); err != nil {
		t.Fatal(err)
	}
	command := func(want int, args ...string) string {
		t.Helper()
		a, out, errs := demoApp(append(args, "--config", p.Config)...)
		if code := run(t.Context(), *a); code != want {
			t.Fatalf("%s: exit %d: %s", args[0], code, errs)
		}
		return out.String()
	}
	sent := command(cli.ExitOK, "send", "--source", "clinic-a", "--wait", file)
	var reply struct {
		Meta struct{ Logs []struct{ ID string } }
	}
	if err := json.Unmarshal([]byte(sent), &reply); err != nil || len(reply.Meta.Logs) != 1 {
		t.Fatalf("%v: %s", err, sent)
	}
	id := reply.Meta.Logs[0].ID
	path := "v1/organizations/" + p.Organization + "/logs/" + id
	told := command(cli.ExitOK, "request", "--source", "platform", "--kind", "platform", "--method", "GET", "--path", path)
	if !strings.Contains(told, `"attempts":{"total":1,"latest":{"status":"succeeded"}}`) {
		t.Errorf("the log: %s", told)
	}
	var blobs []redoxsim.Blob
	response, err := http.Get(p.Redox + "/_sim/blobs")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if err := json.NewDecoder(response.Body).Decode(&blobs); err != nil || len(blobs) != 1 || blobs[0].Size != 500_000 || blobs[0].Uses != 1 {
		t.Errorf("files %+v, %v", blobs, err)
	}
	var quota struct{ Quota redoxsim.Quota }
	if response, err = http.Get(p.Redox + "/_sim/quota"); err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if err := json.NewDecoder(response.Body).Decode(&quota); err != nil || quota.Quota != (redoxsim.Quota{Limit: 50, Per: 5 * time.Second}) {
		t.Errorf("%+v, %v", quota, err)
	}
	if code := p.stop(); code != cli.ExitOK {
		t.Errorf("exit %d: %s", code, p.errs)
	}
}

// Each command that dev prints works as it is printed.
func TestDev_PrintedCommandsWork(t *testing.T) {
	t.Parallel()
	a, out, errs := demoApp("dev", "--nats-listen", "127.0.0.1:0", "--sim-listen", "127.0.0.1:0", "--admin-listen", "off")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan int, 1)
	go func() { ended <- run(ctx, *a) }()
	(&stage{TB: t}).eventually("dev is ready", func() bool { return strings.Contains(out.String(), "\nready\n") }, errs.String)
	tried, id := 0, ""
	for line := range strings.Lines(out.String()) {
		_, command, found := strings.Cut(line, "  "+programName()+" ")
		if !found || !strings.HasPrefix(line, "  ") {
			continue
		}
		b, told, why := demoApp(strings.Fields(strings.ReplaceAll(command, "LOG-ID", id))...)
		if code := run(ctx, *b); code != cli.ExitOK {
			t.Errorf("%s: exit %d: %s", command, code, why)
		}
		if _, ids, found := strings.Cut(why.String(), ", log ids "); found {
			id = strings.TrimSpace(ids)
		}
		if tried++; strings.HasPrefix(command, "log ") && !strings.Contains(told.String(), "succeeded") {
			t.Errorf("%s: %s", command, told)
		}
	}
	if tried < 6 {
		t.Errorf("%d commands: %s", tried, out)
	}
	cancel()
	if code := <-ended; code != cli.ExitOK || errs.String() != "" {
		t.Errorf("exit %d, %s", code, errs)
	}
}
