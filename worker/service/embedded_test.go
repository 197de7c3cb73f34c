package service_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/redoxworker/redoxworker/config"
	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/worker"
	"github.com/redoxworker/redoxworker/worker/redoxsim"
	"github.com/redoxworker/redoxworker/worker/service"
)

// A service inside a program that has a registry, a connection and a web server of its own, a
// say in what is sent, and new tenants while it runs.
func ExampleNew() {
	w, err := newWorld(&redoxsim.Server{}, "clinic-a: {id: "+clinicA+", key: main}, clinic-b: {id: "+clinicB+", key: main}", "")
	check(err)
	defer w.close()
	c, err := w.configure(nil)
	check(err)
	conn, err := nats.Connect(w.nats.URL(), nats.MaxReconnects(-1), nats.RetryOnFailedConnect(true))
	check(err)
	defer conn.Close()
	registry := prometheus.NewRegistry()
	var sent atomic.Int64

	s, err := service.New(c, service.Options{
		Name: "outbound", Registerer: registry, NATS: conn,
		Middleware: func(redox worker.Deliverer) worker.Deliverer {
			return worker.DelivererFunc(func(ctx context.Context, m outbox.Message) (outbox.Answer, error) {
				if m.Source == "clinic-b" {
					return outbox.Answer{}, worker.WithSafeText(worker.Permanent(errors.New("no contract")), "no contract with clinic-b")
				}
				sent.Add(1)
				return redox.Deliver(ctx, m)
			})
		},
	})
	check(err)
	web := httptest.NewServer(s.Handler())
	defer web.Close()
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()

	check(w.provision(c)) // here, since the application is as early as the service
	publisher, err := w.publisher("")
	check(err)
	for _, source := range []string{"clinic-a", "clinic-b"} {
		reply, err := publisher.Request(ctx, outbox.Message{Source: source, Lane: contract.LaneSend, Body: admit("1")})
		check(err)
		fmt.Printf("%s %s %q\n", source, reply.Settlement, reply.Error)
	}
	// A tenant is added while it runs. A file of settings that was read again does as well.
	c.Sources["clinic-c"] = config.Source{ID: clinicC, Key: "main", Environment: config.EnvironmentDevelopment}
	check(s.SetSources(c))
	reply, err := publisher.Request(ctx, outbox.Message{Source: "clinic-c", Lane: contract.LaneSend, Body: admit("1")})
	check(err)
	fmt.Println("clinic-c", reply.Settlement)
	page, err := http.Get(web.URL + "/readyz")
	check(err)
	_ = page.Body.Close()
	for settled(registry, "outbound") < 3 { // it is counted when the acknowledgement is confirmed
		<-time.After(time.Millisecond)
	}
	fmt.Println("sent", sent.Load(), "ready", page.StatusCode, "settled", settled(registry, "outbound"))
	stop()
	fmt.Println(<-done, "and the connection is open:", conn.IsConnected())
	// Output:
	// clinic-a delivered ""
	// clinic-b rejected "no contract with clinic-b"
	// clinic-c delivered
	// sent 2 ready 200 settled 3
	// <nil> and the connection is open: true
}

// settled adds up a counter of one service.
func settled(g prometheus.Gatherer, service string) (sum float64) {
	families, err := g.Gather()
	if err != nil {
		panic(err)
	}
	for _, family := range families {
		if family.GetName() != "redoxworker_settled_total" {
			continue
		}
		for _, m := range family.GetMetric() {
			for _, l := range m.GetLabel() {
				if l.GetName() == "service" && l.GetValue() == service {
					sum += m.GetCounter().GetValue()
				}
			}
		}
	}
	return sum
}
