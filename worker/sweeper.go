package worker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/worker/internal/backoff"
	"github.com/redoxworker/redoxworker/worker/internal/lease"
)

// The sweeper settles messages that no worker sees. The consumers of the queue have no delivery
// limit, and no worker terminates a message. If a person has set a limit or terminates one, the
// server stops delivering the message, or drops it, and says so in an advisory only. A stream
// keeps the advisories, and one worker at a time reads them.

// Types of the advisories (ADR-1 schemas of the server).
const (
	advisoryMaxDeliver = "io.nats.jetstream.advisory.v1.max_deliver"
	advisoryTerminated = "io.nats.jetstream.advisory.v1.terminated"
)

// sweepExpiry is how long one pull for an advisory waits.
const sweepExpiry = 30 * time.Second

// sweepPause is how long the sweeper waits after a failure.
const sweepPause = 5 * time.Second

// advisory is the server's report of a message that it delivers no more.
type advisory struct {
	Type       string `json:"type"`
	Stream     string `json:"stream"`
	Consumer   string `json:"consumer"`
	Sequence   uint64 `json:"stream_seq"`
	Deliveries uint64 `json:"deliveries"`
	// Time of the advisory.
	Time time.Time `json:"timestamp"`
}

// parseAdvisory reads an advisory about a message of the stream.
func parseAdvisory(data []byte, stream string) (advisory, error) {
	var a advisory
	if err := json.Unmarshal(data, &a); err != nil {
		return a, errors.New("it is not JSON")
	}
	switch {
	case a.Type != advisoryMaxDeliver && a.Type != advisoryTerminated:
		return a, errors.New("it is of another type")
	case a.Stream != stream || a.Sequence == 0:
		return a, errors.New("it names no message of stream " + stream)
	case a.Consumer == "" || strings.ContainsFunc(a.Consumer, func(r rune) bool { return r <= ' ' || r > '~' || strings.ContainsRune(".*>", r) }):
		return a, errors.New("it names no consumer")
	}
	return a, nil
}

// sweep reads advisories until ctx ends. Without the permission, or without the consumer, it says
// so once and tries again now and then.
func (w *Worker) sweep(ctx context.Context) {
	stream, name := w.config.Prefix.AdvisoryStream(), w.config.Prefix.SweeperConsumer()
	for attempt := 1; ctx.Err() == nil; attempt++ {
		consumer, err := w.sweeper(ctx, stream, name)
		if err == nil {
			attempt, err = 0, w.sweepFrom(ctx, consumer)
		}
		if err != nil && ctx.Err() == nil {
			text := "advisories cannot be read; trying again (is it provisioned, and permitted?)"
			if !w.conn.IsConnected() {
				text = "advisories cannot be read: there is no connection to NATS"
			}
			w.troubles.advisories.Failed(itself, text, err, "stream", stream, "consumer", name)
			backoff.Sleep(ctx, backoff.Exponential(sweepPause, 5*time.Minute, max(1, attempt)))
		}
	}
}

// sweeper returns the consumer of the advisories, and creates it if there is none. It delivers
// one message at a time, to any one worker.
func (w *Worker) sweeper(ctx context.Context, stream, name string) (jetstream.Consumer, error) {
	consumer, err := w.js.Consumer(ctx, stream, name)
	if !errors.Is(err, jetstream.ErrConsumerNotFound) {
		return consumer, err
	}
	return w.js.CreateConsumer(ctx, stream, jetstream.ConsumerConfig{
		Name: name, Durable: name, DeliverPolicy: jetstream.DeliverAllPolicy, AckPolicy: jetstream.AckExplicitPolicy,
		AckWait: w.config.AckWait, MaxDeliver: -1, MaxAckPending: 1,
	})
}

func (w *Worker) sweepFrom(ctx context.Context, consumer jetstream.Consumer) error {
	for ctx.Err() == nil {
		fetch, cancel := context.WithTimeout(ctx, sweepExpiry)
		msg, err := consumer.Next(jetstream.FetchContext(fetch))
		waited := fetch.Err() != nil
		cancel()
		if err != nil {
			if waited || errors.Is(err, nats.ErrTimeout) {
				w.troubles.advisories.Worked(itself)
				continue
			}
			return err
		}
		w.troubles.advisories.Worked(itself)
		if err := w.settleAdvisory(ctx, msg); err != nil {
			return err
		}
	}
	return nil
}

