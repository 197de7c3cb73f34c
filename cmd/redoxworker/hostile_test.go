package main

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/outbox/dlq"
	"github.com/redoxworker/redoxworker/outbox/topology"
	"github.com/redoxworker/redoxworker/worker/redoxsim"
)

// hostile is a message that must never reach Redox.
type hostile struct {
	name   string
	lane   string // below redox.out.clinic-a.; send by default
	header nats.Header
	body   string
	// settlement is poison unless it says otherwise; reason is part of the dead letter's error.
	settlement outbox.Settlement
	reason     string
}

const orderedLane = "send.0123456789abcdef0123456789abcdef"

// hostileCorpus are breaches of the contract, by what they attack.
func hostileCorpus() []hostile {
	var all []hostile
	add := func(cases ...hostile) { all = append(all, cases...) }
	good := string(admit("hostile"))
	for _, subject := range []string{
		"$JS.API.STREAM.DELETE.REDOX_OUT", "$JS.API.STREAM.PURGE.REDOX_DLQ", "$JS.API.CONSUMER.DELETE.REDOX_OUT.clinic-a-send", "$JS.ACK.REDOX_OUT.clinic-a-send.1.1.1.1.0",
		"$SYS.REQ.SERVER.PING", "$KV.REDOX_LEDGER.clinic-a.x", "$KV.REDOX_STATE.quota", "$O.REDOX_BODIES.M.x", "$SRV.PING",
		"redox.out.clinic-a.send", "redox.out.clinic-b.request", "redox.dlq.clinic-a.held.x", "redox.gateway.clinic-a.send", "redox.audit.clinic-a",
		"redox.reply.clinic-b.x", "redox.reply", "redox.reply.clinic-a", "redox.reply.*.x", "redox.reply.clinic-a.>", "_INBOX.>", "_INBOX.*", "evil.subject",
		"_INBOX..x", ".x", "x.", "_INBOX.a b", "_INBOX.\tx", "_INBOX.ü", "_INBOX." + strings.Repeat("x", 600),
	} {
		add(hostile{name: "reply to " + subject, header: nats.Header{contract.HeaderReplyTo: {subject}}, body: good, reason: contract.HeaderReplyTo})
	}
	for _, path := range []string{
		"../platform/v1/keys", "/../../endpoint", "//evil.example/x", "Patient/../../..", "%2e%2e/x", "Patient/%2E%2e/x", "..%2fx", "%252e%252e/x", "https:evil",
		`Patient\..\x`, "Patient/1#x", "Patient/a%20%", "Patient/%zz", "Patient/50%", "%2f%2fevil.example", strings.Repeat("x", 10_000),
	} {
		add(hostile{name: "path " + path[:min(len(path), 20)], header: nats.Header{contract.HeaderKind: {"fhir"}, contract.HeaderPath: {path}}, reason: contract.HeaderPath})
	}
	for _, link := range []string{"http://evil.example/", "https://evil.example/fhir/R4/evil/Development/Patient/1"} {
		add(hostile{name: "link " + link, header: nats.Header{contract.HeaderKind: {"fhir"}, contract.HeaderPath: {link}}, reason: "URL of another host"})
	}
	add(
		hostile{name: "unknown kind", header: nats.Header{contract.HeaderKind: {"soap"}}, body: good, reason: contract.HeaderKind},
		hostile{name: "method of a data-model message", header: nats.Header{contract.HeaderMethod: {"DELETE"}}, body: good, reason: contract.HeaderMethod},
		hostile{name: "path of a data-model message", header: nats.Header{contract.HeaderPath: {"v1/x"}}, body: good, reason: contract.HeaderPath},
		hostile{name: "path of a file", header: nats.Header{contract.HeaderKind: {"file"}, contract.HeaderPath: {"x"}}, body: "x", reason: contract.HeaderPath},
		hostile{name: "method TRACE", header: nats.Header{contract.HeaderKind: {"fhir"}, contract.HeaderPath: {"x"}, contract.HeaderMethod: {"TRACE"}}, reason: contract.HeaderMethod},
		hostile{name: "smuggled header", header: nats.Header{"Content-Type": {"application/json\x01X: y"}}, body: good, reason: "Content-Type"},
		hostile{name: "long media type", header: nats.Header{"Accept": {strings.Repeat("a", 300)}}, body: good, reason: "Accept"},
		hostile{name: "token that is none", lane: orderedLane, header: nats.Header{contract.HeaderOrderToken: {"patient 4711"}}, body: good, reason: contract.HeaderOrderToken},
		hostile{name: "deadline that is none", header: nats.Header{contract.HeaderDeadline: {"tomorrow"}}, body: good, reason: contract.HeaderDeadline},
		hostile{name: "id with a space", header: nats.Header{contract.HeaderID: {"a b"}}, body: good, reason: contract.HeaderID},
		hostile{name: "endless id", header: nats.Header{contract.HeaderID: {strings.Repeat("x", 5000)}}, body: good, reason: contract.HeaderID},
		hostile{name: "two kinds", header: nats.Header{contract.HeaderKind: {"data-model", "fhir"}}, body: good, reason: contract.HeaderKind},
		hostile{name: "two reply subjects", header: nats.Header{contract.HeaderReplyTo: {"_INBOX.a", "_INBOX.b"}}, body: good, reason: contract.HeaderReplyTo},
		hostile{name: "replay count", header: nats.Header{contract.HeaderReplayOf: {"x"}, contract.HeaderReplayCount: {"-1"}}, body: good, reason: contract.HeaderReplayCount},
		hostile{name: "claim check with a body", header: nats.Header{contract.HeaderBodyObject: {"clinic-a/x"}}, body: good, reason: contract.HeaderBodyObject},
		hostile{name: "object of another source", header: nats.Header{contract.HeaderBodyObject: {"clinic-b/secret"}}, reason: contract.HeaderBodyObject},
		hostile{name: "object that is missing", header: nats.Header{contract.HeaderBodyObject: {"clinic-a/missing"}}, settlement: outbox.Held, reason: "claim check"},
	)
	for name, c := range hostileBodies(good) {
		add(hostile{name: name, body: c.body, reason: c.reason})
	}
	add(
		hostile{name: "another source", body: strings.Replace(good, `"Meta":{`, `"Meta":{"Source":{"ID":"00000000-0000-0000-0000-000000000000"},`, 1),
			settlement: outbox.Rejected, reason: "Meta.Source.ID"},
		hostile{name: "a request to two", lane: "request", body: strings.Replace(good, `"Destinations":[`, `"Destinations":[{"ID":"x"},`, 1), reason: "destinations"},
		hostile{name: "in the ordered lane", lane: orderedLane, body: "{", reason: "not valid JSON"},
	)
	return all
}

