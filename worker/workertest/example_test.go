package workertest_test

import (
	"context"
	"testing"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/worker/workertest"
)

// admit is an application's code under test.
func admit(ctx context.Context, p *outbox.Publisher, patient string) error {
	_, err := p.Publish(ctx, outbox.Message{
		ID: "admission-" + patient, Source: "clinic-a", Lane: outbox.LaneSend, OrderKey: patient,
		Body: []byte(`{"Meta":{"DataModel":"PatientAdmin","EventType":"Arrival","Destinations":[{"ID":"hospital"}]}}`),
	})
	return err
}

// A test of an application: NATS, a worker and a simulated Redox in one call.
func Example() {
	test := func(t *testing.T) {
		r := workertest.Start(t, workertest.Options{})
		if err := admit(t.Context(), r.Publisher, "7"); err != nil {
			t.Fatal(err)
		}
		r.Published(func(m outbox.Message) bool { return m.ID == "admission-7" && m.OrderToken != "" })
		if e := r.Settled("clinic-a", "admission-7"); e.Settlement != outbox.Delivered {
			t.Errorf("settled %s", e.Settlement)
		}
	}
	_ = test // run as func TestAdmit(t *testing.T)
}
