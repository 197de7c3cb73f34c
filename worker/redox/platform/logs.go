package platform

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/contract"
)

var (
	// ErrNoLog is returned when Redox has no log of that id, or none yet, or shows it to
	// others only: it answers 404 to all three.
	ErrNoLog = errors.New("redox shows no log of this id")
	// ErrBadID is returned for an id that cannot be one of Redox's; nothing was sent.
	ErrBadID = errors.New("not a log id: use letters, digits and -")
	// ErrUnreadable is returned for an answer that does not have the form that Redox documents.
	ErrUnreadable = errors.New("the answer does not have the form that Redox documents")
)

// Deliver sends one message to Redox and returns its answer. It is the Deliver method of
// a redox.Client. Its error must hold no secret.
type Deliver func(ctx context.Context, m outbox.Message) (outbox.Answer, error)

// Logs looks up logs of one organization. It is safe for concurrent use.
type Logs struct {
	// Deliver sends the requests. Required.
	Deliver Deliver
	// Source is a source of Deliver on a user-level key. Required.
	Source string
	// Organization is its id in Redox's dashboard. Required.
	Organization string
	// Backfill looks among the logs of backfill traffic instead of real-time traffic; one
	// request sees one of the two (Redox, Get log by id).
	Backfill bool
}

// Look asks for one log. It blocks until Redox has answered, for at most as long as
// Deliver does. ErrNoLog, ErrBadID and the errors of Deliver are wrapped.
func (l Logs) Look(ctx context.Context, id string) (Log, error) {
	if l.Deliver == nil {
		return Log{}, errors.New("platform: there is no Deliver: give the Deliver method of a redox.Client")
	}
	if !isID(id) || !isID(l.Organization) {
		return Log{}, ErrBadID
	}
	m := outbox.Message{
		ID: "log:" + id, Source: l.Source, Lane: contract.LaneRequest, Kind: outbox.KindPlatform,
		Method: http.MethodGet, Path: "v1/organizations/" + l.Organization + "/logs/" + id, Stored: time.Now(),
	}
	if l.Backfill {
		m.Path += "?dataMode=backfill"
	}
	answer, err := l.Deliver(ctx, m)
	switch {
	case err != nil && answer.Status == http.StatusNotFound:
		return Log{}, fmt.Errorf("platform: log %s: %w", id, ErrNoLog)
	case err != nil:
		return Log{}, fmt.Errorf("platform: log %s: %w", id, err)
	}
	found, err := parse(answer.Body)
	if err != nil {
		return Log{}, fmt.Errorf("platform: log %s: %w: %w", id, ErrUnreadable, err)
	}
	found.ID = id
	return found, nil
}

// OneLog reports whether an error of Look says something about that log alone: other logs
// may be looked up all the same.
func OneLog(err error) bool {
	if errors.Is(err, ErrNoLog) || errors.Is(err, ErrBadID) || errors.Is(err, ErrUnreadable) {
		return true
	}
	var answered interface{ Status() int }
	if !errors.As(err, &answered) {
		return false
	}
	switch answered.Status() {
	case http.StatusBadRequest, http.StatusNotFound, http.StatusGone, http.StatusUnprocessableEntity:
		return true
	}
	return false
}

// isID reports whether s is 1 to 64 letters, digits, '-' and '_', so that it is one
// segment of a path and nothing else.
func isID(s string) bool {
	if s == "" || len(s) > 64 {
		return false
	}
	for i := range len(s) {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '_':
		default:
			return false
		}
	}
	return true
}
