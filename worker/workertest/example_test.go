package workertest_test

import (
	"context"
	"fmt"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/worker/redoxsim"
	"github.com/redoxworker/redoxworker/worker/workertest"
)

// admit is an application's code under test.
func admit(ctx context.Context, p *outbox.Publisher, patient string) error {
	_, err := p.Publish(ctx, outbox.Message{
		ID: "admission-" + patient, Source: "clinic-a", Lane: contract.LaneSend, OrderKey: patient,
		Body: []byte(`{"Meta":{"DataModel":"PatientAdmin","EventType":"Arrival","Destinations":[{"ID":"hospital"}]}}`),
	})
	return err
}

// A test of an application: NATS, a worker and a simulated Redox in one call. In a test t is the
// *testing.T.
func Example() {
	t := newT()
	defer t.end()

	r := workertest.Start(t, workertest.Options{})
	if err := admit(t.Context(), r.Publisher, "7"); err != nil {
		t.Fatal(err)
	}
	m := r.Published(func(m outbox.Message) bool { return m.ID == "admission-7" })
	fmt.Println("in an order:", m.OrderToken != "", "- the patient's number on the wire:", m.OrderKey != "")
	e := r.Settled("clinic-a", "admission-7")
	fmt.Println(e.Settlement, e.Status, "after", e.Attempt, "attempt")
	r.NotPublished(func(m outbox.Message) bool { return m.Source != "clinic-a" })
	// Output:
	// in an order: true - the patient's number on the wire: false
	// delivered 200 after 1 attempt
}

// What the application does when Redox does not take a message is tested with faults of the
// simulator; StartInBubble has the same in fake time, where a day of retries passes at once.
func ExampleStart_refused() {
	t := newT()
	defer t.end()

	r := workertest.Start(t, workertest.Options{})
	fault, err := redoxsim.ParseFault("400")
	if err != nil {
		t.Fatal(err)
	}
	r.Redox.SetRules(redoxsim.Rule{Path: redoxsim.PathEndpoint, Fault: fault})
	reply, err := r.Publisher.Request(t.Context(), outbox.Message{
		ID: "admission-8", Source: "clinic-a", Lane: contract.LaneSend,
		Body: []byte(`{"Meta":{"DataModel":"PatientAdmin","EventType":"Arrival","Destinations":[{"ID":"hospital"}]}}`),
	})
	if err != nil {
		t.Fatal(err)
	}
	fmt.Println(reply.Settlement, reply.Status)
	fmt.Println("dead letter:", r.Settled("clinic-a", "admission-8").DeadLettered)
	// Output:
	// rejected 400
	// dead letter: true
}
