package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/auth"
	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/worker"
	"github.com/redoxworker/redoxworker/worker/redoxsim"
	"github.com/redoxworker/redoxworker/worker/service"
)

// tokensDown makes the endpoints that give tokens answer 503.
func (s *stage) tokensDown() {
	s.Helper()
	if err := s.sim.SetProfile("token-down"); err != nil {
		s.Fatal(err)
	}
}

// publish stores n messages of a source that ask for durable replies, named prefix-0 and
// so on.
func (s *stage) publish(p *outbox.Publisher, source, prefix string, n int) {
	s.Helper()
	for i := range n {
		id := fmt.Sprintf("%s-%d", prefix, i)
		m := outbox.Message{ID: id, Source: source, ReplyTo: "redox.reply." + source + "." + id, Body: admit(id)}
		if i%10 == 0 {
			m.OrderKey = fmt.Sprint("patient ", i%30)
		}
		if _, err := p.Publish(s.Context(), m); err != nil {
			s.Fatal(err)
		}
	}
}

// deliveredAtFirst checks that n messages were settled delivered, each by its first
// attempt, that none was settled otherwise, and that each arrived once.
func (s *stage) deliveredAtFirst(source, prefix string, n int) {
	s.Helper()
	replies := s.replies(source)
	for i := range n {
		id := fmt.Sprintf("%s-%d", prefix, i)
		reply := replies["redox.reply."+source+"."+id]
		if reply.Settlement != outbox.Delivered || reply.Attempts != 1 || reply.Status != http.StatusOK {
			s.Errorf("%s: settled %s with status %d after %d attempts: %s", id, reply.Settlement, reply.Status, reply.Attempts, reply.Error)
		}
	}
	if dead := s.queued("REDOX_DLQ"); dead != 0 {
		s.Errorf("%d dead letters", dead)
	}
	taken := map[string]int{}
	for _, a := range s.messages() {
		if a.Status == http.StatusOK {
			taken[a.Key]++
		}
	}
	for i := range n {
		if id := fmt.Sprintf("%s-%d", prefix, i); taken[id] != 1 {
			s.Errorf("%s was taken %d times", id, taken[id])
		}
	}
}

// replies of a source, by subject.
func (s *stage) replies(source string) map[string]outbox.Reply {
	s.Helper()
	consumer, err := s.js.OrderedConsumer(s.Context(), "REDOX_REPLIES", jetstream.OrderedConsumerConfig{FilterSubjects: []string{"redox.reply." + source + ".>"}})
	if err != nil {
		s.Fatal(err)
	}
	all := map[string]outbox.Reply{}
	for pending := consumer.CachedInfo().NumPending; pending > 0; pending-- {
		msg, err := consumer.Next()
		if err != nil {
			s.Fatal(err)
		}
		if _, twice := all[msg.Subject()]; twice {
			s.Errorf("two replies on %s", msg.Subject())
		}
		if all[msg.Subject()], err = outbox.DecodeReply(&nats.Msg{Subject: msg.Subject(), Header: msg.Headers(), Data: msg.Data()}); err != nil {
			s.Errorf("reply on %s: %v", msg.Subject(), err)
		}
	}
	return all
}

// readyz is the body of the admin listener's /readyz.
func (s *stage) readyz() (status int, body service.Status) {
	s.Helper()
	response, err := http.Get("http://" + s.admin + "/readyz")
	if err != nil {
		s.Fatal(err)
	}
	defer response.Body.Close()
	if err := json.NewDecoder(response.Body).Decode(&body); err != nil {
		s.Fatal(err)
	}
	return response.StatusCode, body
}

