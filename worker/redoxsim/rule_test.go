package redoxsim

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func endpointRequest(key string, attempt int) Request {
	return Request{
		Method: http.MethodPost, Path: PathEndpoint, Client: "10.0.0.1", SourceID: "s", DataModel: "Order", EventType: "New",
		Key: key, Attempt: attempt, TokenValid: attempt > 0, Body: []byte(`{"x":"needle"}`), Seq: 1,
	}
}

func TestRule_Conditions(t *testing.T) {
	t.Parallel()
	q := endpointRequest("k", 2)
	for name, c := range map[string]struct {
		rule Rule
		want bool
	}{
		"zero":             {Rule{}, true},
		"path":             {Rule{Path: "/end"}, true},
		"other path":       {Rule{Path: PathToken}, false},
		"client":           {Rule{Client: "10.0.0.1"}, true},
		"other client":     {Rule{Client: "10.0.0.2"}, false},
		"source":           {Rule{Source: "s"}, true},
		"other source":     {Rule{Source: "t"}, false},
		"key":              {Rule{Key: "k"}, true},
		"other key":        {Rule{Key: "l"}, false},
		"event":            {Rule{Event: "Order.New"}, true},
		"any event of it":  {Rule{Event: "Order.*"}, true},
		"model alone":      {Rule{Event: "Order"}, true},
		"any model":        {Rule{Event: "*.New"}, true},
		"other event":      {Rule{Event: "Order.Update"}, false},
		"other model":      {Rule{Event: "Results.New"}, false},
		"contains":         {Rule{Contains: "needle"}, true},
		"does not contain": {Rule{Contains: "thread"}, false},
		"two attempts":     {Rule{Attempts: 2}, true},
		"first attempt":    {Rule{Attempts: 1}, false},
		"both true":        {Rule{Path: "/", Key: "k"}, true},
		"one false":        {Rule{Path: "/", Key: "l"}, false},
		"100 percent":      {Rule{Percent: 100}, true},
		"too early":        {Rule{After: time.Minute}, false},
		"within":           {Rule{After: time.Second, For: time.Minute}, true},
		"over":             {Rule{For: 30 * time.Second}, false},
	} {
		if got := c.rule.matches(&q, 30*time.Second, 1); got != c.want {
			t.Errorf("%s: %t", name, got)
		}
	}
	token := Request{Path: PathToken}
	for name, r := range map[string]Rule{"attempts": {Attempts: 9}, "messages": {Messages: 9}, "event": {Event: "*.*"}} {
		if r.matches(&token, 0, 1) {
			t.Errorf("%s matches a token request", name)
		}
	}
}

// hits are the indexes at which a rule applies among n requests, all of different messages.
func hits(s *Server, n int) (list []int) {
	for i := range n {
		q := endpointRequest(fmt.Sprint("m", i), 1)
		q.Seq = uint64(i)
		if s.faults.find(&q, s.now(), false) != nil {
			list = append(list, i)
		}
	}
	return list
}

