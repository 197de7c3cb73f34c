package reconcile

import (
	"cmp"
	"encoding/json"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/dlq"
)

// subjectOf is what is unfollowed of a source: its messages of one kind.
type subjectOf struct {
	source string
	kind   outbox.Kind
}

// unfollowed counts a message whose answer names no log. The first one of its kind and source is
// said; it never blocks.
func (r *Reconciler) unfollowed(d Delivered) {
	d.Kind = cmp.Or(d.Kind, outbox.KindDataModel)
	r.metrics.unfollow(d.Kind)
	of := subjectOf{d.Source, d.Kind}
	if _, said := r.said.LoadOrStore(of, true); said {
		return
	}
	select {
	case r.queue <- d:
		r.log.Info("redox named no log in its answer; what becomes of messages of this kind is not followed", "source", d.Source, "kind", d.Kind, "message", d.Message)
	default:
		r.said.Delete(of) // the next one says it
	}
}

// unfollowedEvent is the event of the first message of a kind and source that cannot be followed.
// The stream takes it once for as long as it keeps it, whoever publishes it.
func (r *Reconciler) unfollowedEvent(d Delivered) (*nats.Msg, error) {
	data, err := json.Marshal(Event{
		Event: Unfollowed, At: time.Now().UTC(), Source: d.Source, Kind: d.Kind, Message: d.Message, Sequence: d.Sequence, Delivered: d.At.UTC(),
	})
	m := nats.NewMsg(r.config.Prefix.EventSubject(d.Source, Unfollowed+"-"+string(d.Kind)))
	m.Header.Set(jetstream.ExpectedLastSubjSeqHeader, "0")
	m.Header.Set("Content-Type", "application/json")
	m.Data = data
	return m, err
}

// isEvent reports whether a message is an event, and no log to be followed.
func isEvent(m *nats.Msg) bool { return m.Header.Get(jetstream.ExpectedLastSubjSeqHeader) != "" }

// stored reports whether a publish is over.
func stored(m *nats.Msg, err error) bool { return err == nil || isEvent(m) && dlq.IsAlreadyStored(err) }
