package redoxsim

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Profiles returns the names of the fault profiles, sorted.
func Profiles() []string { return slices.Sorted(maps.Keys(profiles())) }

// Profile returns the rules of a named profile; nil and false when there is none of that name.
func Profile(name string) ([]Rule, bool) {
	rules, ok := profiles()[name]
	return rules, ok
}

// SetProfile puts a named profile in force in place of the rules so far. The error names the profiles there are.
func (s *Server) SetProfile(name string) error {
	rules, ok := Profile(name)
	if !ok {
		return fmt.Errorf("redoxsim: no profile %q: use one of %s", name, strings.Join(Profiles(), ", "))
	}
	if len(rules) == 0 {
		s.setRules("", nil)
		return nil
	}
	s.setRules(name, rules)
	return nil
}

// profiles is built anew at each call, so that nobody can change it for others.
func profiles() map[string][]Rule {
	endpoint := func(f Fault) []Rule { return []Rule{{Path: PathEndpoint, Fault: f}} }
	return map[string][]Rule{
		// none: everything works.
		"none": nil,
		// flaky: 10 % of the attempts fail in ways that took no message, 5 % are slow. A message that failed once may
		// fail again, with the same odds.
		"flaky": {
			{Path: PathEndpoint, Percent: 5, Fault: Fault{Status: 503}},
			{Path: PathEndpoint, Percent: 3, Fault: Fault{Status: 502}},
			{Path: PathEndpoint, Percent: 2, Fault: Fault{Status: 500}},
			{Path: PathEndpoint, Percent: 5, Fault: Fault{Delay: 500 * time.Millisecond}},
		},
		// slow: each answer of the endpoint takes 2 s.
		"slow": endpoint(Fault{Delay: 2 * time.Second}),
		// unauthorized: tokens are issued, and none is worth anything.
		"unauthorized": endpoint(Fault{Status: 401}),
		// token-down: no token is to be had; those in hand work.
		"token-down": {{Path: "/v2/auth/", Fault: Fault{Status: 503}}, {Path: "/auth/", Fault: Fault{Status: 503}}},
		// rate-limited: 429 to everything, tokens included.
		"rate-limited": {{Fault: Fault{Status: 429}}},
		// down: 503 to everything.
		"down": {{Fault: Fault{Status: 503}}},
		// reset: the connection breaks after the request was read; nothing is taken.
		"reset": endpoint(Fault{Action: Reset}),
		// lost-answers: each message is taken, and no answer arrives.
		"lost-answers": endpoint(Fault{Action: Reset, Accept: true}),
		// hang: never an answer.
		"hang": endpoint(Fault{Action: Hang}),
		// timeout: Redox gives up after a second and answers 504, having taken the message.
		"timeout": endpoint(Fault{Status: 504, Delay: time.Second, Accept: true}),
		// truncated: taken, and the answer breaks off.
		"truncated": endpoint(Fault{Action: Truncate}),
		// huge: answers of 64 MB.
		"huge": endpoint(Fault{Action: Huge}),
		// slow-body: answers that drip for 10 s.
		"slow-body": endpoint(Fault{Action: SlowBody}),
		// redirect: 307 to the same URL, for ever.
		"redirect": endpoint(Fault{Action: Redirect}),
		// errors-in-200: 200 with Meta.Errors[].
		"errors-in-200": endpoint(Fault{Action: Errors}),
		// rejected: 400 to everything.
		"rejected": endpoint(Fault{Status: 400}),
		"demo":     demoRules(),
	}
}

// demoRules pick by message, whatever the order of arrival: one Scheduling.New survives a 401, one Results.New a 503,
// and each Device.New is refused. All answers take 20 ms.
func demoRules() []Rule {
	const pace = 20 * time.Millisecond
	return []Rule{
		{Path: PathEndpoint, Event: "Scheduling.New", Attempts: 1, Messages: 1, Fault: Fault{Status: 401, Delay: pace}},
		{Path: PathEndpoint, Event: "Results.New", Attempts: 1, Messages: 1, Fault: Fault{Status: 503, Delay: pace}},
		{Path: PathEndpoint, Event: "Device.New", Fault: Fault{Status: 400, Delay: pace}},
		{Path: PathEndpoint, Fault: Fault{Delay: pace}},
	}
}
