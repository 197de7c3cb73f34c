package outbox_test

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/outbox/natsdev"
	"github.com/redoxworker/redoxworker/outbox/topology"
	"github.com/redoxworker/redoxworker/worker"
)

// queue is what an example needs of the world: NATS, and a worker with a far side that refuses the
// patient 3. Elsewhere it is the configured server, and a worker somewhere.
func queue(ctx context.Context) (jetstream.JetStream, func()) {
	server, err := natsdev.Start(natsdev.Options{})
	check(err)
	conn, err := server.Connect()
	check(err)
	js, err := jetstream.New(conn)
	check(err)
	_, err = topology.Topology{}.Ensure(ctx, js)
	check(err)
	far := worker.DelivererFunc(func(_ context.Context, m outbox.Message) (outbox.Answer, error) {
		if strings.Contains(m.ID, "-3-") {
			return outbox.Answer{Status: 400}, worker.WithSafeText(worker.Permanent(errors.New("refused")), "no such patient")
		}
		return outbox.Answer{Status: 200, ContentType: "application/json", Body: []byte(`{}`)}, nil
	})
	w, err := worker.New(js, far, worker.Config{AllSources: true})
	check(err)
	working, stop := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- w.Run(working) }()
	return js, func() {
		stop()
		check(<-done)
		conn.Close()
		check(server.Shutdown())
	}
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}

// Answers come whenever they come, and go to any process of the application: what one has handled
// no other gets, and one that dies in the middle leaves its reply to another.
func ExampleReplies() {
	ctx := context.Background()
	js, end := queue(ctx)
	defer end()

	publisher, err := outbox.NewPublisher(js, outbox.PublisherConfig{OrderSecret: []byte("an order secret of the example")})
	check(err)
	for _, id := range []string{"visit-1-arrival", "visit-1-discharge", "visit-3-arrival"} {
		_, err := publisher.Publish(ctx, outbox.Message{
			ID: id, Source: "clinic-a", OrderKey: "MRN 1", Body: []byte(`{}`),
			ReplyTo: contract.Prefix("").ReplySubject("clinic-a", id), // a reply is stored there for 24 hours
		})
		check(err)
	}

	replies, err := outbox.NewReplies(js, outbox.RepliesConfig{Source: "clinic-a"})
	check(err)
	seen := 0
	for reply, err := range replies.All(ctx) {
		if err != nil {
			fmt.Println("cannot read:", err) // NATS is away: the loop waits and goes on
			continue
		}
		if reply.OK() {
			fmt.Println(reply.MessageID, "is at Redox")
		} else {
			fmt.Println(reply.MessageID, reply.Settlement+":", reply.Error)
		}
		if seen++; seen == 1 {
			reply.Again(0) // the application's database is away: it comes again, before all others
		}
		if seen == 4 {
			break // all others are done; this one is not, and the next reader gets it
		}
	}
	// Output:
	// visit-1-arrival is at Redox
	// visit-1-arrival is at Redox
	// visit-1-discharge is at Redox
	// visit-3-arrival rejected: no such patient
}

// Many messages at once: those of an order key stay in their order, the others are published side
// by side. Each has a result of its own.
func ExamplePublisher_PublishBatch() {
	ctx := context.Background()
	js, end := queue(ctx)
	defer end()

	publisher, err := outbox.NewPublisher(js, outbox.PublisherConfig{OrderSecret: []byte("an order secret of the example")})
	check(err)
	results := publisher.PublishBatch(ctx, []outbox.Message{
		{ID: "visit-1-arrival", Source: "clinic-a", OrderKey: "MRN 1", Body: []byte(`{}`)},
		{ID: "visit-1-discharge", Source: "clinic-a", OrderKey: "MRN 1", Body: []byte(`{}`)},
		{ID: "visit-2-arrival", Source: "Clinic A", Body: []byte(`{}`)},
	})
	for _, r := range results {
		fmt.Println(r.Receipt.ID, r.Err)
	}
	// Output:
	// visit-1-arrival <nil>
	// visit-1-discharge <nil>
	// visit-2-arrival outbox: contract: source is missing or not made of a-z, 0-9 and -
}
