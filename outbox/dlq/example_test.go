package dlq_test

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/time/rate"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/dlq"
	"github.com/redoxworker/redoxworker/outbox/natsdev"
	"github.com/redoxworker/redoxworker/outbox/topology"
)

// A service replays what was rejected in the last hour, at most 50 messages per second.
func ExampleStore_Replay() {
	ctx := context.Background()
	js, stop := deadLetterServer(ctx)
	defer stop()

	letters, err := dlq.New(js, dlq.Config{})
	if err != nil {
		panic(err)
	}
	query := dlq.Query{Settlements: []outbox.Settlement{outbox.Rejected}, Since: time.Now().Add(-time.Hour)}
	for l, err := range letters.List(ctx, query) {
		if err != nil {
			panic(err)
		}
		fmt.Println(l.MessageID, l.Source, l.Error)
	}
	selection, err := letters.Select(ctx, query)
	if err != nil {
		panic(err)
	}
	limiter := rate.NewLimiter(50, 1)
	for h, err := range letters.Replay(ctx, selection, dlq.ReplayOptions{Pace: limiter.Wait}) {
		if err != nil {
			panic(err) // run it again: it goes on with what is left
		}
		fmt.Println(h.MessageID, h.Outcome, "as", h.ReplayID)
	}
	// Output:
	// order-1 clinic-a status 400: no such patient
	// order-1 replayed as order-1:r1
}

// deadLetterServer has two dead letters.
func deadLetterServer(ctx context.Context) (js jetstream.JetStream, stop func()) {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		panic(err)
	}
	server, err := natsdev.Start(natsdev.Options{Dir: dir})
	if err != nil {
		panic(err)
	}
	conn, err := server.Connect()
	if err != nil {
		panic(err)
	}
	if js, err = jetstream.New(conn); err != nil {
		panic(err)
	}
	if _, err := (topology.Topology{}).Ensure(ctx, js); err != nil {
		panic(err)
	}
	for i, s := range []outbox.Settlement{outbox.Rejected, outbox.Expired} {
		letter := dlq.Letter{
			MessageID: fmt.Sprint("order-", i+1), Source: "clinic-a", Settlement: s, Error: "status 400: no such patient", Status: 400, Attempts: 1,
			At: time.Now(), Subject: "redox.out.clinic-a.send", Sequence: uint64(i + 1), Body: []byte(`{"Meta":{"DataModel":"Order","EventType":"New"}}`),
		}
		if _, err := js.PublishMsg(ctx, letter.Encode("")); err != nil {
			panic(err)
		}
	}
	return js, func() {
		conn.Close()
		_ = server.Shutdown()
		_ = os.RemoveAll(dir)
	}
}
