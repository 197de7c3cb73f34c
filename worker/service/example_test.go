package service_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"

	"github.com/redoxworker/redoxworker/config"
	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/worker/redoxsim"
	"github.com/redoxworker/redoxworker/worker/service"
)

// embed is all that a program needs to run what a configuration file says.
func embed(ctx context.Context, file string, logger *slog.Logger) error {
	c, err := config.Load(config.Options{File: file, Environ: os.Environ()})
	if err != nil {
		return err // every mistake at once, each with its key
	}
	s, err := service.New(*c, service.Options{Logger: logger})
	if err != nil {
		return err
	}
	return s.Run(ctx) // until ctx ends, then drains
}

// A worker with keys, quota and gateway in ten lines, against a simulated Redox. It sends what
// an application stores in the queue.
func Example() {
	w, err := newWorld(&redoxsim.Server{}, "clinic-a: {id: "+clinicA+", key: main}", "quota: {requests: 7500, per: 5m}")
	check(err)
	defer w.close()
	c, err := w.configure(nil)
	check(err)
	check(w.provision(c)) // here, since the application is as early as the service

	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	done := make(chan error, 1)
	go func() { done <- embed(ctx, w.file, slog.New(slog.DiscardHandler)) }()

	publisher, err := w.publisher("")
	check(err)
	for _, mrn := range []string{"1", "2"} {
		reply, err := publisher.Request(ctx, outbox.Message{ID: "admission-" + mrn, Source: "clinic-a", Lane: contract.LaneSend, Body: admit(mrn)})
		check(err)
		fmt.Println(reply.MessageID, reply.Settlement, reply.Status)
	}
	stop()
	fmt.Println(<-done)
	// Output:
	// admission-1 delivered 200
	// admission-2 delivered 200
	// <nil>
}
