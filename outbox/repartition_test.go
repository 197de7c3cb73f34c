package outbox

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// drained takes everything out of the partitions, as workers do.
func (r topologyRig) drained(ctx context.Context, source string, partitions int) {
	for n := 0; ctx.Err() == nil; n = (n + 1) % partitions {
		c, err := r.js.Consumer(ctx, "REDOX_OUT", Prefix("").OrderedConsumer(source, n))
		if err != nil {
			continue
		}
		if batch, err := c.FetchNoWait(1); err == nil {
			for msg := range batch.Messages() {
				_ = msg.DoubleAck(ctx)
			}
		}
	}
}

func TestRepartition_WaitsForThePartitionsToEmpty(t *testing.T) {
	t.Parallel()
	r := newTopologyRig(t)
	four := Topology{Sources: []string{"clinic-a"}, Partitions: 4}
	eight := Topology{Sources: []string{"clinic-a"}, Partitions: 8}
	r.ensure(four)
	for i := range 30 {
		r.mustPublish(fmt.Sprintf("redox.out.clinic-a.send.%032x", i))
	}
	if _, err := eight.Repartition(r.ctx(), r.js, false, nil); !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "30 ordered messages") {
		t.Fatalf("without waiting: %v", err)
	}
	r.mustPublish("redox.out.clinic-a.send.0123456789abcdef0123456789abcdef") // nothing was closed

	begun := make(chan struct{})
	working, stop := context.WithCancel(r.ctx())
	defer stop()
	go func() {
		<-begun
		r.drained(working, "clinic-a", 4)
	}()
	var seen []uint64
	changes, err := eight.Repartition(r.ctx(), r.js, true, func(left uint64) {
		if len(seen) == 0 {
			// Closed: ordered messages are refused and not stored, everything else flows.
			if _, err := r.publish("redox.out.clinic-a.send.0123456789abcdef0123456789abcdef"); !errors.Is(err, jetstream.ErrNoStreamResponse) {
				t.Errorf("an ordered message while closed: %v", err)
			}
			r.mustPublish("redox.out.clinic-a.send")
			r.mustPublish("redox.out.clinic-a.request")
			if drift, err := four.Drift(r.ctx(), r.js); err != nil || len(drift) != 1 || drift[0].Action != Leave {
				t.Errorf("another process would open it meanwhile: %v, %v", drift, err)
			}
			close(begun)
		}
		seen = append(seen, left)
	})
	if err != nil || len(changes) != 1 || changes[0].Action != Update {
		t.Fatalf("changes %v, %v", changes, err)
	}
	if len(seen) == 0 || seen[0] != 31 {
		t.Errorf("progress %v, want 31 at first", seen)
	}
	r.mustPublish("redox.out.clinic-a.send.0123456789abcdef0123456789abcdef")
	if n := len(r.ensure(eight)); n != 4 {
		t.Errorf("%d changes after it, want the four new consumers", n)
	}
	r.settled(eight)
}

func TestRepartition_OpensAgainWhenItIsStopped(t *testing.T) {
	t.Parallel()
	r := newTopologyRig(t)
	r.ensure(Topology{Sources: []string{"clinic-a"}, Partitions: 4})
	r.mustPublish("redox.out.clinic-a.send.0123456789abcdef0123456789abcdef")
	ctx, cancel := context.WithCancel(r.ctx())
	_, err := Topology{Sources: []string{"clinic-a"}, Partitions: 8}.Repartition(ctx, r.js, true, func(uint64) { cancel() })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	r.settled(Topology{Sources: []string{"clinic-a"}, Partitions: 4})
	r.mustPublish("redox.out.clinic-a.send.0123456789abcdef0123456789abcdef")
}

// Who closed the queue died before it was opened again.
func TestEnsure_OpensWhatWasLeftClosed(t *testing.T) {
	t.Parallel()
	r := newTopologyRig(t)
	four := Topology{Sources: []string{"clinic-a"}, Partitions: 4}
	r.ensure(four)
	r.updateStream("REDOX_OUT", func(c *jetstream.StreamConfig) {
		c.Subjects = Prefix("").closedSubjects()
		c.Metadata = withMetadata(c.Metadata, closedUntil, time.Now().Add(-time.Second).UTC().Format(time.RFC3339))
	})
	if changes := r.ensure(four); len(changes) != 1 || changes[0].Action != Update {
		t.Errorf("changes %v", changes)
	}
	r.mustPublish("redox.out.clinic-a.send.0123456789abcdef0123456789abcdef")
	r.settled(four)
}

func TestRepartition_NothingToDo(t *testing.T) {
	t.Parallel()
	r := newTopologyRig(t)
	four := Topology{Sources: []string{"clinic-a"}, Partitions: 4}
	if changes, err := four.Repartition(r.ctx(), r.js, true, nil); err != nil || changes != nil {
		t.Errorf("without a queue: %v, %v", changes, err)
	}
	r.ensure(four)
	if changes, err := four.Repartition(r.ctx(), r.js, true, nil); err != nil || changes != nil {
		t.Errorf("same number: %v, %v", changes, err)
	}
}

// The sources of another fleet would be read from partitions that its workers do not know.
func TestRepartition_NotBehindTheBackOfAnotherFleet(t *testing.T) {
	t.Parallel()
	r := newTopologyRig(t)
	r.ensure(Topology{Sources: []string{"clinic-a"}, Partitions: 4})
	other := Topology{Sources: []string{"clinic-z"}, Partitions: 8}
	changes, err := other.Ensure(r.ctx(), r.js)
	if !errors.Is(err, ErrRefused) || !strings.Contains(fmt.Sprint(changes), "(clinic-a)") {
		t.Errorf("Ensure: %v, %v", changes, err)
	}
	for _, wait := range []bool{false, true} {
		if _, err := other.Repartition(r.ctx(), r.js, wait, nil); !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "(clinic-a)") {
			t.Errorf("Repartition, waiting %t: %v", wait, err)
		}
	}
	if n, err := Partitions(r.ctx(), r.js, ""); n != 4 || err != nil {
		t.Errorf("%d partitions, %v", n, err)
	}
	if n, err := Partitions(r.ctx(), r.js, "other"); n != 0 || err != nil {
		t.Errorf("%d partitions where there is no queue, %v", n, err)
	}
	both := Topology{Sources: []string{"clinic-a", "clinic-z"}, Partitions: 8}
	if _, err := both.Ensure(r.ctx(), r.js); err != nil {
		t.Errorf("with both: %v", err)
	}
	if n, err := Partitions(r.ctx(), r.js, ""); n != 8 || err != nil {
		t.Errorf("%d partitions, %v", n, err)
	}
}
