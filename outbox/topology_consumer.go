package outbox

import (
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// consumerDrift compares a consumer with what it should be. A pause, a rate
// limit, sampling and metadata are the operator's own affair and stay.
func consumerDrift(want, have jetstream.ConsumerConfig) *difference[jetstream.ConsumerConfig] {
	d := &difference[jetstream.ConsumerConfig]{have: have}
	const mend = "stop the workers, delete it and provision again; no message is lost by that"
	for _, f := range []struct {
		name string
		bad  bool
	}{
		{"ack_policy", have.AckPolicy != want.AckPolicy},
		{"deliver_policy", have.DeliverPolicy != want.DeliverPolicy},
		{"replay_policy", have.ReplayPolicy != want.ReplayPolicy},
		{"mem_storage", have.MemoryStorage},
		{"deliver_subject", have.DeliverSubject != ""},
		{"priority_groups", have.PriorityPolicy != want.PriorityPolicy || len(have.PriorityGroups) > 0},
	} {
		if f.bad {
			d.refuse("%s is wrong and cannot be changed: %s", f.name, mend)
		}
	}
	if have.MaxWaiting < want.MaxWaiting {
		d.leave("max_waiting is %d, not %d, and cannot be changed: with many workers, %s", have.MaxWaiting, want.MaxWaiting, mend)
	}
	settings(d, want)
	return d
}

// consumerInUse is consumerDrift of a consumer that workers may be using: they keep what they
// have in flight by the ack wait that they were started with.
func consumerInUse(want jetstream.ConsumerConfig, have *jetstream.ConsumerInfo) *difference[jetstream.ConsumerConfig] {
	wait := want.AckWait
	if have.NumWaiting > 0 || have.NumAckPending > 0 {
		want.AckWait = max(wait, have.Config.AckWait)
	}
	d := consumerDrift(want, have.Config)
	if want.AckWait != wait {
		d.leave("ack_wait is %v, not %v: what running workers have in flight would be sent by others too; stop them, and provision when nothing is in flight", want.AckWait, wait)
	}
	return d
}

// settings makes every setting right that the server lets be changed.
func settings(d *difference[jetstream.ConsumerConfig], want jetstream.ConsumerConfig) {
	h := &d.have
	if len(h.FilterSubjects) > 0 {
		d.update("filter_subjects %v -> %s", h.FilterSubjects, want.FilterSubject)
		h.FilterSubjects, h.FilterSubject = nil, want.FilterSubject
	}
	if len(h.BackOff) > 0 {
		// The server has made AckWait the first of them.
		d.update("backoff %v -> none", slices.Clone(h.BackOff))
		h.BackOff = nil
	}
	set(d, "filter_subject", &h.FilterSubject, want.FilterSubject)
	set(d, "ack_wait", &h.AckWait, want.AckWait)
	set(d, "max_deliver", &h.MaxDeliver, want.MaxDeliver)
	set(d, "max_ack_pending", &h.MaxAckPending, want.MaxAckPending)
	set(d, "headers_only", &h.HeadersOnly, false)
	set(d, "inactive_threshold", &h.InactiveThreshold, time.Duration(0))
	set(d, "max_batch", &h.MaxRequestBatch, 0)
	set(d, "max_expires", &h.MaxRequestExpires, time.Duration(0))
	set(d, "max_bytes", &h.MaxRequestMaxBytes, 0)
	set(d, "replicas", &h.Replicas, want.Replicas)
}