// swept handles one advisory.
func (w *Worker) swept(ctx context.Context, msg jetstream.Msg) error {
	a, err := parseAdvisory(msg.Data(), w.config.Prefix.OutStream())
	if err != nil {
		w.log.Warn("an advisory was left alone", "reason", err)
		return nil
	}
	out, err := w.js.Stream(ctx, a.Stream)
	if err != nil {
		return fmt.Errorf("looking for stream %s: %w", a.Stream, err)
	}
	stored, err := out.GetMsg(ctx, a.Sequence)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		if a.Type != advisoryTerminated {
			return nil // settled since
		}
		return w.missed(ctx, a, replicated(out.CachedInfo().Cluster))
	}
	if err != nil {
		return fmt.Errorf("reading message %d of stream %s: %w", a.Sequence, a.Stream, err)
	}
	if stored.Time.After(a.Time.Add(lease.ClockSkew)) {
		w.log.Warn("an advisory was left alone", "reason", "the queue was made anew since", "sequence", a.Sequence, "consumer", a.Consumer)
		return nil
	}
	switch anew, err := w.madeAnew(ctx, a); {
	case err != nil:
		return err
	case anew:
		w.log.Warn("an advisory was left alone", "reason", "the consumer was made anew since", "sequence", a.Sequence, "consumer", a.Consumer)
		return nil
	}
	return w.settleStopped(ctx, out, a, stored)
}

// madeAnew reports whether the consumer of an advisory was created after it: the new one delivers
// what the old one no longer did.
func (w *Worker) madeAnew(ctx context.Context, a advisory) (bool, error) {
	consumer, err := w.js.Consumer(ctx, a.Stream, a.Consumer)
	if errors.Is(err, jetstream.ErrConsumerNotFound) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("looking for consumer %s: %w", a.Consumer, err)
	}
	return consumer.CachedInfo().Created.After(a.Time), nil
}

// missed handles a message that is gone although the server was still waiting for its ack.
// Somebody has removed it, unless the server was started or became the leader shortly before:
// then it may not know of the ack.
func (w *Worker) missed(ctx context.Context, a advisory, replicated bool) error {
	newcomer := w.restarts.Explains(a.Time)
	if replicated {
		since, err := w.leaderSince(ctx, a)
		if err != nil {
			return err
		}
		newcomer = a.Time.Before(since.Add(2*w.config.AckWait + lease.ClockSkew))
	}
	if !newcomer {
		return w.buryRemoved(ctx, a)
	}
	w.log.Warn("a message is gone that the server was still waiting for; after a restart or a change of leader that is most likely one acknowledged just before",
		"stream", a.Stream, "sequence", a.Sequence, "consumer", a.Consumer)
	return nil
}

// leaderSince returns when the leader of a replicated consumer was elected: ConsumerInfo's
// cluster.leader_since, which the client does not show.
func (w *Worker) leaderSince(ctx context.Context, a advisory) (time.Time, error) {
	ctx, cancel := context.WithTimeout(ctx, stepTimeout)
	defer cancel()
	answer, err := w.conn.RequestWithContext(ctx, outbox.APIPrefix(w.js)+"CONSUMER.INFO."+a.Stream+"."+a.Consumer, nil)
	if err != nil {
		return time.Time{}, fmt.Errorf("asking for the leader of consumer %s: %w", a.Consumer, err)
	}
	var info struct {
		Cluster struct {
			LeaderSince time.Time `json:"leader_since"`
		} `json:"cluster"`
	}
	if err := json.Unmarshal(answer.Data, &info); err != nil || info.Cluster.LeaderSince.IsZero() {
		return time.Time{}, fmt.Errorf("consumer %s has no leader for the moment", a.Consumer)
	}
	return info.Cluster.LeaderSince, nil
}

// replicated reports whether several servers keep the state of a stream or consumer.
func replicated(c *jetstream.ClusterInfo) bool { return c != nil && len(c.Replicas) > 0 }