// hostileBodies are what is wrong with a body, and what the reason says of it.
func hostileBodies(good string) map[string]struct{ body, reason string } {
	return map[string]struct{ body, reason string }{
		"no body":           {"", "empty"},
		"white space":       {" \n\t", "empty"},
		"not JSON":          {"MSH|^~\\&|EPIC", "not valid JSON"},
		"truncated":         {good[:len(good)-10], "not valid JSON"},
		"two values":        {good + good, "not valid JSON"},
		"an array":          {"[" + good + "]", "not a JSON object"},
		"a text":            {`"hello"`, "not a JSON object"},
		"two marks":         {"\ufeff\ufeff" + good, "not valid JSON"},
		"UTF-16":            {"\xff\xfe{\x00}\x00", "UTF-16: save it as UTF-8"},
		"not UTF-8":         {strings.Replace(good, "Bixby", "B\xffxby", 1), "not valid JSON"},
		"a NUL":             {good[:5] + "\x00" + good[5:], "not valid JSON"},
		"a bomb":            {strings.Repeat(`{"a":[`, 15_000), "nested deeper than 10000"},
		"no Meta":           {`{"Patient":{}}`, "no Meta"},
		"Meta null":         {`{"Meta":null}`, "Meta is not an object"},
		"Meta an array":     {`{"Meta":[]}`, "Meta is not an object"},
		"two Metas":         {`{"Meta":{"DataModel":"A"},"Meta":{"DataModel":"B"}}`, "twice"},
		"no DataModel":      {strings.Replace(good, `"DataModel":"PatientAdmin",`, "", 1), "DataModel"},
		"two DataModels":    {strings.Replace(good, `"DataModel":"PatientAdmin",`, `"DataModel":"A","DataModel":"B",`, 1), "twice"},
		"no EventType":      {strings.Replace(good, `,"EventType":"Arrival"`, "", 1), "EventType"},
		"EventType a count": {strings.Replace(good, `"Arrival"`, "7", 1), "EventType is not a string"},
		"no destination":    {strings.Replace(good, `"Destinations":[`, `"X":[`, 1), "destination"},
		"empty destination": {`{"Meta":{"DataModel":"A","EventType":"B","Destinations":[{}]}}`, "destination"},
		"Destinations text": {`{"Meta":{"DataModel":"A","EventType":"B","Destinations":"all"}}`, "Destinations is not an array"},
		"Source a text":     {`{"Meta":{"DataModel":"A","EventType":"B","Source":"x","Destinations":[{"ID":"1"}]}}`, "Meta.Source"},
		"two Source IDs":    {`{"Meta":{"DataModel":"A","EventType":"B","Source":{"ID":"","ID":"y"},"Destinations":[{"ID":"1"}]}}`, "twice"},
		"too large":         {strings.Replace(good, `"Timothy"`, `"`+strings.Repeat("x", 200_000)+`"`, 1), "the limit is 100000"},
	}
}

