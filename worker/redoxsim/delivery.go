package redoxsim

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// LogState is the state of a log (Redox, Logs; Get log by id).
type LogState string

// The states. A log that failed is tried again and may succeed yet.
const (
	LogPending   LogState = "pending"
	LogSucceeded LogState = "succeeded"
	LogFailed    LogState = "failed"
	LogFiltered  LogState = "filtered"
)

// Log is Redox's record of one message on its way to one destination. Only its id is known to the sender, and only
// from the Data Model API.
type Log struct {
	ID          string   `json:"id"`
	State       LogState `json:"state"`
	Attempts    int      `json:"attempts"` // to deliver it
	Source      string   `json:"source,omitempty"`
	Destination string   `json:"destination"`
	// Names that are not words of letters and blanks are "(not a word)".
	DataModel string    `json:"data_model"`
	EventType string    `json:"event_type"`
	Query     bool      `json:"query,omitempty"`
	Key       string    `json:"key,omitempty"`
	Seq       uint64    `json:"seq"`          // of the arrival
	At        time.Time `json:"at"`           // when Redox took the message
	End       time.Time `json:"end,omitzero"` // when the destination had it
	// Place is the place of the message among those that reached the destination, from 1; 0 when it has not.
	Place int `json:"place,omitempty"`
}

// logEntry is a log under way; the store's mutex guards it.
type logEntry struct {
	Log
	set bool // by SetLog: it is not delivered any more
}

// logStore is the logs and the queues of the destinations. Nothing runs in the background: what should have happened
// by now is worked out when somebody looks. Its zero value is empty.
type logStore struct {
	mu     sync.Mutex
	list   []*logEntry
	byID   map[string]*logEntry
	queues map[string]*queue
	all    bool // every delivery fails
}

// queue is what a destination has yet to get, in the order of arrival. A failed delivery pauses all of it until that
// message succeeds or is stopped (Redox, Handling notifications, 2026; older pages pause by data model only).
type queue struct {
	waiting []*logEntry
	failing bool
	tries   int       // failed attempts at the first message
	next    time.Time // of the next attempt, when tries > 0
	reached int
}

// retryDelays are the pauses after the first failed attempts; the last one repeats without end (Redox, Logs, 2021).
var retryDelays = []time.Duration{
	10 * time.Second, 10 * time.Second, 20 * time.Second, 30 * time.Second, 50 * time.Second, 80 * time.Second, 120 * time.Second,
}

// addLogs opens the logs of a request: those of a SEND go into the queues of the destinations, those of a REQUEST are
// over with its answer.
func (s *Server) addLogs(x *exchange, a answer) {
	if x.rec == nil {
		return
	}
	now := s.now()
	l := &s.logs
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.byID == nil {
		l.byID = map[string]*logEntry{}
	}
	dataModel, eventType := x.shown()
	for i, id := range a.logIDs {
		e := &logEntry{Log: Log{
			ID: id, State: LogPending, Source: x.source, DataModel: dataModel, EventType: eventType, Query: x.query,
			Key: x.name, Seq: x.seq, At: now,
		}}
		if i < len(x.msg.destinations) {
			e.Destination = x.msg.destinations[i].ID
		}
		l.list, l.byID[id] = append(l.list, e), e
		switch {
		case !a.accepted:
			e.State, e.Attempts, e.set = LogFailed, 1, true
		case x.query:
			e.State, e.Attempts, e.End, e.set = LogSucceeded, 1, now, true
		default:
			q := l.queue(e.Destination)
			q.waiting = append(q.waiting, e)
			s.advance(q, now)
		}
	}
	if limit := s.maxArrivals(); limit >= 0 && len(l.list) > 2*limit {
		l.forget(len(l.list) - limit)
	}
}

// forget drops the oldest logs. Those that still wait are delivered all the same.
func (l *logStore) forget(n int) {
	for _, e := range l.list[:n] {
		delete(l.byID, e.ID)
	}
	l.list = slices.Clone(l.list[n:])
}

func (l *logStore) queue(destination string) *queue {
	if l.queues == nil {
		l.queues = map[string]*queue{}
	}
	q := l.queues[destination]
	if q == nil {
		q = &queue{}
		l.queues[destination] = q
	}
	return q
}

