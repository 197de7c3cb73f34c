package reconcile

import (
	"context"
	"encoding/json"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/worker/redox/platform"
)

// Kinds of an [Event], the last token of its subject.
const (
	// Failed: Redox reports that the latest attempt to deliver the message failed.
	Failed = "failed"
	// Unconfirmed: Redox reported no end within Config.GiveUp, or there was no time to ask.
	Unconfirmed = "unconfirmed"
	// Unfollowed: Redox named no log in its answer, as it does for FHIR writebacks, files and the
	// Platform API, so that nobody can ask it what became of the message. Its subject ends in the
	// kind of message besides, as in redox.event.<source>.unfollowed-fhir, and it comes for the first
	// message of a source and kind alone.
	Unfollowed = "unfollowed"
)

// Event is the JSON body of a message on redox.event.<source>.<kind>, the subject of the
// prefix that is configured. Fields may be added. It holds no patient data.
type Event struct {
	Event string    `json:"event"`
	At    time.Time `json:"at"`
	// Source, Message and Sequence say which message of REDOX_OUT it is about.
	Source string `json:"source"`
	// Kind of message; only with Unfollowed.
	Kind     outbox.Kind `json:"kind,omitempty"`
	Message  string      `json:"message"`
	Sequence uint64      `json:"sequence"`
	// Delivered is when Redox took the message.
	Delivered time.Time `json:"delivered"`
	// Log is what Redox says; of one that it never showed, only the id is known. Unfollowed has none.
	Log platform.Log `json:"log,omitzero"`
}

// publishEvent stores an event, then settles its log. Without the first there is no second:
// the log comes again. The id of the event lets the server drop a repeat.
func (r *Reconciler) publishEvent(ctx context.Context, msg jetstream.Msg, source string, e entry, kind string, found platform.Log) {
	data, err := json.Marshal(Event{
		Event: kind, At: time.Now().UTC(), Source: source, Message: e.Message, Sequence: e.Sequence, Delivered: e.At, Log: found,
	})
	if err == nil {
		m := nats.NewMsg(r.config.Prefix.EventSubject(source, kind))
		m.Header.Set(nats.MsgIdHdr, source+":"+e.Log+":"+kind)
		m.Header.Set("Content-Type", "application/json")
		m.Data = data
		once, cancel := context.WithTimeout(context.WithoutCancel(ctx), natsTimeout)
		defer cancel()
		_, err = r.js.PublishMsg(once, m)
	}
	if err != nil {
		r.log.Warn("an event about a log could not be stored; the log is looked up again", "log", e.Log, "event", kind, "error", err)
		_ = msg.NakWithDelay(firstPause)
		return
	}
	text := "redox did not deliver a message that it took"
	if kind == Unconfirmed {
		text = "whether redox has delivered a message that it took is not known"
	}
	r.log.Warn(text, "event", kind, "source", source, "message", e.Message, "log", e.Log,
		"status", found.Status, "attempts", found.Attempts)
	r.settle(ctx, msg, kind)
}
