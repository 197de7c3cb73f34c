// Package tally counts what the streams hold, by source: messages of the work queue, and dead
// letters. What a worker's metrics show, and what package overview does, is counted here.
//
// The server counts subjects under the lock of their stream. Whoever asks has to bound how often.
package tally

import (
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/outbox/contract"
)

// Waiting names what waits in the queue. Its lane is send, ordered or request.
type Waiting struct {
	Source string
	Lane   contract.Lane
}

// Crowd is how many messages an order token has.
type Crowd struct {
	Source, Token string
	Messages      uint64
}

// Queue is what the work queue holds: all sources, whoever serves them.
type Queue struct {
	At    time.Time // by the server's clock
	First time.Time // when the oldest message was stored; zero: there is none
	// Messages that are not settled, by source and lane.
	Messages map[Waiting]uint64
	// Astray are those under subjects that no worker reads.
	Astray uint64
}

// OfQueue counts by the subjects of an answer about the queue. crowd, unless it is nil, is told of
// each order token that has several messages.
func OfQueue(p contract.Prefix, info *jetstream.StreamInfo, crowd func(Crowd)) Queue {
	q := Queue{At: info.TimeStamp, Messages: make(map[Waiting]uint64)}
	if info.State.Msgs > 0 {
		q.First = info.State.FirstTime
	}
	for subject, n := range info.State.Subjects {
		source, lane, token, _ := p.ParseOut(subject)
		if lane == "" {
			q.Astray += n
			continue
		}
		q.Messages[Waiting{source, lane}] += n
		if crowd != nil && n > 1 && token != "" {
			crowd(Crowd{source, token, n})
		}
	}
	return q
}

// Unserved counts the messages of sources that are not served.
func (q Queue) Unserved(served func(source string) bool) (n uint64) {
	for w, messages := range q.Messages {
		if !served(w.Source) {
			n += messages
		}
	}
	return n
}
