package bench

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/cmd/redoxworker/internal/cli"
	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/worker/service/natslink"
)

// raw is the loop that the worker is compared with: what a careful program does for each
// message and nothing that only goes wrong needs. It has net/http's transport with as many
// connections as it needs, the defaults of the client and of the garbage collector, and one
// consumer for all sources.
func (b *loopCommand) raw(ctx context.Context, a *cli.App) error {
	c, err := a.Load(0)
	if err != nil {
		return err
	}
	log, err := a.Logger(c.Log)
	if err != nil {
		return err
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConns, transport.MaxIdleConnsPerHost = c.Worker.Concurrency, c.Worker.Concurrency
	defer transport.CloseIdleConnections()
	conn, js, err := natslink.Connect(ctx, c, log)
	if err != nil {
		return err
	}
	defer conn.Close()
	prefix := contract.Prefix(c.NATS.Prefix)
	consumer, err := rawConsumer(ctx, js, prefix)
	if err != nil {
		return err
	}
	defer func() { _ = js.DeleteConsumer(context.WithoutCancel(ctx), prefix.OutStream(), rawDurable) }()
	loop := rawLoop{ctx: context.WithoutCancel(ctx), conn: conn, http: &http.Client{Transport: transport}, url: c.Redox.BaseURL + c.Redox.EndpointPath, id: c.Sources[sourceName(0)].ID}
	var inFlight sync.WaitGroup
	slots := make(chan struct{}, c.Worker.Concurrency)
	pull, err := consumer.Consume(func(msg jetstream.Msg) {
		slots <- struct{}{}
		inFlight.Go(func() {
			defer func() { <-slots }()
			if err := loop.handle(msg); err != nil {
				fmt.Fprintln(a.Stderr, "redoxworker:", err)
			}
		})
	}, jetstream.PullMaxMessagesWithBytesLimit(c.Worker.Concurrency, 8<<20),
		jetstream.PullExpiry(5*time.Second), jetstream.PullHeartbeat(time.Second))
	if err != nil {
		return err
	}
	<-ctx.Done()
	pull.Stop()
	<-pull.Closed()
	inFlight.Wait()
	return nil
}

// rawDurable is the raw loop's consumer.
const rawDurable = "raw"

// rawConsumer makes it, in the place of those that a worker has left: a work queue takes one
// for each subject.
func rawConsumer(ctx context.Context, js jetstream.JetStream, prefix contract.Prefix) (jetstream.Consumer, error) {
	stream, err := js.Stream(ctx, prefix.OutStream())
	if err != nil {
		return nil, err
	}
	names := stream.ConsumerNames(ctx)
	for name := range names.Name() {
		if err := stream.DeleteConsumer(ctx, name); err != nil {
			return nil, err
		}
	}
	if err := names.Err(); err != nil {
		return nil, err
	}
	subject := prefix.SendSubject("*")
	return stream.CreateConsumer(ctx, jetstream.ConsumerConfig{Durable: rawDurable, AckPolicy: jetstream.AckExplicitPolicy,
		FilterSubjects: []string{subject, subject + ".>"}, MaxAckPending: -1})
}

type rawLoop struct {
	ctx  context.Context
	conn *nats.Conn
	http *http.Client
	url  string
	id   string
}

func (l *rawLoop) handle(msg jetstream.Msg) error {
	request, err := http.NewRequestWithContext(l.ctx, http.MethodPost, l.url, bytes.NewReader(msg.Data()))
	if err != nil {
		return err
	}
	request.Header.Set("Authorization", "Bearer bench")
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Accept", "application/json")
	request.Header.Set("Redox-Source-Id", l.id)
	response, err := l.http.Do(request)
	if err != nil {
		return err
	}
	answer, err := io.ReadAll(response.Body)
	_ = response.Body.Close()
	if err != nil {
		return err
	}
	reply := nats.NewMsg(msg.Headers().Get(contract.HeaderReplyTo))
	reply.Header.Set(contract.HeaderSettlement, string(outbox.Delivered))
	reply.Data = answer
	if err := l.conn.PublishMsg(reply); err != nil {
		return err
	}
	return msg.DoubleAck(l.ctx)
}