// advance delivers what is due by now.
func (s *Server) advance(q *queue, now time.Time) {
	for len(q.waiting) > 0 {
		e := q.waiting[0]
		if e.set {
			q.pop()
			continue
		}
		due := e.At.Add(s.DeliverAfter)
		if q.tries > 0 {
			due = q.next
		}
		if due.After(now) {
			return
		}
		state := s.attempt(q, e.Log)
		e.State = state
		switch state {
		case LogPending:
			return
		case LogFailed:
			e.Attempts++
			q.next = due.Add(retryDelays[min(q.tries, len(retryDelays)-1)])
			q.tries++
		default:
			e.Attempts++
			e.End = due
			if state == LogSucceeded {
				q.reached++
				e.Place = q.reached
			}
			q.pop()
		}
	}
}

// attempt asks what becomes of one delivery.
func (s *Server) attempt(q *queue, l Log) LogState {
	if s.Deliver != nil {
		if state := s.Deliver(l); state != "" {
			return state
		}
	}
	if q.failing || s.logs.all {
		return LogFailed
	}
	return LogSucceeded
}

func (q *queue) pop() {
	q.waiting[0] = nil
	q.waiting, q.tries = q.waiting[1:], 0
	if len(q.waiting) == 0 {
		q.waiting = nil
	}
}

// advanceAll brings every queue up to now; the store's mutex is held.
func (s *Server) advanceAll() {
	now := s.now()
	for _, q := range s.logs.queues {
		s.advance(q, now)
	}
}

// Logs returns the logs in the order in which they were opened, as they are now.
func (s *Server) Logs() []Log {
	l := &s.logs
	l.mu.Lock()
	defer l.mu.Unlock()
	s.advanceAll()
	list := make([]Log, len(l.list))
	for i, e := range l.list {
		list[i] = e.Log
	}
	return list
}

// logOf returns one log as it is now.
func (s *Server) logOf(id string) (Log, bool) {
	l := &s.logs
	l.mu.Lock()
	defer l.mu.Unlock()
	s.advanceAll()
	e := l.byID[id]
	if e == nil {
		return Log{}, false
	}
	return e.Log, true
}

// SetLog gives a log a state for good, as when somebody stops or resends a message in Redox's dashboard: it leaves its
// queue, which goes on. attempts below 0 leaves the number as it is.
func (s *Server) SetLog(id string, state LogState, attempts int) error {
	switch state {
	case LogPending, LogSucceeded, LogFailed, LogFiltered:
	default:
		return fmt.Errorf("redoxsim: no state %q: use pending, succeeded, failed or filtered", state)
	}
	l := &s.logs
	l.mu.Lock()
	defer l.mu.Unlock()
	s.advanceAll()
	e := l.byID[id]
	if e == nil {
		return fmt.Errorf("redoxsim: no log has this id")
	}
	e.State, e.set = state, true
	if attempts >= 0 {
		e.Attempts = attempts
	}
	if q := l.queues[e.Destination]; q != nil && len(q.waiting) > 0 && q.waiting[0] == e {
		q.pop()
	}
	s.advanceAll()
	return nil
}

// FailDestination makes every delivery to a destination fail from now on, which pauses its queue; Redox goes on
// accepting. With failing false, the next attempt succeeds when it is due.
func (s *Server) FailDestination(id string, failing bool) {
	l := &s.logs
	l.mu.Lock()
	defer l.mu.Unlock()
	s.advanceAll()
	l.queue(id).failing = failing
}

// logStates counts the logs by state.
func (s *Server) logStates() map[LogState]int {
	l := &s.logs
	l.mu.Lock()
	defer l.mu.Unlock()
	s.advanceAll()
	states := map[LogState]int{}
	for _, e := range l.list {
		states[e.State]++
	}
	return states
}

// failAll is FailDestination for all of them, also those to come.
func (s *Server) failAll(failing bool) {
	l := &s.logs
	l.mu.Lock()
	defer l.mu.Unlock()
	s.advanceAll()
	l.all = failing
}

// paused returns the destinations whose queue is paused by a failed delivery, sorted.
func (s *Server) paused() []string {
	l := &s.logs
	l.mu.Lock()
	defer l.mu.Unlock()
	s.advanceAll()
	var list []string
	for id, q := range l.queues {
		if q.tries > 0 {
			list = append(list, id)
		}
	}
	slices.SortFunc(list, strings.Compare)
	return list
}
