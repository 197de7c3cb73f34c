package reconcile

import (
	"context"
	"encoding/json"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/redoxworker/redoxworker/worker/internal/backoff"
)

// entry is a log in the stream of those that are followed.
type entry struct {
	Log      string    `json:"log"`
	Message  string    `json:"message"`
	Sequence uint64    `json:"sequence"`
	At       time.Time `json:"at"` // when Redox took the message
}

const (
	maxBatch      = 256
	storeParallel = 16
	storeTimeout  = 5 * time.Second
	storeWait     = 100 * time.Millisecond // before the first repeat
	storeMaxWait  = 5 * time.Second
)

// store publishes what Follow queued, a batch at a time, and repeats what NATS did not
// confirm, until ctx ends.
func (r *Reconciler) store(ctx context.Context) {
	for {
		var batch []*nats.Msg
		select {
		case d := <-r.queue:
			batch = r.drain(append(batch, r.messages(d)...))
		case <-ctx.Done():
			r.storeRest(ctx, nil)
			return
		}
		for failures := 0; ; failures++ {
			if batch = r.publish(ctx, batch); len(batch) == 0 {
				break
			}
			r.log.Warn("logs to follow could not be stored; trying again", "logs", len(batch))
			if !backoff.Sleep(ctx, backoff.Exponential(storeWait, storeMaxWait, failures+1)) {
				r.storeRest(ctx, batch)
				return
			}
		}
	}
}

// storeRest stores a batch and what is queued, once, when ctx has ended.
func (r *Reconciler) storeRest(ctx context.Context, batch []*nats.Msg) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeTimeout)
	defer cancel()
	for batch = r.drain(batch); len(batch) > 0; batch = r.drain(nil) {
		r.metrics.dropped.Add(float64(len(r.publish(ctx, batch))))
	}
}

// drain adds what is queued to a batch, without waiting.
func (r *Reconciler) drain(batch []*nats.Msg) []*nats.Msg {
	for len(batch) < maxBatch {
		select {
		case d := <-r.queue:
			batch = append(batch, r.messages(d)...)
		default:
			return batch
		}
	}
	return batch
}

// messages are the entries of one message: one for each of its logs, or the event that it has none.
func (r *Reconciler) messages(d Delivered) []*nats.Msg {
	all := make([]*nats.Msg, 0, max(1, len(d.LogIDs)))
	if len(d.LogIDs) == 0 {
		m, err := r.unfollowedEvent(d)
		if err != nil {
			r.log.Error("an event cannot be written", "source", d.Source, "message", d.Message, "error", err)
			return nil
		}
		return append(all, m)
	}
	for _, id := range d.LogIDs {
		m := nats.NewMsg(r.config.Prefix.ReconcileSubject(d.Source))
		m.Header.Set(nats.MsgIdHdr, d.Source+":"+id)
		var err error
		if m.Data, err = json.Marshal(entry{Log: id, Message: d.Message, Sequence: d.Sequence, At: d.At.UTC()}); err != nil {
			r.log.Error("a log cannot be followed", "log", id, "source", d.Source, "message", d.Message, "error", err)
			continue
		}
		all = append(all, m)
	}
	return all
}

// publish stores a batch, some of it at a time, and returns what was not confirmed.
func (r *Reconciler) publish(ctx context.Context, batch []*nats.Msg) (failed []*nats.Msg) {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	var all sync.WaitGroup
	lost := make([]bool, len(batch))
	for first := range min(storeParallel, len(batch)) {
		all.Go(func() {
			for i := first; i < len(batch); i += storeParallel {
				_, err := r.js.PublishMsg(ctx, batch[i])
				lost[i] = !stored(batch[i], err)
			}
		})
	}
	all.Wait()
	for i, m := range batch {
		if lost[i] {
			failed = append(failed, m)
			continue
		}
		if !isEvent(m) {
			r.metrics.followed.Inc()
		}
	}
	return failed
}
