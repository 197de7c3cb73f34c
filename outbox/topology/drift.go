package topology

import (
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/outbox/internal/streams"
)

// difference is how one thing differs from what it should be.
// have is its configuration with all updates made and everything else, such as
// placement, as its operator set it.
type difference[C any] struct {
	have    C
	changes []Change
}

func (d *difference[C]) update(format string, args ...any) {
	d.changes = append(d.changes, Change{Action: Update, Detail: fmt.Sprintf(format, args...)})
}

func (d *difference[C]) refuse(format string, args ...any) {
	d.changes = append(d.changes, Change{Action: Refuse, Detail: fmt.Sprintf(format, args...)})
}

func (d *difference[C]) updated() bool {
	return slices.ContainsFunc(d.changes, func(c Change) bool { return c.Action == Update })
}

// set makes *have what it should be and says so, if it is not.
func set[T comparable, C any](d *difference[C], name string, have *T, want T) {
	if *have != want {
		d.update("%s %v -> %v", name, *have, want)
		*have = want
	}
}

// fixed refuses a difference that the server never lets be changed.
func fixed[T comparable, C any](d *difference[C], name string, have, want T) {
	if have != want {
		d.refuse("%s is %v, not %v, and cannot be changed: stop what uses it, delete it and provision again; what is still in it is lost by that", name, have, want)
	}
}

// streamDifference is the difference of a stream.
type streamDifference struct {
	difference[jetstream.StreamConfig]
}

// streamDrift compares a stream with what it should be. Limits on bytes and
// messages that the topology does not set are the operator's own affair: with discard new they
// refuse publishers and lose nothing. Of a stream that has to be made anew nothing
// else is changed: the server would refuse some of it.
func streamDrift(want jetstream.StreamConfig, info *jetstream.StreamInfo) *streamDifference {
	d := &streamDifference{}
	d.have = info.Config
	if d.fixedParts(want); len(d.changes) > 0 {
		return d
	}
	d.subjects(want)
	d.replicas(want)
	d.maxAge(want, info.State)
	h := &d.have
	set(&d.difference, "retention", &h.Retention, want.Retention)
	set(&d.difference, "discard", &h.Discard, want.Discard)
	set(&d.difference, "no_ack", &h.NoAck, false)
	if want.MaxMsgsPerSubject < 0 && h.MaxMsgsPerSubject > 0 {
		set(&d.difference, "max_msgs_per_subject", &h.MaxMsgsPerSubject, want.MaxMsgsPerSubject)
		h.DiscardNewPerSubject = false
	}
	if h.Duplicates < want.Duplicates {
		set(&d.difference, "duplicate_window", &h.Duplicates, want.Duplicates)
	}
	if !want.AllowMsgTTL || h.SubjectDeleteMarkerTTL == 0 {
		set(&d.difference, "subject_delete_marker_ttl", &h.SubjectDeleteMarkerTTL, want.SubjectDeleteMarkerTTL)
	}
	if want.AllowMsgTTL {
		set(&d.difference, "allow_msg_ttl", &h.AllowMsgTTL, true)
	}
	set(&d.difference, "allow_rollup", &h.AllowRollup, want.AllowRollup)
	d.directGet(want)
	d.bounds(want)
	d.routes(want)
	return d
}

// fixedParts refuses what the server never lets be changed.
func (d *streamDifference) fixedParts(want jetstream.StreamConfig) {
	h := d.have
	fixed(&d.difference, "storage", h.Storage, want.Storage)
	fixed(&d.difference, "sealed", h.Sealed, false)
	fixed(&d.difference, "a mirror", h.Mirror != nil, false)
	fixed(&d.difference, "persist_mode", h.PersistMode, want.PersistMode)
	fixed(&d.difference, "allow_msg_counter", h.AllowMsgCounter, false)
	fixed(&d.difference, "allow_msg_schedules", h.AllowMsgSchedules, false)
	// Dead letters and bodies are deleted and purged when they are done with.
	// A work queue removes its messages by itself, a bucket rolls them up.
	if want.Retention != jetstream.WorkQueuePolicy {
		fixed(&d.difference, "deny_purge", h.DenyPurge, false)
		if !want.DenyDelete {
			fixed(&d.difference, "deny_delete", h.DenyDelete, false)
		}
	}
	if !want.AllowMsgTTL {
		fixed(&d.difference, "allow_msg_ttl", h.AllowMsgTTL, false)
	}
	if (h.Retention == jetstream.WorkQueuePolicy) != (want.Retention == jetstream.WorkQueuePolicy) {
		fixed(&d.difference, "retention", h.Retention, want.Retention)
	}
}

