package main

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/worker/redoxsim"
)

func TestRun_SendAndRequestEndToEnd(t *testing.T) {
	t.Parallel()
	s := newStage(t, &redoxsim.Server{KeepBodies: true}, "")
	r := s.run()
	p := s.publisher()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()

	reply, err := p.Request(ctx, outbox.Message{Source: "clinic-a", Lane: contract.LaneSend, Body: admit("one")})
	if err != nil {
		t.Fatal(err)
	}
	if !reply.OK() || reply.Status != 200 || len(reply.LogIDs) == 0 || !json.Valid(reply.Body) {
		t.Errorf("reply %+v", reply)
	}
	durable, err := p.Request(ctx, outbox.Message{Source: "clinic-a", Lane: contract.LaneSend, ReplyTo: "redox.reply.clinic-a.two", OrderKey: "patient", Body: admit("two")})
	if err != nil || !durable.OK() {
		t.Errorf("durable reply %+v, %v", durable, err)
	}
	if again, err := p.Await(ctx, "redox.reply.clinic-a.two"); err != nil || again.MessageID != durable.MessageID {
		t.Errorf("reading the stored reply again: %+v, %v", again, err)
	}
	s.drained()
	arrivals := s.messages()
	if len(arrivals) != 2 {
		t.Fatalf("%d arrivals", len(arrivals))
	}
	for _, a := range arrivals {
		if a.Status != 200 || a.HeaderSource != sourceID || a.BodySource != sourceID || !a.TokenValid {
			t.Errorf("arrival %+v", a)
		}
	}
	if code := r.stop(); code != 0 || r.out.String() != "" {
		t.Errorf("exit %d, stdout %q", code, r.out.String())
	}
}

// The gateway, with plain NATS requests.
func TestRun_Gateway(t *testing.T) {
	t.Parallel()
	s := newStage(t, &redoxsim.Server{}, "")
	s.run()
	conn := s.js.Conn()
	ask := func(subject string, body []byte, header nats.Header) *nats.Msg {
		t.Helper()
		msg, err := conn.RequestMsg(&nats.Msg{Subject: subject, Data: body, Header: header}, 2*time.Minute)
		if err != nil {
			t.Fatalf("%s: %v", subject, err)
		}
		return msg
	}
	var receipt outbox.Receipt
	msg := ask("redox.gateway.clinic-a.send", admit("one"), nats.Header{"Nats-Msg-Id": {"g-1"}, "Redox-Order-Key": {"patient 1"}, "Nats-Rollup": {"all"}})
	if err := json.Unmarshal(msg.Data, &receipt); err != nil || receipt.ID != "g-1" || receipt.Stream != "REDOX_OUT" || receipt.Duplicate {
		t.Errorf("receipt %s, %v", msg.Data, err)
	}
	if msg = ask("redox.gateway.clinic-a.send", admit("one"), nats.Header{"Nats-Msg-Id": {"g-1"}, "Redox-Order-Key": {"patient 1"}}); !strings.Contains(string(msg.Data), `"duplicate":true`) {
		t.Errorf("second receipt %s", msg.Data)
	}
	query := []byte(`{"Meta":{"DataModel":"PatientSearch","EventType":"Query","Test":true,"Destinations":[{"ID":"af394f14-b34a-464f-8d24-895f370af4c9"}]},"Patient":{"Demographics":{"FirstName":"Timothy"}}}`)
	reply, err := outbox.DecodeReply(ask("redox.gateway.clinic-a.request", query, nil))
	if err != nil || !reply.OK() || !strings.Contains(string(reply.Body), `"Patient"`) {
		t.Errorf("reply %+v, %v", reply, err)
	}
	msg = ask("redox.gateway.clinic-a.send", admit("x"), nats.Header{"Redox-Path": {"/../x"}})
	if msg.Header.Get("Nats-Service-Error-Code") != "400" {
		t.Errorf("a broken contract was answered with %v", msg.Header)
	}
	s.drained()
	if n := len(s.messages()); n != 2 {
		t.Errorf("%d arrivals, want 2", n)
	}
}

