package workertest_test

import (
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/worker"
	"github.com/redoxworker/redoxworker/worker/redox"
	"github.com/redoxworker/redoxworker/worker/redoxsim"
	"github.com/redoxworker/redoxworker/worker/workertest"
	"github.com/redoxworker/redoxworker/worker/workertest/bubble"
)

// writeback is a write to the FHIR API.
func writeback(source, id string, sender int) outbox.Message {
	return outbox.Message{ID: id, Source: source, Lane: contract.LaneSend, Kind: outbox.KindFHIR, Path: "hospital/Development/Patient/$patient-update",
		Body: []byte(`{"resourceType":"Bundle","type":"message","entry":[{"resource":{"resourceType":"MessageHeader",` +
			`"eventUri":"https://fhir.redoxengine.com/EventDefinition/PatientUpdate","source":{"endpoint":"urn:uuid:` + senderID(sender) + `"}}},{"resource":{"resourceType":"Patient"}}]}`)}
}

// senderID is the Source ID of the n-th source of a rig.
func senderID(n int) string {
	id := []byte(workertest.SourceID)
	id[len(id)-1] = "0123456789abcdef"[(int(id[len(id)-1]-'0')+n)%16]
	return string(id)
}

// story is what became of the messages of one profile.
type story struct {
	settled    map[outbox.Settlement]int
	duplicates int
	paused     map[string]bool
	requests   int // of messages, while the fault lasted
	slowest    time.Duration
}

var clinics = []string{"clinic-a", "clinic-b", "clinic-c"}

// tell sends 15 messages of three sources, and lets the fault last for ten minutes.
func tell(t *testing.T, fault func(r *workertest.Rig), hold bool, message func(source, id string, n int) outbox.Message) story {
	t.Helper()
	s := story{settled: map[outbox.Settlement]int{}, paused: map[string]bool{}}
	var mu sync.Mutex
	o := workertest.Options{Sources: clinics, Worker: func(c *worker.Config) {
		for i := range c.Sources {
			c.Sources[i].Hold = func(outbox.Message) bool { return hold }
		}
		c.Observe = func(e worker.Event) {
			mu.Lock()
			defer mu.Unlock()
			switch {
			case e.Kind == worker.EventSettled:
				s.settled[e.Settlement]++
				s.slowest = max(s.slowest, e.Duration)
				if e.PossibleDuplicate {
					s.duplicates++
				}
			case e.Kind == worker.EventPaused:
				kind, _, _ := strings.Cut(e.Scope, ":")
				s.paused[kind] = true
			}
		}
	}}
	workertest.StartInBubble(t, o, func(t *testing.T, r *workertest.Rig) {
		fault(r)
		for i := range 15 {
			source := clinics[i%3]
			if _, err := r.Publisher.Publish(t.Context(), message(source, fmt.Sprint("m-", i), i%3)); err != nil {
				t.Fatal(err)
			}
		}
		bubble.Sleep(10 * time.Minute)
		for _, a := range r.Redox.Arrivals() {
			if a.Path != redoxsim.PathToken {
				s.requests++
			}
		}
		r.Redox.SetRules()
		bubble.Sleep(30 * time.Minute)
	})
	return s
}

// profile puts a profile of the simulator in force.
func profile(t *testing.T, name string) func(r *workertest.Rig) {
	return func(r *workertest.Rig) {
		if err := r.Redox.SetProfile(name); err != nil {
			t.Fatal(err)
		}
	}
}

func ordered(source, id string, _ int) outbox.Message {
	m := order(id)
	m.Source = source
	return m
}

