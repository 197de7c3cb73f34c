package redoxsim

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/redoxworker/redoxworker/worker/redoxsim/internal/fhirpath"
)

// profile is a named way for Redox to be: faults, and for some of them a load model or a quota.
type profile struct {
	about string // one line for people
	rules []Rule
	load  *Load
	quota *Quota
	// undelivered lets every delivery to a destination fail.
	undelivered bool
}

// Profiles returns the names of the profiles, sorted.
func Profiles() []string { return slices.Sorted(maps.Keys(profiles())) }

// AboutProfile says in one line what a named profile does; "" when there is none of that name.
func AboutProfile(name string) string { return profiles()[name].about }

// SetProfile puts a named profile in force in place of the rules, the load model and the quota that an earlier profile
// or a call set. Where the profile has no load model or quota of its own, those of the server's fields apply. The error
// names the profiles there are.
func (s *Server) SetProfile(name string) error {
	p, ok := profiles()[name]
	if !ok {
		return fmt.Errorf("redoxsim: no profile %q: use one of %s", name, strings.Join(Profiles(), ", "))
	}
	s.load.set(p.load)
	s.quota.set(p.quota)
	s.failAll(p.undelivered)
	if name == "none" {
		name = ""
	}
	s.setRules(name, p.rules)
	return nil
}

// apis are the paths that take messages, files and questions: everything but the ways to a token.
var apis = []string{PathEndpoint, PathFHIR, PathUpload, PathPlatform}

// everywhere is a fault for all APIs.
func everywhere(faults ...Rule) []Rule {
	var rules []Rule
	for _, path := range apis {
		for _, r := range faults {
			r.Path = path
			rules = append(rules, r)
		}
	}
	return rules
}

// profiles is built anew at each call, so that nobody can change it for others.
func profiles() map[string]profile {
	all := map[string]profile{}
	maps.Copy(all, refusing())
	maps.Copy(all, breaking())
	maps.Copy(all, loading())
	maps.Copy(all, accepting())
	maps.Copy(all, standingIn())
	maps.Copy(all, exports())
	return all
}

// refusing are the profiles of Redox saying no.
func refusing() map[string]profile {
	api := func(f Fault) []Rule { return everywhere(Rule{Fault: f}) }
	return map[string]profile{
		"none": {about: "everything works"},
		"demo": {about: "some Scheduling, Results and Device messages meet trouble; the same in each run", rules: demoRules()},
		"flaky": {about: "10 % of the attempts fail without being taken, 5 % are slow", rules: everywhere( // the same odds at each attempt
			Rule{Percent: 5, Fault: Fault{Status: 503}},
			Rule{Percent: 3, Fault: Fault{Status: 502}},
			Rule{Percent: 2, Fault: Fault{Status: 500}},
			Rule{Percent: 5, Fault: Fault{Delay: 500 * time.Millisecond}},
		)},
		"unauthorized": {about: "tokens are issued, and none is worth anything", rules: api(Fault{Status: 401})},
		"token-down": {about: "no token is to be had; those in hand work", rules: []Rule{
			{Path: "/v2/auth/", Fault: Fault{Status: 503}}, {Path: "/auth/", Fault: Fault{Status: 503}}}},
		"rate-limited":  {about: "429 to everything, tokens included", rules: []Rule{{Fault: Fault{Status: 429}}}},
		"down":          {about: "503 to everything", rules: []Rule{{Fault: Fault{Status: 503}}}},
		"blob-down":     {about: "503 to uploads; the rest works", rules: []Rule{{Path: PathUpload, Fault: Fault{Status: 503}}}},
		"api-down":      {about: "503 to everything but uploads and tokens", rules: apiDown()},
		"errors-in-200": {about: "200 with Meta.Errors[], or with an OperationOutcome", rules: api(Fault{Action: Errors})},
		"rejected":      {about: "400 to everything but tokens", rules: api(Fault{Status: 400})},
		"redirect":      {about: "307 to the same URL, for ever", rules: api(Fault{Action: Redirect})},
	}
}

// accepting are the profiles of Redox saying yes, and something else going wrong.
func accepting() map[string]profile {
	return map[string]profile{
		"undelivered": {about: "everything is accepted, and no destination takes anything: its queue pauses", undelivered: true},
	}
}

