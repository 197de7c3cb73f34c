package service_test

import (
	"net/http"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redoxworker/redoxworker/config"
	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/worker/redoxsim"
	"github.com/redoxworker/redoxworker/worker/service"
)

// holder is a simulated Redox that holds the messages of one patient until it is told not to.
type holder struct {
	redoxsim.Server
	arrived chan struct{} // closed when the first is there
	once    sync.Once
	release chan struct{}
}

var patientOf = regexp.MustCompile(`"Identifiers":\[\{"ID":"([^"]+)"`)

func newHolder(patient string) *holder {
	h := &holder{arrived: make(chan struct{}), release: make(chan struct{})}
	h.MessageKey = func(_ http.Header, body []byte) string {
		if m := patientOf.FindSubmatch(body); m != nil {
			return string(m[1])
		}
		return ""
	}
	h.Fault = func(q redoxsim.Request) *redoxsim.Fault {
		if q.Key == patient {
			h.once.Do(func() { close(h.arrived) })
			<-h.release
		}
		return nil
	}
	return h
}

// arrivals are the requests about a patient.
func (h *holder) arrivals(patient string) (n int) {
	for _, a := range h.Arrivals() {
		if a.Key == patient {
			n++
		}
	}
	return n
}

// clinic is one more source on the key of the others.
func clinic(id string) config.Source {
	return config.Source{ID: id, Key: "main", Environment: config.EnvironmentDevelopment, OnUnknown: config.OnUnknownResend}
}

// A tenant comes while the service runs, and what was stored for it before is delivered; one goes,
// and what is in flight of it is delivered, what comes later waits; it comes back, and that goes
// out. The others notice nothing: no token is asked for, nothing is sent twice.
func TestSetSources_TenantsComeAndGo(t *testing.T) {
	t.Parallel()
	h := newHolder("in-flight")
	r := newRig(t, &h.Server, oneClinic, "quota: {requests: 700, per: 10s}")
	c := r.config(nil)
	if err := r.provision(c); err != nil {
		t.Fatal(err)
	}
	p, err := r.publisher("")
	if err != nil {
		t.Fatal(err)
	}
	publish := func(source, patient string) string {
		replyTo := "redox.reply." + source + "." + patient
		if _, err := p.Publish(t.Context(), outbox.Message{ID: patient, Source: source, Body: admit(patient), ReplyTo: replyTo}); err != nil {
			t.Fatal(err)
		}
		return replyTo
	}
	delivered := func(replyTo string) {
		t.Helper()
		if reply, err := p.Await(t.Context(), replyTo); err != nil || !reply.OK() || reply.Attempts != 1 {
			t.Errorf("%s: %+v %v", replyTo, reply, err)
		}
	}
	early := publish("clinic-b", "early")
	run := r.start(c, service.Options{})
	delivered(publish("clinic-a", "first"))
	tokens := r.sim.Stats().TokensIssued

	run.set(c, map[string]config.Source{"clinic-a": c.Sources["clinic-a"], "clinic-b": clinic(clinicB)})
	delivered(early)
	answer, err := r.conn.Request("redox.gateway.clinic-b.send", admit("by-the-gateway"), 10*time.Second)
	if err != nil || answer.Header.Get("Nats-Service-Error-Code") != "" {
		t.Errorf("the gateway: %v %v", answer, err)
	}

	flying := publish("clinic-a", "in-flight")
	<-h.arrived
	run.set(c, map[string]config.Source{"clinic-b": clinic(clinicB)})
	waiting := publish("clinic-a", "waits")
	if _, err := r.conn.Request("redox.gateway.clinic-a.send", admit("refused"), 10*time.Second); err == nil {
		t.Error("the gateway takes requests of a source that is gone")
	}
	close(h.release)
	delivered(flying)
	delivered(publish("clinic-b", "meanwhile"))
	if n := h.arrivals("waits"); n != 0 {
		t.Errorf("%d requests of a source that is gone", n)
	}

	run.set(c, map[string]config.Source{"clinic-a": clinic(clinicA), "clinic-b": clinic(clinicB)})
	delivered(waiting)
	if n := r.sim.Stats().TokensIssued; n != tokens {
		t.Errorf("%d tokens more", n-tokens)
	}
	for _, patient := range strings.Fields("early first by-the-gateway in-flight meanwhile waits") {
		r.eventually(patient+" once", func() bool { return h.arrivals(patient) == 1 })
	}
	if err := run.end(); err != nil {
		t.Error(err)
	}
}

// set replaces the sources of a configuration.
func (s *running) set(c config.Config, sources map[string]config.Source) {
	s.rig.Helper()
	c.Sources = sources
	if err := s.SetSources(c); err != nil {
		s.rig.Fatal(err)
	}
}