// Every sample arrives exactly once, its bytes unchanged but for the inserted Source ID.
func TestRun_SamplesArriveUnchanged(t *testing.T) {
	t.Parallel()
	files, _ := filepath.Glob("../../../shared/samples/*.json") // where the folder is there
	local, _ := filepath.Glob("internal/devstack/samples/*.json")
	files = append(files, local...)
	s := newStage(t, &redoxsim.Server{KeepBodies: true, AnyDataModel: true}, "worker: {retry: {initial: 200ms}}")
	s.run()
	p := s.publisher()
	want := map[string]bool{}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	for _, file := range files {
		body, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var parsed struct {
			Meta struct {
				DataModel, EventType string
				Destinations         []struct{ ID string }
			}
		}
		if err := json.Unmarshal(body, &parsed); err != nil || parsed.Meta.DataModel == "" || len(parsed.Meta.Destinations) == 0 {
			continue // an answer, not an event or a query
		}
		name := filepath.Base(file)
		m := outbox.Message{ID: name, Source: "clinic-a", Lane: contract.LaneSend, Body: body}
		if redoxsim.IsQuery(parsed.Meta.DataModel, parsed.Meta.EventType) {
			m.Lane = contract.LaneRequest
			if len(parsed.Meta.Destinations) != 1 {
				continue
			}
		}
		if len(want)%2 == 1 {
			m.ReplyTo = "redox.reply.clinic-a." + strings.TrimSuffix(name, ".json")
		}
		reply, err := p.Request(ctx, m)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if reply.Settlement != outbox.Delivered {
			t.Errorf("%s: settled %s: %s", name, reply.Settlement, reply.Error)
		}
		want[name] = true
		last := s.messages()[len(s.messages())-1]
		if !sameButForSource(body, last.Body) {
			t.Errorf("%s: the bytes that arrived differ by more than the Source ID", name)
		}
	}
	s.drained()
	if n := len(s.messages()); n != len(want) || len(local) > 0 && n == 0 {
		t.Errorf("%d arrivals for %d messages", n, len(want))
	}
	if n := s.queued("REDOX_DLQ"); n != 0 {
		t.Errorf("%d dead letters", n)
	}
}

// sameButForSource reports whether got is sent with one insertion, at most, of the ID.
func sameButForSource(sent, got []byte) bool {
	if sha256.Sum256(sent) == sha256.Sum256(got) {
		return true
	}
	extra := len(got) - len(sent)
	if extra <= 0 {
		return false
	}
	i := 0
	for i < len(sent) && sent[i] == got[i] {
		i++
	}
	// The common prefix may run into the insertion; try every cut before it.
	for ; i >= 0; i-- {
		if string(sent[i:]) == string(got[i+extra:]) {
			return strings.Contains(string(got[i:i+extra]), sourceID)
		}
	}
	return false
}

func TestRun_RevokedTokensCostOneNewToken(t *testing.T) {
	t.Parallel()
	var gate sync.WaitGroup
	gate.Add(1)
	var once sync.Once
	sim := &redoxsim.Server{}
	var arrived sync.WaitGroup
	arrived.Add(64)
	var first sync.Map
	sim.Fault = func(r redoxsim.Request) *redoxsim.Fault {
		if r.Path != "/endpoint" {
			return nil
		}
		if _, again := first.LoadOrStore(r.Key, true); !again {
			arrived.Done()
			gate.Wait() // all 64 are under way with the old token
		}
		return nil
	}
	s := newStage(t, sim, "")
	s.run()
	p := s.publisher()
	for i := range 64 {
		if _, err := p.Publish(t.Context(), outbox.Message{Source: "clinic-a", Body: admit(fmt.Sprint("m", i))}); err != nil {
			t.Fatal(err)
		}
	}
	arrived.Wait()
	before := s.sim.Stats()
	once.Do(func() { s.sim.RevokeTokens(); gate.Done() })
	s.drained()
	valid := map[string]int{}
	for _, a := range s.messages() {
		if a.TokenValid {
			valid[a.Key]++
		}
	}
	if len(valid) != 64 {
		t.Errorf("%d messages arrived under a valid token, want 64", len(valid))
	}
	for key, n := range valid {
		if n != 1 {
			t.Errorf("%s arrived %d times under a valid token", key, n)
		}
	}
	if after := s.sim.Stats(); after.TokensIssued-before.TokensIssued > 1 {
		t.Errorf("%d new tokens, want one", after.TokensIssued-before.TokensIssued)
	}
	if n := s.queued("REDOX_DLQ"); n != 0 {
		t.Errorf("%d dead letters", n)
	}
}

func TestRun_ShortTokensNeverExpireInFlight(t *testing.T) {
	t.Parallel()
	s := newStage(t, &redoxsim.Server{TokenTTL: 4 * time.Second}, "")
	s.run()
	p := s.publisher()
	const steady = 20 * time.Second
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	n := 0
	for end := time.Now().Add(steady); time.Now().Before(end); n++ {
		if _, err := p.Publish(t.Context(), outbox.Message{Source: "clinic-a", Body: admit(fmt.Sprint("m", n))}); err != nil {
			t.Fatal(err)
		}
		<-ticker.C
	}
	s.drained()
	arrivals := s.messages()
	for _, a := range arrivals {
		if !a.TokenValid {
			t.Errorf("an arrival with a token that was %s", a.Token)
		}
	}
	if len(arrivals) != n {
		t.Errorf("%d arrivals for %d messages", len(arrivals), n)
	}
}