// None of the corpus reaches Redox, none harms a stream, and each lies in the dead letters
// with its reason, which holds nothing of the message.
func TestGuarantee_HostileMessagesReachNobody(t *testing.T) {
	t.Parallel()
	s := newStage(t, &redoxsim.Server{}, "")
	s.reconfigure("redox: {", "redox: {max_body: 100kB, ")
	r := s.run()
	var overheard atomic.Int64
	for _, subject := range []string{"evil.>", "$SRV.>", "redox.reply.clinic-b.>"} {
		if _, err := s.js.Conn().Subscribe(subject, func(*nats.Msg) { overheard.Add(1) }); err != nil {
			t.Fatal(err)
		}
	}
	corpus := hostileCorpus()
	if len(corpus) < 60 {
		t.Fatalf("%d messages, want 60 or more", len(corpus))
	}
	bySequence := s.attack(corpus)
	p := s.publisher()
	if _, err := p.Publish(t.Context(), outbox.Message{ID: "fine", Source: "clinic-a", Body: admit("fine")}); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Publish(t.Context(), outbox.Message{ID: "fine-ordered", Source: "clinic-a", OrderKey: "patient", Body: admit("fine-ordered")}); err != nil {
		t.Fatal(err)
	}
	s.drained(func() string { return r.err.String() })
	s.buried(bySequence)
	for _, a := range s.sim.Arrivals() { // at whatever path
		if !strings.HasPrefix(a.Key, "fine") && !strings.Contains(a.Path, "/auth/") {
			t.Errorf("reached Redox: %+v", a)
		}
	}
	if n := len(s.messages()); n != 2 {
		t.Errorf("%d messages at Redox, want the two that are fine", n)
	}
	s.intact(&overheard)
}

// attack publishes the corpus and answers its messages by their sequence.
func (s *stage) attack(corpus []hostile) map[uint64]hostile {
	s.Helper()
	bySequence := map[uint64]hostile{}
	for i, c := range corpus {
		lane := c.lane
		if lane == "" {
			lane = "send"
		}
		msg := &nats.Msg{Subject: "redox.out.clinic-a." + lane, Header: nats.Header{}, Data: []byte(c.body)}
		msg.Header.Set(contract.HeaderID, fmt.Sprint("hostile-", i))
		for name, values := range c.header {
			msg.Header[name] = values
		}
		ack, err := s.js.PublishMsg(s.Context(), msg)
		if err != nil {
			s.Fatalf("%s: %v", c.name, err)
		}
		bySequence[ack.Sequence] = c
	}
	return bySequence
}

// buried: each message is a dead letter, with its reason, which holds nothing of it.
func (s *stage) buried(bySequence map[uint64]hostile) {
	s.Helper()
	letters, err := dlq.New(s.js, dlq.Config{})
	if err != nil {
		s.Fatal(err)
	}
	for l, err := range letters.List(s.Context(), dlq.Query{}) {
		if err != nil {
			s.Fatal(err)
		}
		c, ok := bySequence[l.Sequence]
		if !ok {
			s.Errorf("a dead letter nobody expects: %s, %s", l.MessageID, l.Error)
			continue
		}
		delete(bySequence, l.Sequence)
		want := c.settlement
		if want == "" {
			want = outbox.Poison
		}
		if l.Settlement != want || !strings.Contains(l.Error, c.reason) {
			s.Errorf("%s: %s, %q; want %s with %q", c.name, l.Settlement, l.Error, want, c.reason)
		}
		for _, secret := range []string{"Bixby", "evil", "patient 4711", "00000000"} {
			if strings.Contains(l.Error, secret) {
				s.Errorf("%s: the reason holds %q of the message: %s", c.name, secret, l.Error)
			}
		}
	}
	for _, c := range bySequence {
		s.Errorf("%s: no dead letter", c.name)
	}
}

// intact: every stream is there and nobody was answered who must not be.
func (s *stage) intact(overheard *atomic.Int64) {
	s.Helper()
	if drift, err := (topology.Topology{}).Drift(s.Context(), s.js); err != nil || len(drift) != 0 {
		s.Errorf("the streams have changed: %v, %v", drift, err)
	}
	if n := overheard.Load(); n != 0 {
		s.Errorf("%d answers to subjects that are not allowed", n)
	}
	for _, name := range []string{"REDOX_REPLIES", "REDOX_ADVISORIES"} {
		if n := s.queued(name); n != 0 {
			s.Errorf("%s holds %d messages", name, n)
		}
	}
}
