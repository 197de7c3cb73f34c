package jsapi

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Explain adds to a failed request of the JetStream API what was asked for and
// what to do about it.
func Explain(err error, js jetstream.JetStream, what string) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, jetstream.ErrJetStreamNotEnabled) || errors.Is(err, jetstream.ErrJetStreamNotEnabledForAccount) ||
		errors.Is(err, nats.ErrNoResponders) {
		return fmt.Errorf("outbox: %s: %w: enable jetstream in the server's configuration and for this account", what, err)
	}
	if Unanswered(err) {
		return explainTimeout(err, js.Conn(), what)
	}
	if mend := mendOf(err); mend != "" {
		return fmt.Errorf("outbox: %s: %w: %s", what, err, mend)
	}
	return fmt.Errorf("outbox: %s: %w", what, err)
}

// MendInbox is for a user whose answers go where it may not listen; more rights would let it
// read what is meant for others.
const MendInbox = "set the inbox prefix that this user may subscribe to (nats.inbox_prefix)"

// Unanswered reports whether a request ended without an answer.
func Unanswered(err error) bool {
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, nats.ErrTimeout) || errors.Is(err, ErrPermission)
}

// explainTimeout looks for the reason of a request without an answer: the
// server tells the connection about a refused subject, not the request, and the
// connection keeps the last: that may be another's, of requests side by side.
func explainTimeout(err error, nc *nats.Conn, what string) error {
	if last := Forbidden(nc); last != nil {
		return fmt.Errorf("outbox: %s: %w (last refused: %w): allow this user the subject, or connect as another user", what, ErrPermission, last)
	}
	if RefusedInbox(nc) {
		return fmt.Errorf("outbox: %s: %w (last refused: %w): %s", what, ErrPermission, nc.LastError(), MendInbox)
	}
	if !nc.IsConnected() {
		return fmt.Errorf("outbox: %s: %w: not connected to NATS", what, err)
	}
	return fmt.Errorf("outbox: %s: %w: no answer: is the JetStream cluster without a leader, or is this user not allowed to use $JS.API?", what, err)
}

// Forbidden returns the error of a subject of JetStream that the server has
// last refused to this connection, nil if there is none.
func Forbidden(nc *nats.Conn) error {
	last := nc.LastError()
	if errors.Is(last, nats.ErrPermissionViolation) && strings.Contains(last.Error(), `"$JS.`) {
		return last
	}
	return nil
}

func mendOf(err error) string {
	switch Code(err) {
	case CodeNotClustered, codeNoPeers:
		if strings.Contains(err.Error(), "peer offline") {
			return "a server of the cluster is down, or its leader has not heard of it yet: start it, and try again in a moment"
		}
		return "more replicas than servers with JetStream and room: lower the replicas or add servers"
	case codeAccountResources, CodeInsufficientResources, codeMemoryResources, codeStorageResources:
		return "raise the storage limit of the account or of the server"
	case codeMaxStreams:
		return "raise the account's limit of streams"
	case codeSubjectOverlap:
		return "another stream takes these subjects: use another prefix or change that stream"
	}
	return ""
}
