package redoxsim_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"

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
