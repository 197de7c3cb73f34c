package redoxsim

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// states are the states of the logs, and their attempts, in the order of arrival.
func states(s *Server) []string {
	var list []string
	for _, l := range s.Logs() {
		list = append(list, fmt.Sprintf("%s %d", l.State, l.Attempts))
	}
	return list
}

func wantStates(t *testing.T, s *Server, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, states(s)); diff != "" {
		t.Error(diff)
	}
}

// A destination that fails pauses its queue, in order, while Redox goes on accepting.
func TestDelivery_PauseIsFIFOPerDestination(t *testing.T) {
	t.Parallel()
	clk := newClock()
	g := newRig(t, &Server{Now: clk.now})
	to := func(key, destination string) {
		t.Helper()
		text := body("Results.New", `"Destinations":[{"ID":"`+destination+`"}]`, `"_sim":{"key":"`+key+`"}`)
		if r := g.do(http.MethodPost, PathEndpoint, text, bearer(g.sim.NewToken("c", time.Hour))); r.status != 200 {
			t.Errorf("%s: %d", key, r.status)
		}
	}
	to("a1", "a")
	g.sim.FailDestination("a", true)
	to("a2", "a")
	to("b1", "b")
	to("a3", "a")
	wantStates(t, g.sim, "succeeded 1", "failed 1", "succeeded 1", "pending 0")
	if got := g.sim.paused(); !slices.Equal(got, []string{"a"}) {
		t.Errorf("paused %v", got)
	}
	for _, step := range []struct {
		wait     time.Duration
		attempts int
	}{{10*time.Second - 1, 1}, {1, 2}, {10 * time.Second, 3}, {20 * time.Second, 4}, {30 * time.Second, 5}, {50 * time.Second, 6}, {80 * time.Second, 7}, {time.Hour, 37}} {
		clk.add(step.wait)
		wantStates(t, g.sim, "succeeded 1", fmt.Sprintf("failed %d", step.attempts), "succeeded 1", "pending 0")
	}
	g.sim.FailDestination("a", false)
	wantStates(t, g.sim, "succeeded 1", "failed 37", "succeeded 1", "pending 0")
	clk.add(120 * time.Second)
	wantStates(t, g.sim, "succeeded 1", "succeeded 38", "succeeded 1", "succeeded 1")
	to("a4", "a")
	var places []int
	for _, l := range g.sim.Logs() {
		places = append(places, l.Place)
	}
	if !slices.Equal(places, []int{1, 2, 1, 3, 4}) || len(g.sim.paused()) != 0 {
		t.Errorf("places %v", places)
	}
	if st := g.sim.Stats(); st.Logs[LogSucceeded] != 5 || len(st.Paused) != 0 {
		t.Errorf("%+v", st)
	}
}

func TestDelivery_HookAndDelay(t *testing.T) {
	t.Parallel()
	clk := newClock()
	answers := map[string][]LogState{
		"m1": {LogFailed, LogSucceeded}, "m2": {LogFiltered}, "m3": {LogPending, LogSucceeded}, "m4": {""},
	}
	sim := &Server{Now: clk.now, DeliverAfter: 5 * time.Second, Deliver: func(l Log) LogState {
		next := answers[l.Key]
		if len(next) > 1 {
			answers[l.Key] = next[1:]
		}
		return next[0]
	}}
	g := newRig(t, sim)
	for _, key := range []string{"m1", "m2", "m3", "m4"} {
		g.send(keyed(key, ""))
	}
	wantStates(t, sim, "pending 0", "pending 0", "pending 0", "pending 0")
	clk.add(5 * time.Second)
	wantStates(t, sim, "failed 1", "pending 0", "pending 0", "pending 0")
	clk.add(10 * time.Second)
	wantStates(t, sim, "succeeded 2", "filtered 1", "pending 0", "pending 0")
	wantStates(t, sim, "succeeded 2", "filtered 1", "succeeded 1", "succeeded 1")
	if l := sim.Logs(); l[0].End != l[0].At.Add(15*time.Second) || l[0].Place != 1 || l[1].Place != 0 || l[2].Place != 2 {
		t.Errorf("%+v", l)
	}
}

func TestDelivery_WhatBecomesALog(t *testing.T) {
	t.Parallel()
	g := newRig(t, nil)
	g.send(keyed("two", "503, ok"))
	wantStates(t, g.sim)
	g.send(keyed("two", "503, ok"))
	g.send(keyed("bad", "errors"))
	g.send(keyed("lost", "504 accept"))
	g.send(body("PatientSearch.Query", "", ""))
	g.fhir(http.MethodPost, PathFHIR+"hospital/Staging/Patient/$patient-update", bundleOf(updateURI, testSource), nil)
	g.send(body("Results.New", `"Destinations":[{"ID":"d1"},{"ID":"d2"}]`, ""))
	g.upload("x", "")
	wantStates(t, g.sim, "succeeded 1", "failed 1", "succeeded 1", "succeeded 1", "succeeded 1", "succeeded 1", "succeeded 1")
	logs := g.sim.Logs()
	if logs[3].Place != 0 || !logs[3].Query || logs[4].Destination != "hospital" || logs[4].DataModel != "FHIR.Patient" || logs[6].Destination != "d2" {
		t.Errorf("%+v", logs)
	}
	for _, a := range g.sim.Arrivals() {
		for _, id := range a.LogIDs {
			if l, ok := g.sim.logOf(id); !ok || l.Seq != a.Seq {
				t.Errorf("log of arrival %d: %+v", a.Seq, l)
			}
		}
	}
	none := newRig(t, &Server{NoRecord: true})
	none.send(keyed("m", ""))
	wantStates(t, none.sim)
}