// shows reports whether /readyz and /metrics say that a key is, or is not, paused. The
// worker is ready all the same.
func (s *stage) shows(key string, paused bool) bool {
	s.Helper()
	status, body := s.readyz()
	if status != http.StatusOK || !body.Ready {
		s.Errorf("status %d, ready %v: a paused key does not make the worker unready", status, body.Ready)
	}
	held := slices.ContainsFunc(body.Worker.Pauses, func(p worker.Paused) bool { return p.Scope == "key:"+key })
	metrics := get(s, "http://"+s.admin+"/metrics")
	gauge := func(name string, want bool) bool {
		return strings.Contains(metrics, fmt.Sprintf("%s %d\n", name, map[bool]int{true: 1}[want]))
	}
	usable := gauge(fmt.Sprintf(`redoxworker_auth_usable{key=%q}`, key), !paused)
	gate := gauge(fmt.Sprintf(`redoxworker_paused{kind="key",scope="key:%s"}`, key), paused) || !paused && !strings.Contains(metrics, `scope="key:`+key)
	state := body.Keys[key]
	if len(state.Sources) != 1 || state.Type == "" {
		s.Errorf("key %s shows type %q and sources %q", key, state.Type, state.Sources)
	}
	return held == paused && state.Paused == paused && usable && gate && state.Usable == !paused && (state.Error != "") == paused
}

// logged counts the log lines of a level that hold all of texts.
func logged(log string, level string, texts ...string) int {
	n := 0
	for line := range strings.Lines(log) {
		if strings.Contains(line, `"level":"`+level+`"`) && !slices.ContainsFunc(texts, func(text string) bool { return !strings.Contains(line, text) }) {
			n++
		}
	}
	return n
}

// probedInVain waits until a key was found twice in a row to have no token: when it was paused, and
// by the probe at the end of that pause.
func (s *stage) probedInVain(key string, r *inProcess) {
	s.Helper()
	s.eventually("a probe of key "+key+" was in vain", func() bool {
		_, body := s.readyz()
		return slices.ContainsFunc(body.Worker.Pauses, func(p worker.Paused) bool { return p.Scope == "key:"+key && p.Failures >= 2 })
	}, r.err.String)
}

// Every way of having tokens, in one worker that starts during the outage.
func TestRun_TokenEndpointDownAtTheStart(t *testing.T) {
	t.Parallel()
	const each = 200
	s := newStage(t, &redoxsim.Server{}, "")
	sources := map[string]string{"clinic-a": "main", "clinic-pool": "pool", "clinic-each": "each", "clinic-old": "key-of-clinic-old"}
	for name, option := range map[string]string{"pool": "pool: 4", "each": "mode: per-request"} {
		key := s.generate(name)
		s.addKey(name, name+"-client", key)
		s.reconfigure(name+": {client_id: ", name+": {"+option+", client_id: ")
		if err := s.sim.AddOAuthKey(name+"-client", name, key.Public()); err != nil {
			t.Fatal(err)
		}
	}
	s.addSource("clinic-pool", sourceB, "pool")
	s.addSource("clinic-each", sourceD, "each")
	s.addLegacy("clinic-old", "api-key-1", sourceC)
	for _, id := range []string{sourceID, sourceB, sourceD} {
		s.sim.AddSource(redoxsim.Source{ID: id})
	}
	s.tokensDown()
	r := s.run()
	p := s.publisher()
	for source := range sources {
		s.publish(p, source, source, each)
	}
	for source, key := range sources {
		s.eventually("the pause of "+source+" shows", func() bool { return s.shows(key, true) }, r.err.String)
	}
	if n := len(s.messages()); n != 0 {
		t.Errorf("%d messages were sent without a token", n)
	}
	for _, key := range sources {
		s.probedInVain(key, r)
	}
	s.sim.SetRules()
	s.drained(r.err.String)
	for source, key := range sources {
		s.deliveredAtFirst(source, source, each)
		s.eventually("the end of the pause of "+source+" shows", func() bool { return s.shows(key, false) }, r.err.String)
		s.changesLogged(r, key, 1)
	}
}

func TestRun_TokenEndpointDownMidRun(t *testing.T) {
	t.Parallel()
	s := newStage(t, &redoxsim.Server{TokenTTL: 4 * time.Second}, "")
	r := s.run()
	p := s.publisher()
	s.publish(p, "clinic-a", "before", 20)
	s.drained(r.err.String)
	s.tokensDown()
	s.eventually("the last token has ended", func() bool { _, body := s.readyz(); return !body.Keys["main"].Usable }, r.err.String)
	s.publish(p, "clinic-a", "m", 200)
	s.eventually("the pause shows", func() bool { return s.shows("main", true) }, r.err.String)
	s.probedInVain("main", r)
	s.sim.SetRules()
	s.drained(r.err.String)
	s.deliveredAtFirst("clinic-a", "before", 20)
	s.deliveredAtFirst("clinic-a", "m", 200)
	s.eventually("the end of the pause shows", func() bool { return s.shows("main", false) }, r.err.String)
	s.changesLogged(r, "main", 1)
}

