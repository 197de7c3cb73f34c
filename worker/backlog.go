package worker

import (
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/redoxworker/redoxworker/outbox"
)

// backlogTimeout bounds a look at the queue.
const backlogTimeout = 5 * time.Second

// backlog holds the gauges of what the work queue holds for the worker's sources: messages that
// wait, and messages that any worker has in flight. All workers report the same. A worker reports
// none while NATS does not answer.
type backlog struct {
	messages *prometheus.GaugeVec
	oldest   *prometheus.GaugeVec
	shown    map[[2]string]uint64
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

// show sets the gauges to what a look at the queue found, for served sources that have messages
// or had some. It must not be called concurrently.
func (b *backlog) show(info *jetstream.StreamInfo, prefix outbox.Prefix, served func(source string) bool) {
	count := make(map[[2]string]uint64)
	for subject, n := range info.State.Subjects {
		if source, kind, _, _ := prefix.ParseOut(subject); kind != "" && served(source) {
			count[[2]string{source, string(kind)}] += n
		}
	}
	for key, n := range count {
		b.messages.WithLabelValues(key[0], key[1]).Set(float64(n))
	}
	for key := range b.shown {
		if count[key] == 0 {
			b.messages.WithLabelValues(key[0], key[1]).Set(0)
		}
	}
	b.shown = count
	age := 0.0
	if info.State.Msgs > 0 {
		age = max(0, info.TimeStamp.Sub(info.State.FirstTime).Seconds())
	}
	b.oldest.WithLabelValues().Set(age)
}

// hide resets the gauges: the queue could not be looked at.
func (b *backlog) hide() {
	b.messages.Reset()
	b.oldest.Reset()
	b.shown = nil
}
