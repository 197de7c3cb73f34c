package outbox

import (
	"github.com/nats-io/nats.go/jetstream"
)

const (
	// manyPending bounds the unsettled messages of an unordered lane. Delayed
	// NAKs count against it: it must be far above what the workers have in flight.
	manyPending = 10000
	// onePending keeps a partition in order: no message before its predecessor is settled.
	onePending = 1
	// maxWaiting bounds the pull requests that wait at a consumer, one or two
	// for each worker. The server never lets it be changed.
	maxWaiting = 2048
)

// Consumers returns the configuration of every durable consumer of the work
// queue: for each source one of each unordered lane and one of each partition.
func (t Topology) Consumers() []jetstream.ConsumerConfig {
	t = t.WithDefaults()
	all := make([]jetstream.ConsumerConfig, 0, len(t.Sources)*(t.Partitions+2))
	for _, source := range t.Sources {
		all = append(all,
			t.consumer(t.Prefix.SendConsumer(source), t.Prefix.SendSubject(source), manyPending),
			t.consumer(t.Prefix.RequestConsumer(source), t.Prefix.RequestSubject(source), manyPending))
		for n := range t.Partitions {
			all = append(all, t.consumer(t.Prefix.OrderedConsumer(source, n), t.Prefix.orderedSubject(source, n), onePending))
		}
	}
	return all
}

// sweeper is the durable consumer through which the workers share the advisories: one at
// a time.
func (t Topology) sweeper() jetstream.ConsumerConfig {
	return t.consumer(t.Prefix.SweeperConsumer(), "", onePending)
}

// consumer leaves the number of replicas at 0, that of the stream: a work queue
// takes no other. Neither MaxDeliver nor BackOff is set: the worker decides
// when to try again and when to give up, and the server would stop delivering
// without telling anybody.
func (t Topology) consumer(name, subject string, pending int) jetstream.ConsumerConfig {
	return jetstream.ConsumerConfig{
		Name:          name,
		Durable:       name,
		FilterSubject: subject,
		DeliverPolicy: jetstream.DeliverAllPolicy,
		AckPolicy:     jetstream.AckExplicitPolicy,
		ReplayPolicy:  jetstream.ReplayInstantPolicy,
		AckWait:       t.AckWait,
		MaxDeliver:    -1,
		MaxAckPending: pending,
		MaxWaiting:    maxWaiting,
	}
}
