package worker_test

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/outbox/natsdev"
	"github.com/redoxworker/redoxworker/outbox/topology"
	"github.com/redoxworker/redoxworker/worker"
)

// A worker with a far side of one's own. In a program the Deliverer is a redox.Client and
// the server is elsewhere.
func Example() {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	server, err := natsdev.Start(natsdev.Options{Dir: dir})
	if err != nil {
		panic(err)
	}
	defer func() { _ = server.Shutdown() }()
	conn, err := server.Connect()
	if err != nil {
		panic(err)
	}
	defer conn.Close()
	js, err := jetstream.New(conn)
	if err != nil {
		panic(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	if _, err := (topology.Topology{}).Ensure(ctx, js); err != nil {
		panic(err)
	}

	far := worker.DelivererFunc(func(_ context.Context, m outbox.Message) (outbox.Answer, error) {
		if m.ID == "m-2" {
			return outbox.Answer{Status: 400}, worker.WithSafeText(worker.Permanent(errors.New("no such clinic")), "refused")
		}
		return outbox.Answer{Status: 200, ContentType: "application/json", Body: []byte(`{"taken":true}`)}, nil
	})
	w, err := worker.New(js, far, worker.Config{AllSources: true}) // every provisioned source, all defaults
	if err != nil {
		panic(err)
	}
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()

	publisher, err := outbox.NewPublisher(js, outbox.PublisherConfig{})
	if err != nil {
		panic(err)
	}
	for _, id := range []string{"m-1", "m-2"} {
		reply, err := publisher.Request(ctx, outbox.Message{ID: id, Source: "clinic-a", Lane: contract.LaneSend, Body: []byte(`{}`)})
		if err != nil {
			panic(err)
		}
		fmt.Printf("%s %s %d %q\n", reply.MessageID, reply.Settlement, reply.Status, reply.Error)
	}
	stop()
	fmt.Println(<-done)
	// Output:
	// m-1 delivered 200 ""
	// m-2 rejected 400 "refused"
	// <nil>
}