// What answers instead of Redox buries nothing, pauses what it is, and is said; what Redox refuses for
// good is buried at once and pauses nothing.
func TestAnswers_OfOthersAndOfRedox(t *testing.T) {
	for _, tc := range []struct {
		profile    string
		hold, fhir bool
		settlement outbox.Settlement
		duplicates bool
		pauses     bool
		requests   int // at most
	}{
		{profile: "sign-in", settlement: outbox.Delivered, duplicates: true, pauses: true, requests: 200},
		{profile: "sign-in", fhir: true, settlement: outbox.Delivered, duplicates: true, pauses: true, requests: 200},
		{profile: "sign-in", hold: true, settlement: outbox.Held, duplicates: true, pauses: true, requests: 15},
		{profile: "no-content", settlement: outbox.Delivered, duplicates: true, pauses: true, requests: 200},
		{profile: "blocked", settlement: outbox.Delivered, pauses: true, requests: 200},
		{profile: "blocked", hold: true, settlement: outbox.Delivered, pauses: true, requests: 200},
		{profile: "origin-down", settlement: outbox.Delivered, pauses: true, requests: 200},
		{profile: "origin-down", hold: true, settlement: outbox.Delivered, pauses: true, requests: 200},
		{profile: "cut-off-behind", settlement: outbox.Delivered, duplicates: true, pauses: true, requests: 200},
		{profile: "cut-off-behind", hold: true, settlement: outbox.Held, duplicates: true, pauses: true, requests: 15},
		{profile: "not-implemented", settlement: outbox.Rejected, requests: 15},
		{profile: "issues-in-200", fhir: true, settlement: outbox.Rejected, requests: 15},
		{profile: "fatal-response", fhir: true, settlement: outbox.Rejected, requests: 15},
		{profile: "locked", fhir: true, settlement: outbox.Delivered, requests: 30},
	} {
		t.Run(fmt.Sprint(tc.profile, " hold=", tc.hold, " fhir=", tc.fhir), func(t *testing.T) {
			message := ordered
			if tc.fhir {
				message = writeback
			}
			s := tell(t, profile(t, tc.profile), tc.hold, message)
			if len(s.settled) != 1 || s.settled[tc.settlement] != 15 {
				t.Errorf("settled %v, want all %s", s.settled, tc.settlement)
			}
			if (s.duplicates > 0) != tc.duplicates {
				t.Errorf("%d possible duplicates", s.duplicates)
			}
			if (len(s.paused) > 0) != tc.pauses {
				t.Errorf("paused: %v", s.paused)
			}
			if s.requests > tc.requests {
				t.Errorf("%d requests while it lasted", s.requests)
			}
		})
	}
}

// The page that one source gets, or one event, is not felt by the others.
func TestAnswers_OfOneSource(t *testing.T) {
	for name, fault := range map[string]string{"page": "403 page", "sign-in": "page", "no content": "204"} {
		t.Run(name, func(t *testing.T) {
			f, err := redoxsim.ParseFault(fault)
			if err != nil {
				t.Fatal(err)
			}
			workertest.StartInBubble(t, workertest.Options{Sources: clinics}, func(t *testing.T, r *workertest.Rig) {
				r.Redox.SetRules(redoxsim.Rule{Source: senderID(1), Fault: f})
				for i := range 60 {
					for _, source := range clinics[:2] {
						if _, err := r.Publisher.Publish(t.Context(), ordered(source, fmt.Sprint("m-", i), 0)); err != nil {
							t.Fatal(err)
						}
					}
					bubble.Sleep(time.Second)
				}
				for i := range 60 {
					if e := r.Settled("clinic-a", fmt.Sprint("m-", i)); e.Settlement != outbox.Delivered || e.Duration > time.Second {
						t.Errorf("message %d: %s after %v", i, e.Settlement, e.Duration)
					}
				}
			})
		})
	}
}

// An answer that is not of Redox is a WARN line that says what helps, and nothing of the message.
func TestAnswers_AreSaid(t *testing.T) {
	var b safeBuffer
	tries := 0
	o := workertest.Options{Client: func(c *redox.Config) { c.Logger = slog.New(slog.NewTextHandler(&b, nil)) },
		Worker: func(c *worker.Config) { c.Retry.Initial, c.Retry.Max = time.Hour, time.Hour }}
	workertest.StartInBubble(t, o, func(t *testing.T, r *workertest.Rig) {
		profile(t, "no-content")(r)
		if _, err := r.Publisher.Publish(t.Context(), order("m-1")); err != nil {
			t.Fatal(err)
		}
		bubble.Sleep(time.Second)
		for _, a := range r.Redox.Arrivals() { // the second may be due at once
			if a.Path == redoxsim.PathEndpoint {
				tries++
			}
		}
	})
	text := b.String()
	if tries == 0 || strings.Count(text, "level=WARN") != tries || !strings.Contains(text, "somebody else than Redox has answered") || !strings.Contains(text, "it has no body") || strings.Contains(text, "hospital") {
		t.Errorf("logged in %d tries: %s", tries, text)
	}
}

// safeBuffer is a text that several goroutines write.
type safeBuffer struct {
	mu sync.Mutex
	b  strings.Builder
}

func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *safeBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}