// subjects adds those that are missing. One too many is refused: whoever
// publishes to it would lose what the stream no longer takes.
func (d *streamDifference) subjects(want jetstream.StreamConfig) {
	subjects := slices.Clone(d.have.Subjects)
	for _, s := range want.Subjects {
		if !slices.Contains(subjects, s) {
			d.update("subjects + %s", s)
			subjects = append(subjects, s)
		}
	}
	for _, s := range d.have.Subjects {
		if !slices.Contains(want.Subjects, s) {
			d.refuse("it also takes %s, which is not part of the topology: remove that subject by hand", s)
		}
	}
	d.have.Subjects = subjects
}

func (d *streamDifference) replicas(want jetstream.StreamConfig) {
	if have := max(d.have.Replicas, 1); have > want.Replicas {
		d.refuse("%d replicas -> %d would make it less safe: set the replicas to %d, or lower them by hand", have, want.Replicas, have)
		return
	}
	set(&d.difference, "replicas", &d.have.Replicas, want.Replicas)
}

// maxAge lengthens freely and shortens only when that removes nothing now.
func (d *streamDifference) maxAge(want jetstream.StreamConfig, state jetstream.StreamState) {
	have := d.have.MaxAge
	shorter := want.MaxAge > 0 && (have == 0 || want.MaxAge < have)
	if shorter && state.Msgs > 0 && time.Since(state.FirstTime) > want.MaxAge {
		d.refuse("max_age %v -> %v would delete stored messages at once: keep the longer one, or lower it by hand if they may go", have, want.MaxAge)
		return
	}
	set(&d.difference, "max_age", &d.have.MaxAge, want.MaxAge)
	if want.MaxAge > 0 && d.have.Duplicates > want.MaxAge {
		d.have.Duplicates = want.MaxAge // the server demands it
	}
}

// directGet is needed for the dead letters, the replies and most buckets, and must not be
// used for the ledger and for bodies. Elsewhere it makes no difference.
func (d *streamDifference) directGet(want jetstream.StreamConfig) {
	if kind, _ := label(want.Name); want.AllowDirect || kind != "stream" {
		set(&d.difference, "allow_direct", &d.have.AllowDirect, want.AllowDirect)
	}
}

// bounds of what the stream holds, and of its consumers.
func (d *streamDifference) bounds(want jetstream.StreamConfig) {
	h := &d.have
	if want.MaxBytes > 0 {
		set(&d.difference, "max_bytes", &h.MaxBytes, want.MaxBytes)
	}
	if want.MaxMsgs > 0 {
		set(&d.difference, "max_msgs", &h.MaxMsgs, want.MaxMsgs)
	}
	if want.MaxConsumers > 0 || h.MaxConsumers == streams.MaxConsumers { // the account has got a bound of its own
		set(&d.difference, "max_consumers", &h.MaxConsumers, want.MaxConsumers)
	}
}

// routes are where the stream stores a message and who is told. An operator may have what is
// stored elsewhere sent on.
func (d *streamDifference) routes(want jetstream.StreamConfig) {
	if t := d.have.SubjectTransform; t != nil {
		d.update("subject_transform %s -> none", t.Destination)
		d.have.SubjectTransform = nil
	}
	if want.RePublish == nil {
		return
	}
	var have jetstream.RePublish
	if d.have.RePublish != nil {
		have = *d.have.RePublish
	}
	if have != *want.RePublish {
		d.update("republish %s -> %s", republishText(have), republishText(*want.RePublish))
		d.have.RePublish = want.RePublish
	}
}

func republishText(r jetstream.RePublish) string {
	switch {
	case r.Destination == "":
		return "none"
	case r.HeadersOnly:
		return r.Destination + " (headers only)"
	}
	return r.Destination + " (headers and body)"
}