func TestRule_Counting(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		rule Rule
		want []int
	}{
		"count":            {Rule{Count: 2}, []int{0, 1}},
		"skip":             {Rule{Skip: 3, Count: 2}, []int{3, 4}},
		"every third":      {Rule{Every: 3}, []int{2, 5, 8}},
		"skip, then every": {Rule{Skip: 1, Every: 4}, []int{4, 8}},
		"three messages":   {Rule{Messages: 3}, []int{0, 1, 2}},
		"of one key":       {Rule{Key: "m4", Count: 1}, []int{4}},
		"never":            {Rule{Path: "/x"}, nil},
	} {
		s := &Server{}
		s.SetRules(c.rule)
		if diff := cmp.Diff(c.want, hits(s, 10)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func TestRule_MessagesStayTheSame(t *testing.T) {
	t.Parallel()
	s := &Server{}
	s.SetRules(Rule{Messages: 1, Attempts: 2})
	for _, c := range []struct {
		key     string
		attempt int
		want    bool
	}{{"a", 1, true}, {"b", 1, false}, {"a", 2, true}, {"a", 3, false}, {"b", 2, false}} {
		q := endpointRequest(c.key, c.attempt)
		if got := s.faults.find(&q, s.now(), false) != nil; got != c.want {
			t.Errorf("%s, attempt %d: %t", c.key, c.attempt, got)
		}
	}
}

func TestRule_PercentIsReproducible(t *testing.T) {
	t.Parallel()
	run := func(seed uint64) []int {
		s := &Server{Seed: seed}
		s.SetRules(Rule{Percent: 10})
		return hits(s, 10_000)
	}
	first := run(1)
	if n := len(first); n < 850 || n > 1150 {
		t.Errorf("%d of 10,000 are not 10 %%", n)
	}
	if diff := cmp.Diff(first, run(1)); diff != "" {
		t.Error("the same seed chose other messages")
	}
	if cmp.Equal(first, run(2)) {
		t.Error("another seed chose the same messages")
	}
	s := &Server{}
	s.SetRules(Rule{Percent: 50})
	again, n := 0, 0
	for i := range 2000 {
		one, two := endpointRequest(fmt.Sprint(i), 1), endpointRequest(fmt.Sprint(i), 2)
		if s.faults.find(&one, s.now(), false) != nil {
			n++
			if s.faults.find(&two, s.now(), false) != nil {
				again++
			}
		}
	}
	if share := float64(again) / float64(n); share < 0.4 || share > 0.6 {
		t.Errorf("after a first failure %.2f fail again: attempts are not independent", share)
	}
}

func TestRule_FirstMatchWins(t *testing.T) {
	t.Parallel()
	s := &Server{}
	s.SetRules(Rule{Key: "a", Fault: Fault{Status: 500}}, Rule{Fault: Fault{Status: 502}})
	for key, want := range map[string]int{"a": 500, "b": 502} {
		q := endpointRequest(key, 1)
		if f := s.faults.find(&q, s.now(), false); f == nil || f.Status != want {
			t.Errorf("%s: %v", key, f)
		}
	}
}

func TestRule_WindowOfAnOutage(t *testing.T) {
	t.Parallel()
	clk := newClock()
	s := &Server{Now: clk.now}
	s.SetRules(Rule{After: 10 * time.Second, For: 8 * time.Second, Fault: Fault{Status: 503}})
	for i, want := range []bool{false, true, true, false} { // at 0, 10, 17, 18 s
		q := endpointRequest("k", 1)
		if got := s.faults.find(&q, s.now(), false) != nil; got != want {
			t.Errorf("step %d: %t", i, got)
		}
		clk.add([]time.Duration{10 * time.Second, 7 * time.Second, time.Second, 0}[i])
	}
}

func TestRule_JSONRoundTrip(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringMatching(`[a-zA-Z0-9./*]{0,8}`)
		count := rapid.IntRange(0, 100)
		span := rapid.Custom(func(t *rapid.T) time.Duration { return time.Duration(rapid.IntRange(0, 1e9).Draw(t, "ns")) })
		want := Rule{
			Path: text.Draw(t, "path"), Client: text.Draw(t, "client"), Source: text.Draw(t, "source"), Key: text.Draw(t, "key"),
			Contains: text.Draw(t, "contains"), Event: text.Draw(t, "event"), Attempts: count.Draw(t, "attempts"),
			Messages: count.Draw(t, "messages"), Percent: rapid.Float64Range(0, 100).Draw(t, "percent"),
			Skip: count.Draw(t, "skip"), Count: count.Draw(t, "count"), Every: count.Draw(t, "every"),
			After: span.Draw(t, "after"), For: span.Draw(t, "for"),
			Fault: Fault{
				Status: rapid.SampledFrom([]int{0, 200, 401, 503}).Draw(t, "status"), Delay: span.Draw(t, "delay"),
				Accept: rapid.Bool().Draw(t, "accept"), RetryAfter: rapid.StringMatching(`[0-9]{0,3}`).Draw(t, "retry"),
				Action: rapid.SampledFrom([]Action{"", Reset, ResetEarly, Hang, Truncate, Huge, SlowBody, Errors, Redirect}).Draw(t, "action"),
			},
		}
		text1, err := json.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		var got Rule
		if err := json.Unmarshal(text1, &got); err != nil {
			t.Fatalf("%s: %v", text1, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("%s: %s", text1, diff)
		}
	})
}

func TestRule_JSONRefusals(t *testing.T) {
	t.Parallel()
	for _, text := range []string{`{"fault":"nope"}`, `{"attempt":1}`, `{"after":"soon"}`, `{"for":"-1s"}`, `{"fault":503}`, `[]`} {
		var r Rule
		if err := json.Unmarshal([]byte(text), &r); err == nil {
			t.Errorf("%s is taken as %+v", text, r)
		}
	}
}

func TestProfiles_AllAreKnownAndWork(t *testing.T) {
	t.Parallel()
	s := &Server{}
	for _, name := range []string{
		"none", "flaky", "slow", "unauthorized", "rate-limited", "down", "reset", "hang", "truncated", "errors-in-200", "demo",
	} {
		if err := s.SetProfile(name); err != nil {
			t.Error(err)
		}
		if got, rules := s.Rules(); got != name || (len(rules) == 0) != (name == "none") {
			t.Errorf("%s: in force is %q with %d rules", name, got, len(rules))
		}
	}
	err := s.SetProfile("storm")
	if err == nil || !strings.Contains(err.Error(), "flaky") {
		t.Errorf("unknown profile: %v", err)
	}
	if got, _ := s.Rules(); got != "demo" {
		t.Errorf("a mistake changed the profile to %q", got)
	}
	for _, name := range Profiles() {
		for _, r := range profiles()[name].rules {
			if _, err := ParseFault(r.Fault.String()); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

func TestProfile_Answers(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]int{
		"none": 200, "unauthorized": 401, "rate-limited": 429, "down": 503, "rejected": 400, "errors-in-200": 200, "redirect": 307, "token-down": 200,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newRig(t, nil)
			if err := g.sim.SetProfile(name); err != nil {
				t.Fatal(err)
			}
			if r := g.send(keyed("m", "")); r.status != want {
				t.Errorf("%d, want %d", r.status, want)
			}
			tokenWant := map[string]int{"rate-limited": 429, "down": 503, "token-down": 503}[name]
			if r := g.askToken("x"); tokenWant != 0 && r.status != tokenWant {
				t.Errorf("token: %d, want %d", r.status, tokenWant)
			}
		})
	}
}

func TestProfile_FlakyTakesNothingItRefuses(t *testing.T) {
	t.Parallel()
	s := &Server{}
	if err := s.SetProfile("flaky"); err != nil {
		t.Fatal(err)
	}
	byStatus := map[int]int{}
	for i := range 10_000 {
		q := endpointRequest(fmt.Sprint(i), 1)
		if f := s.faults.find(&q, s.now(), false); f != nil {
			byStatus[f.Status]++
			if f.Status != 0 && !f.replaces() {
				t.Fatalf("%v takes the message", f)
			}
		}
	}
	for status, want := range map[int]int{503: 500, 502: 285, 500: 184, 0: 450} {
		if n := byStatus[status]; n < want*7/10 || n > want*13/10 {
			t.Errorf("%d: %d of 10,000, want about %d", status, n, want)
		}
	}
}

func TestProfile_DemoIsDeterministic(t *testing.T) {
	t.Parallel()
	g := newRig(t, nil)
	if err := g.sim.SetProfile("demo"); err != nil {
		t.Fatal(err)
	}
	send := func(event, key string) int {
		return g.send(body(event, "", `"_sim":{"key":"`+key+`"},"Device":{"ID":"1"}`)).status
	}
	for _, step := range []struct {
		event, key string
		want       int
	}{
		{"Results.New", "r1", 503}, {"Scheduling.New", "s1", 401}, {"PatientAdmin.NewPatient", "p1", 200},
		{"Scheduling.New", "s2", 200}, {"Scheduling.New", "s1", 200}, {"Device.New", "d1", 400}, {"Results.New", "r1", 200},
		{"Results.New", "r2", 200}, {"Device.New", "d1", 400}, {"PatientSearch.Query", "q1", 200},
	} {
		if got := send(step.event, step.key); got != step.want {
			t.Errorf("%s %s: %d, want %d", step.event, step.key, got, step.want)
		}
	}
}
