package main

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

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/worker/service/access"
	"github.com/redoxworker/redoxworker/worker/service/natslink"
)

// raw is the loop that the worker is compared with: what a careful program does for each
// message and nothing that only goes wrong needs. Settings of the pull, the connection and
// the transport are the worker's, and so is the garbage collector's.
func (b *benchCommand) raw(ctx context.Context, a *app) error {
	c, err := a.load(0)
	if err != nil {
		return err
	}
	log, err := a.logger(c.Log)
	if err != nil {
		return err
	}
	a.tuneGC(c.Worker.Concurrency)
	transport, err := access.NewTransport(c)
	if err != nil {
		return err
	}
	defer transport.CloseIdleConnections()
	conn, js, err := natslink.Connect(ctx, c, log)
	if err != nil {
		return err
	}
	defer conn.Close()
	prefix := outbox.Prefix(c.NATS.Prefix)
	consumer, err := js.Consumer(ctx, prefix.OutStream(), prefix.SendConsumer(benchSource))
	if err != nil {
		return err
	}
	loop := rawLoop{ctx: context.WithoutCancel(ctx), conn: conn, http: &http.Client{Transport: transport}, url: c.Redox.BaseURL + c.Redox.EndpointPath, id: c.Sources[benchSource].ID}
	var inFlight sync.WaitGroup
	slots := make(chan struct{}, c.Worker.Concurrency)
	pull, err := consumer.Consume(func(msg jetstream.Msg) {
		slots <- struct{}{}
		inFlight.Go(func() {
			defer func() { <-slots }()
			if err := loop.handle(msg); err != nil {
				fmt.Fprintln(a.stderr, "redoxworker:", err)
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
	reply := nats.NewMsg(msg.Headers().Get(outbox.HeaderReplyTo))
	reply.Header.Set(outbox.HeaderSettlement, string(outbox.Delivered))
	reply.Data = answer
	if err := l.conn.PublishMsg(reply); err != nil {
		return err
	}
	return msg.DoubleAck(l.ctx)
}
