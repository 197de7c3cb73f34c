package worker

import (
	"strings"

	"github.com/redoxworker/redoxworker/outbox"
)

// reply publishes the reply. durable reports whether a stream confirmed it.
func (s *settlement) reply() (durable bool, err error) {
	w, d := s.worker, s.delivery
	msg := s.replyMsg().Encode(d.message.ReplyTo)
	if w.tooLarge(msg) {
		if err := w.putAside(msg, w.config.Prefix.ReplyBodyName(d.message.Source, d.message.ID, d.message.Sequence)); err != nil {
			return false, err
		}
	}
	if w.config.Prefix.IsReplySubject(d.message.ReplyTo) {
		msg.Header.Set(outbox.HeaderID, d.message.ReplyID())
		err := w.depot.Put(s.ctx(), d.message.Source, msg, &s.tried)
		return err == nil, err
	}
	return false, w.conn.PublishMsg(msg)
}

func (s *settlement) replyMsg() outbox.Reply {
	d := s.delivery
	v := &d.verdict
	return outbox.Reply{
		MessageID: d.message.ID, ReplayOf: d.message.ReplayOf, Settlement: v.settlement, Status: v.answer.Status, Attempts: d.attempts(),
		LogIDs: v.answer.LogIDs, Error: v.err, ContentType: v.answer.ContentType, Header: v.answer.Header, Body: v.answer.Body,
		TraceParent: d.message.TraceParent, TraceState: d.message.TraceState,
		PossibleDuplicate: d.possibleDuplicate(),
	}
}

// onePrefix wraps an error of the NATS client whose text repeats its prefix: "nats: nats: …".
type onePrefix struct{ error }

// Error returns the text with one prefix.
func (e onePrefix) Error() string {
	return strings.ReplaceAll(e.error.Error(), "nats: nats: ", "nats: ")
}

func (e onePrefix) Unwrap() error { return e.error }
