// Package advisory reads what the server reports of messages that it delivers no more: a person has set
// a limit of deliveries, or has terminated a message. No worker does either, and an advisory is all
// that tells of it.
package advisory

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/outbox/contract"
)

// Types of the advisories (ADR-1 schemas of the server).
const (
	MaxDeliver = "io.nats.jetstream.advisory.v1.max_deliver"
	Terminated = "io.nats.jetstream.advisory.v1.terminated"
)

// answerWait bounds the wait for an answer of JetStream's API.
const answerWait = 2 * time.Second

// Advisory is the server's report of a message that it delivers no more.
type Advisory struct {
	Type       string `json:"type"`
	Stream     string `json:"stream"`
	Consumer   string `json:"consumer"`
	Sequence   uint64 `json:"stream_seq"`
	Deliveries uint64 `json:"deliveries"`
	// Time of the advisory.
	Time time.Time `json:"timestamp"`
}

// Parse reads an advisory about a message of the stream.
func Parse(data []byte, stream string) (Advisory, error) {
	var a Advisory
	if err := json.Unmarshal(data, &a); err != nil {
		return a, errors.New("it is not JSON")
	}
	switch {
	case a.Type != MaxDeliver && a.Type != Terminated:
		return a, errors.New("it is of another type")
	case a.Stream != stream || a.Sequence == 0:
		return a, errors.New("it names no message of stream " + stream)
	case a.Consumer == "" || strings.ContainsFunc(a.Consumer, func(r rune) bool { return r <= ' ' || r > '~' || strings.ContainsRune(".*>", r) }):
		return a, errors.New("it names no consumer")
	}
	return a, nil
}

// Consumer returns the consumer of the advisories, and creates it if there is none. It delivers one
// message at a time, to any one worker.
func Consumer(ctx context.Context, js jetstream.JetStream, stream, name string, ackWait time.Duration) (jetstream.Consumer, error) {
	consumer, err := js.Consumer(ctx, stream, name)
	if !errors.Is(err, jetstream.ErrConsumerNotFound) {
		return consumer, err
	}
	return js.CreateConsumer(ctx, stream, jetstream.ConsumerConfig{
		Name: name, Durable: name, DeliverPolicy: jetstream.DeliverAllPolicy, AckPolicy: jetstream.AckExplicitPolicy,
		AckWait: ackWait, MaxDeliver: -1, MaxAckPending: 1,
	})
}

// MadeAnew reports whether the consumer of an advisory was created after it: the new one delivers
// what the old one no longer did.
func (a Advisory) MadeAnew(ctx context.Context, js jetstream.JetStream) (bool, error) {
	consumer, err := js.Consumer(ctx, a.Stream, a.Consumer)
	if errors.Is(err, jetstream.ErrConsumerNotFound) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("looking for consumer %s: %w", a.Consumer, err)
	}
	return consumer.CachedInfo().Created.After(a.Time), nil
}

// LeaderSince returns when the leader of a replicated consumer was elected: ConsumerInfo's
// cluster.leader_since, which the client does not show.
func (a Advisory) LeaderSince(ctx context.Context, js jetstream.JetStream) (time.Time, error) {
	ctx, cancel := context.WithTimeout(ctx, answerWait)
	defer cancel()
	answer, err := js.Conn().RequestWithContext(ctx, contract.APIPrefix(js)+"CONSUMER.INFO."+a.Stream+"."+a.Consumer, nil)
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
