package redoxsim_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	"github.com/redoxworker/redoxworker/worker/redoxsim"
)

// A message that fails once with 503 and is taken at its second attempt, as the record shows it.
func ExampleServer() {
	sim := &redoxsim.Server{}
	ts := httptest.NewServer(sim)
	defer ts.Close()
	token := sim.NewToken("my-client", 0)

	for range 2 {
		body := `{"_sim":{"key":"m-1","faults":"503"},
			"Meta":{"DataModel":"Results","EventType":"New","Destinations":[{"ID":"d"}]}}`
		req, err := http.NewRequest(http.MethodPost, ts.URL+redoxsim.PathEndpoint, strings.NewReader(body))
		if err != nil {
			fmt.Println(err)
			return
		}
		req.Header.Set("Authorization", "Bearer "+token)
		req.Header.Set("Content-Type", "application/json")
		resp, err := ts.Client().Do(req)
		if err != nil {
			fmt.Println(err)
			return
		}
		_ = resp.Body.Close()
	}
	for _, a := range sim.Arrivals() {
		fmt.Println(a.Key, a.Attempt, a.Status, a.Accepted)
	}
	// Output:
	// m-1 1 503 false
	// m-1 2 200 true
}

// A fault profile, or rules of one's own.
func ExampleServer_SetRules() {
	sim := &redoxsim.Server{}
	fault, err := redoxsim.ParseFault("accept reset")
	if err != nil {
		fmt.Println(err)
		return
	}
	sim.SetRules(redoxsim.Rule{Event: "Order.*", Attempts: 1, Fault: fault})
	_, rules := sim.Rules()
	fmt.Println(rules[0].Fault)
	// Output: accept reset
}

// How close each client came to the limit, from the record.
func ExampleServer_Windows() {
	sim := &redoxsim.Server{
		Quota:    redoxsim.Quota{Limit: 2, Per: time.Minute},
		ClientIP: func(r *http.Request) string { return r.Header.Get("X-Egress") },
	}
	for _, egress := range []string{"nat-1", "nat-1", "nat-2", "nat-1"} {
		r := httptest.NewRequest(http.MethodPost, redoxsim.PathEndpoint, nil)
		r.Header.Set("X-Egress", egress)
		sim.ServeHTTP(httptest.NewRecorder(), r)
	}
	for _, w := range sim.Windows(0) {
		fmt.Println(w.Client, w.Requests, "at most, refused", w.Limited)
	}
	// Output:
	// nat-1 3 at most, refused 1
	// nat-2 1 at most, refused 0
}

// A destination that takes nothing: Redox accepts, and the message stays in its queue.
func ExampleServer_FailDestination() {
	sim := &redoxsim.Server{}
	sim.FailDestination("hospital", true)
	for range 2 {
		body := `{"Meta":{"DataModel":"Results","EventType":"New","Destinations":[{"ID":"hospital"}]}}`
		r := httptest.NewRequest(http.MethodPost, redoxsim.PathEndpoint, strings.NewReader(body))
		r.Header.Set("Authorization", "Bearer "+sim.NewToken("my-client", 0))
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		sim.ServeHTTP(w, r)
		fmt.Println(w.Code)
	}
	for _, l := range sim.Logs() {
		fmt.Println(l.State, l.Attempts)
	}
	// Output:
	// 200
	// 200
	// failed 1
	// pending 0
}