func TestDelivery_SetLog(t *testing.T) {
	t.Parallel()
	g := newRig(t, nil)
	g.sim.FailDestination(testDest, true)
	for range 3 {
		g.send(keyed("m", ""))
	}
	wantStates(t, g.sim, "failed 1", "pending 0", "pending 0")
	logs := g.sim.Logs()
	if err := g.sim.SetLog(logs[1].ID, LogFiltered, 0); err != nil {
		t.Error(err)
	}
	if err := g.sim.SetLog(logs[0].ID, LogFailed, -1); err != nil { // stopped: the queue goes on
		t.Error(err)
	}
	wantStates(t, g.sim, "failed 1", "filtered 0", "failed 1")
	if g.sim.SetLog("x", LogFailed, 0) == nil || g.sim.SetLog(logs[2].ID, "lost", 0) == nil {
		t.Error("a mistake is taken")
	}
	admin := func(path, text string, want int) string {
		t.Helper()
		r := g.do(http.MethodPost, "/_sim/"+path, text, jsonHeader)
		if r.status != want {
			t.Errorf("%s: %d %s", path, r.status, r.body)
		}
		return r.body
	}
	admin("logs", `{"id":"`+logs[2].ID+`","state":"pending","attempts":7}`, 200)
	admin("logs", `{"id":"x","state":"pending"}`, 400)
	admin("logs", `{"state":7}`, 400)
	admin("destinations/heal?id="+testDest, "", 200)
	admin("destinations/fail", "", 400)
	g.send(keyed("m", ""))
	wantStates(t, g.sim, "failed 1", "filtered 0", "pending 7", "succeeded 1")
	admin("destinations/fail?id="+testDest, "", 200)
	g.send(keyed("m", ""))
	var list []Log
	g.do(http.MethodGet, "/_sim/logs?state=failed&destination="+testDest, "", nil).json(t, &list)
	if len(list) != 2 || list[0].ID != logs[0].ID {
		t.Errorf("%+v", list)
	}
}

// Old logs go, and what waits in a queue is delivered all the same.
func TestDelivery_OldLogsAreForgotten(t *testing.T) {
	t.Parallel()
	g := newRig(t, &Server{MaxArrivals: 5})
	for range 11 {
		g.send(keyed("m", ""))
	}
	logs := g.sim.Logs()
	if len(logs) != 5 || logs[4].Place != 11 {
		t.Errorf("%d logs: %+v", len(logs), logs)
	}
	if len(g.sim.logs.byID) != 5 {
		t.Errorf("%d by id", len(g.sim.logs.byID))
	}
}

func TestProfile_Undelivered(t *testing.T) {
	t.Parallel()
	g := newRig(t, nil)
	if err := g.sim.SetProfile("undelivered"); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"failed 1", "pending 0"} {
		if r := g.send(keyed("m", "")); r.status != 200 {
			t.Errorf("%d", r.status)
		}
		if got := states(g.sim); got[len(got)-1] != want {
			t.Errorf("%v, want %s", got, want)
		}
	}
	if err := g.sim.SetProfile("none"); err != nil {
		t.Fatal(err)
	}
	wantStates(t, g.sim, "failed 1", "pending 0") // until the next attempt is due
}

// What was put where a name belongs may be a patient's number: no log has it, and no answer says it.
func TestDelivery_NamesThatAreNoWords(t *testing.T) {
	t.Parallel()
	g := newRig(t, &Server{AnyDataModel: true})
	g.sim.AddDestination(Destination{ID: testDest})
	g.sim.AddDestination(Destination{ID: "picky", DataModels: []string{"Results"}})
	g.send(body("MRN4711.DOB1970", "", ""))
	g.send(body("MRN4711.New", `"Destinations":[{"ID":"picky"}]`, ""))
	g.send(body("MRN4711.New", "", `"_sim":{"key":"m","faults":"400"}`))
	for _, l := range g.sim.Logs() {
		if l.DataModel != "(not a word)" || l.EventType != "(not a word)" && l.EventType != "New" {
			t.Errorf("%+v", l)
		}
	}
	if n := len(g.sim.Logs()); n == 0 {
		t.Error("no log")
	}
	arrivals := g.sim.Arrivals()
	if len(arrivals) != 3 || arrivals[2].Status != http.StatusBadRequest {
		t.Fatalf("%+v", arrivals)
	}
	if text := arrivals[1].Reason; text != "The destination has no subscription for (not a word)" {
		t.Error(text)
	}
	for _, a := range arrivals {
		if strings.Contains(a.Reason, "4711") || strings.Contains(a.Reason, "1970") {
			t.Errorf("status %d: %s", a.Status, a.Reason)
		}
	}
}
