package worker

import (
	"context"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/redoxworker/redoxworker/outbox"
)

const (
	backlogEvery   = 15 * time.Second
	backlogTimeout = 5 * time.Second
)

// backlog measures what the work queue holds for the worker's sources: what waits, and what
// any worker has in flight. Every worker tells the same, and none of it when NATS does not
// answer.
type backlog struct {
	messages *prometheus.GaugeVec
	oldest   *prometheus.GaugeVec
}

func newBacklog() backlog {
	gauge := func(name, help string, labels ...string) *prometheus.GaugeVec {
		return prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "redoxworker_queue_" + name, Help: help}, labels)
	}
	return backlog{
		messages: gauge("messages", "Messages in the work queue that are not settled, those in flight included.", "source", "lane"),
		oldest:   gauge("oldest_seconds", "Age of the oldest message in the work queue, of any source; 0 when it is empty."),
	}
}

// watch measures now and then until ctx ends.
func (b backlog) watch(ctx context.Context, js jetstream.JetStream, prefix outbox.Prefix, lanes []*lane) {
	for ctx.Err() == nil {
		if err := b.measure(ctx, js, prefix, lanes); err != nil {
			b.messages.Reset()
			b.oldest.Reset()
		}
		sleep(ctx, backlogEvery)
	}
}

// measure asks once for all lanes.
func (b backlog) measure(ctx context.Context, js jetstream.JetStream, prefix outbox.Prefix, lanes []*lane) error {
	ctx, cancel := context.WithTimeout(ctx, backlogTimeout)
	defer cancel()
	stream, err := js.Stream(ctx, prefix.OutStream())
	if err != nil {
		return err
	}
	info, err := stream.Info(ctx, jetstream.WithSubjectFilter(prefix.OutSubjects()))
	if err != nil {
		return err
	}
	count := make(map[[2]string]uint64)
	for subject, n := range info.State.Subjects {
		if source, kind, _, err := prefix.ParseOut(subject); err == nil {
			count[[2]string{source, string(kind)}] += n
		}
	}
	for _, l := range lanes {
		b.messages.WithLabelValues(l.source, string(l.kind)).Set(float64(count[[2]string{l.source, string(l.kind)}]))
	}
	age := 0.0
	if info.State.Msgs > 0 {
		age = max(0, info.TimeStamp.Sub(info.State.FirstTime).Seconds())
	}
	b.oldest.WithLabelValues().Set(age)
	return nil
}