func TestRun_SIGTERMDrains(t *testing.T) {
	t.Parallel()
	drains(t, syscall.SIGTERM)
}

// Without a terminal SIGHUP asks for the configuration to be read again, and ends nothing.
func TestRun_SIGHUPRereads(t *testing.T) {
	t.Parallel()
	hung := make(chan os.Signal, 1)
	signal.Notify(hung, syscall.SIGHUP) // under nohup the worker would ignore it
	defer signal.Stop(hung)
	s := newStage(t, &redoxsim.Server{}, "")
	worker := s.start()
	for range 2 {
		if err := worker.Process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
	}
	s.eventually("it reads the configuration again", func() bool { return strings.Contains(worker.err.String(), "reading the configuration again") })
	if _, err := s.publisher().Publish(t.Context(), outbox.Message{Source: "clinic-a", Body: admit("m")}); err != nil {
		t.Fatal(err)
	}
	s.eventually("it delivers", func() bool { return len(s.messages()) == 1 })
}

// drains sends signals to a worker with requests in flight.
func drains(t *testing.T, signals ...os.Signal) {
	t.Helper()
	s := newStage(t, &redoxsim.Server{Latency: 3 * time.Second}, "")
	worker := s.start()
	p := s.publisher()
	for i := range 20 {
		if _, err := p.Publish(t.Context(), outbox.Message{Source: "clinic-a", Body: admit(fmt.Sprint("m", i))}); err != nil {
			t.Fatal(err)
		}
	}
	s.eventually("20 in flight", func() bool { return len(s.messages()) == 20 })
	for _, sig := range signals {
		if err := worker.Process.Signal(sig); err != nil {
			t.Fatal(err)
		}
		s.eventually("the worker is stopping", func() bool { return strings.Contains(worker.err.String(), "worker stopping") })
	}
	if err := worker.Wait(); err != nil {
		t.Fatalf("exit: %v\n%s", err, worker.err.String())
	}
	if n := s.queued("REDOX_OUT"); n != 0 {
		t.Errorf("%d messages unsettled after the drain", n)
	}
	s.run() // nothing is left for the next worker
	s.drained()
	if n := len(s.messages()); n != 20 {
		t.Errorf("%d arrivals for 20 messages", n)
	}
}

// Nothing of a patient, a token or a key appears in any output, at level debug.
func TestRun_OutputHoldsNothingSecret(t *testing.T) {
	t.Parallel()
	sim := &redoxsim.Server{}
	if err := sim.SetProfile("demo"); err != nil {
		t.Fatal(err)
	}
	sim.KeepBodies = true
	s := newStage(t, sim, "worker: {retry: {initial: 50ms, max_attempts: 4}}")
	worker := s.start()
	p := s.publisher()
	for i := range 30 {
		m := outbox.Message{Source: "clinic-a", Body: admit(fmt.Sprint("MRN-secret-", i)), OrderKey: fmt.Sprint("patient-secret-", i)}
		if i%5 == 0 {
			m.Body = append(m.Body, "} broken"...)
		}
		if _, err := p.Publish(t.Context(), m); err != nil {
			t.Fatal(err)
		}
	}
	s.drained()
	metrics := get(t, "http://"+s.admin+"/metrics") + get(t, "http://"+s.admin+"/readyz")
	_ = worker.Process.Signal(syscall.SIGTERM)
	_ = worker.Wait()
	all := worker.out.String() + worker.err.String() + metrics
	jwk, err := s.key.MarshalJWK()
	if err != nil {
		t.Fatal(err)
	}
	var private struct{ D, P string }
	if err := json.Unmarshal(jwk, &private); err != nil || private.D == "" {
		t.Fatalf("no private part to look for: %v", err)
	}
	for _, secret := range []string{"Timothy", "Bixby", "MRN-secret", "patient-secret", "eyJ", "BEGIN", orderSecret, private.D, private.P, "Demographics", "Bearer "} {
		if strings.Contains(all, secret) {
			i := strings.Index(all, secret)
			t.Errorf("output holds %q: …%s…", secret, all[max(0, i-200):min(len(all), i+50)])
		}
	}
	if !strings.Contains(all, "message settled") || !strings.Contains(all, "redoxworker_settled_total") {
		t.Errorf("the output is not what was to be searched:\n%s", all)
	}
}

func get(t testing.TB, url string) string {
	t.Helper()
	response, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var text strings.Builder
	if _, err := fmt.Fprint(&text, response.Status); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 1<<20)
	for {
		n, err := response.Body.Read(buf)
		text.Write(buf[:n])
		if err != nil {
			return text.String()
		}
	}
}