// changesLogged checks that each change of a key's state made one line: the end of its
// tokens and their return, the pause of its sources and its end.
func (s *stage) changesLogged(r *inProcess, key string, times int) {
	s.Helper()
	for _, line := range []struct {
		level string
		texts []string
	}{
		{"ERROR", []string{"there is no token", `"key":"` + key + `"`}},
		{"INFO", []string{"tokens can be had again", `"key":"` + key + `"`}},
		{"WARN", []string{`"msg":"paused: `, `"scope":"key:` + key + `"`}}, // not "still paused", each minute
		{"INFO", []string{"resumed", `"scope":"key:` + key + `"`}},
	} {
		if n := logged(r.err.String(), line.level, line.texts...); n != times {
			s.Errorf("%d lines of %s say %q, want %d", n, line.level, line.texts, times)
		}
	}
}

// Two keys, one that Redox does not know: the sources of the other keep flowing, and those
// of the bad one lose nothing and start when it is registered.
func TestRun_OneBadKeyHoldsUpItsOwnSourcesOnly(t *testing.T) {
	t.Parallel()
	s := newStage(t, &redoxsim.Server{}, "")
	bad, err := auth.GenerateKey(auth.ES384, "late")
	if err != nil {
		t.Fatal(err)
	}
	s.addKey("late", "client-2", bad)
	s.addSource("clinic-b", "8ce6f387-c33c-417d-8682-81e83628cbd9", "late")
	r := s.run()
	p := s.publisher()
	s.publish(p, "clinic-b", "b", 200)
	s.eventually("the pause shows", func() bool { return s.shows("late", true) && s.shows("main", false) }, r.err.String)
	s.publish(p, "clinic-a", "a", 200)
	s.eventually("the messages of clinic-a are settled", func() bool { return len(s.replies("clinic-a")) == 200 }, r.err.String)
	s.deliveredAtFirst("clinic-a", "a", 200)
	for _, a := range s.messages() {
		if strings.HasPrefix(a.Key, "b-") {
			t.Fatalf("%s was sent with a bad key", a.Key)
		}
	}
	if !s.shows("late", true) || !s.shows("main", false) {
		t.Error("the bad key does not show, or the good one does")
	}
	if err := s.sim.AddOAuthKey("client-2", "late", bad.Public()); err != nil {
		t.Fatal(err)
	}
	s.drained(r.err.String)
	s.deliveredAtFirst("clinic-b", "b", 200)
	s.changesLogged(r, "late", 1)
	s.changesLogged(r, "main", 0)
}

// Redox issues tokens and refuses each of them, as for a key of another environment: the
// key pauses, nothing is counted against the messages, and few tokens are asked for.
func TestRun_TokensThatRedoxRefuses(t *testing.T) {
	t.Parallel()
	s := newStage(t, &redoxsim.Server{}, "")
	if err := s.sim.SetProfile("unauthorized"); err != nil {
		t.Fatal(err)
	}
	r := s.run()
	p := s.publisher()
	s.publish(p, "clinic-a", "m", 100)
	begun := time.Now()
	s.eventually("the pause shows", func() bool {
		status, body := s.readyz()
		return status == http.StatusOK && body.Keys["main"].Paused && time.Since(begun) > 5*time.Second
	}, r.err.String)
	if n := s.sim.Stats().TokensIssued; n > 20 {
		t.Errorf("%d tokens were asked for in 5 seconds, of which none is taken", n)
	}
	s.sim.SetRules()
	s.drained(r.err.String)
	s.deliveredAtFirst("clinic-a", "m", 100)
	s.eventually("the end of the pause shows", func() bool { _, body := s.readyz(); return !body.Keys["main"].Paused }, r.err.String)
}