// standingIn are the profiles of somebody else answering, and of answers that are read wrong easily.
func standingIn() map[string]profile {
	api := func(f Fault) []Rule { return everywhere(Rule{Fault: f}) }
	fhir := func(r Rule) []Rule { r.Path = PathFHIR; return []Rule{r} }
	return map[string]profile{
		"event-unauthorized": {about: "401 to Device.New, whatever its token; the rest works", rules: []Rule{{Path: PathEndpoint, Event: "Device.New", Fault: Fault{Status: 401}}}},
		"sign-in":            {about: "200 and the page of a sign-in: nothing is taken", rules: api(Fault{Action: Page})},
		"no-content":         {about: "204 to everything but tokens: nothing is taken", rules: api(Fault{Status: 204})},
		"blocked":            {about: "403 and the page of a firewall", rules: api(Fault{Status: 403, Action: Page})},
		"issues-in-200":      {about: "200 with issues in Redox's own words to FHIR requests", rules: fhir(Rule{Fault: Fault{Action: Issues}})},
		"locked":             {about: "423 and an issue lock-error to the first attempt of each FHIR request", rules: fhir(Rule{Attempts: 1, Fault: Fault{Status: 423, Action: Outcome, Code: "lock-error"}})},
		"fatal-response":     {about: "200 and a message with response.code fatal-error to FHIR requests", rules: fhir(Rule{Fault: Fault{Action: Response}})},
		"cut-off-behind":     {about: "524: each message is taken, and no answer comes back from behind", rules: api(Fault{Status: 524, Action: Page, Accept: true})},
		"origin-down":        {about: "521 and a page: Redox is not reached", rules: api(Fault{Status: 521, Action: Page})},
		"not-implemented":    {about: "501 to everything but tokens", rules: api(Fault{Status: 501})},
	}
}

// exports are the profiles of bulk exports that meet trouble; see [Server.Export] for slow ones and for what they have.
func exports() map[string]profile {
	of := func(operation string, r Rule) []Rule { r.Event = "FHIR.Group." + operation; return []Rule{r} }
	return map[string]profile{
		"export-lost":      {about: "the first request that begins an export is taken, and no answer arrives", rules: of(fhirpath.Export, Rule{Count: 1, Fault: Fault{Action: Reset, Accept: true}})},
		"export-throttled": {about: "429 to every second question how far an export is", rules: of(fhirpath.ExportStatus, Rule{Every: 2, Fault: Fault{Status: 429, RetryAfter: "1"}})},
		"export-failed":    {about: "500 and an OperationOutcome to questions how far an export is", rules: of(fhirpath.ExportStatus, Rule{Fault: Fault{Status: 500, Action: Outcome, Code: "exception"}})},
		"export-cut":       {about: "files of exports break off at their first request", rules: of(fhirpath.ExportFile, Rule{Attempts: 1, Fault: Fault{Action: Truncate}})},
		"export-gone":      {about: "404 to requests for files of exports", rules: of(fhirpath.ExportFile, Rule{Fault: Fault{Status: 404}})},
	}
}

func apiDown() []Rule {
	return slices.DeleteFunc(everywhere(Rule{Fault: Fault{Status: 503}}), func(r Rule) bool { return r.Path == PathUpload })
}

// breaking are the profiles of answers that come late, in part or never.
func breaking() map[string]profile {
	api := func(f Fault) []Rule { return everywhere(Rule{Fault: f}) }
	return map[string]profile{
		"slow":         {about: "each answer takes 2 s", rules: api(Fault{Delay: 2 * time.Second})},
		"hang":         {about: "never an answer", rules: api(Fault{Action: Hang})},
		"reset":        {about: "the connection breaks after the request was read; nothing is taken", rules: api(Fault{Action: Reset})},
		"lost-answers": {about: "each message is taken, and no answer arrives", rules: api(Fault{Action: Reset, Accept: true})},
		"timeout": {about: "504 after a second, the message being taken",
			rules: api(Fault{Status: 504, Delay: time.Second, Accept: true})},
		"truncated": {about: "taken, and the answer breaks off", rules: api(Fault{Action: Truncate})},
		"huge":      {about: "answers of 64 MB", rules: api(Fault{Action: Huge})},
		"slow-body": {about: "answers that drip for 10 s", rules: api(Fault{Action: SlowBody})},
	}
}

// loading are the profiles that depend on how much is asked of Redox.
func loading() map[string]profile {
	const base = 50 * time.Millisecond
	redox := RedoxQuota()
	return map[string]profile{
		"quota-redox": {about: "Redox's limit: 7,500 requests per rolling 5 min", quota: &redox},
		"quota-small": {about: "50 requests per rolling 5 s, answers in 50 ms",
			quota: &Quota{Limit: 50, Per: 5 * time.Second}, load: &Load{Base: base}},
		"concurrency-limited": {about: "8 requests are worked on at a time, 50 ms each; the rest wait: at most 160/s",
			load: &Load{Base: base, Slots: 8}},
		"concurrency-refused": {about: "16 requests in flight take 50 ms; 503 to those beyond", load: &Load{Base: base, Reject: 16}},
		"slow-knee": {about: "50 ms up to 16 in flight; each one more adds 10 ms to all: most is done at 16",
			load: &Load{Base: base, Knee: 16, Slope: 10 * time.Millisecond}},
		"jittery": {about: "10 to 90 ms whatever the load, and 2 % of the answers take ten times as long",
			load: &Load{Base: base, Jitter: 0.8, Tail: 0.02}},
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
