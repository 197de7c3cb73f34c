package overview

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"

	"github.com/redoxworker/redoxworker/outbox/contract"
)

// Announcement is what [Announce] tells.
type Announcement struct {
	// Prefix of subjects. Default "redox".
	Prefix contract.Prefix
	// Version of the program.
	Version string
	// Report is asked for the state of the worker, at most five times a second whoever asks; see
	// [Of]. What Announce knows itself it fills in: Instance, Version, Since, SourcesDigest.
	Report func() Worker
	// Serves is asked for the sources that the worker serves, each with its scopes: see
	// worker.Worker.Served.
	Serves func() map[string][]string
	// Logger receives what the server reports; nil discards it.
	Logger *slog.Logger
}

const (
	serviceName    = "redox-worker"
	serviceVersion = "1.0.0" // of the subjects and answers, not of the program
	// fresh is for how long a report is given to whoever asks.
	fresh = 200 * time.Millisecond
)

// Announce has the worker found as the NATS micro service redox-worker, and answers for it, until
// ctx ends. It answers whoever may ask <prefix>.worker.status, with a [Worker] in JSON, and
// <prefix>.worker.sources.<instance>, with the sources that it serves. An error says that it
// cannot, or that the connection is closed.
func Announce(ctx context.Context, conn *nats.Conn, a Announcement) error {
	if conn == nil || a.Report == nil || a.Serves == nil {
		return errors.New("overview: Announce needs a connection, Report and Serves")
	}
	n := &announcer{Announcement: a, since: time.Now(), most: int(conn.MaxPayload() / 4 * 3)}
	n.Logger = cmp.Or(a.Logger, slog.New(slog.DiscardHandler))
	closed := make(chan struct{})
	service, err := micro.AddService(conn, micro.Config{
		Name: serviceName, Version: serviceVersion, Description: "Delivers messages to Redox.", QueueGroupDisabled: true,
		Metadata: map[string]string{"prefix": a.Prefix.String(), "worker": a.Report().ID, "version": a.Version},
		StatsHandler: func(e *micro.Endpoint) any {
			if e.Name != "status" {
				return nil
			}
			return json.RawMessage(n.status())
		},
		DoneHandler: func(micro.Service) { close(closed) },
		ErrorHandler: func(_ micro.Service, e *micro.NATSError) {
			n.Logger.Warn("the worker cannot be asked for its state: the server reported an error", "subject", e.Subject, "error", e.Description)
		},
	})
	if err != nil {
		return fmt.Errorf("overview: announcing the worker: %w", err)
	}
	n.instance = service.Info().ID
	for name, e := range map[string]struct {
		subject string
		answer  func(micro.Request) []byte
	}{
		"status":  {a.Prefix.WorkersSubject(), func(micro.Request) []byte { return n.status() }},
		"sources": {a.Prefix.ServedSubject(n.instance), n.sources},
	} {
		tell := micro.HandlerFunc(func(r micro.Request) {
			if err := r.Respond(e.answer(r)); err != nil {
				n.Logger.Debug("the worker's state could not be told", "error", err)
			}
		})
		if err := service.AddEndpoint(name, tell, micro.WithEndpointSubject(e.subject)); err != nil {
			return errors.Join(fmt.Errorf("overview: announcing the worker: %w", err), service.Stop())
		}
	}
	select {
	case <-ctx.Done():
		return service.Stop()
	case <-closed:
		if ctx.Err() != nil {
			return nil
		}
		return errors.New("overview: the connection was closed")
	}
}

// announcer answers for a worker.
type announcer struct {
	Announcement
	instance string
	since    time.Time
	most     int // bytes of an answer

	mu      sync.Mutex
	told    []byte
	toldAt  time.Time
	serving serving
	digest  string
	asked   time.Time
}

// status is the report in JSON, as it was asked for a moment ago at the latest.
func (n *announcer) status() []byte {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.told != nil && time.Since(n.toldAt) < fresh {
		return n.told
	}
	w := n.report()
	n.look()
	w.Instance, w.Version, w.Since, w.SourcesDigest = n.instance, n.Version, n.since, n.digest
	text, err := json.Marshal(w)
	if len(text) > n.most { // what is long goes without what is longest
		w.InHand, w.Status.Unanswered, w.Status.Narrowed = nil, nil, nil
		text, err = json.Marshal(w)
	}
	if err != nil {
		text, _ = json.Marshal(Worker{ID: w.ID, Instance: n.instance, Version: n.Version, Since: n.since, Problems: []string{"the state of the worker cannot be told: " + err.Error()}})
	}
	n.told, n.toldAt = text, time.Now()
	return text
}

// report asks the program, which may panic.
func (n *announcer) report() (w Worker) {
	defer func() {
		if p := recover(); p != nil {
			w = Worker{Problems: []string{fmt.Sprintf("the state of the worker is not known: Announcement.Report panicked (%T)", p)}}
		}
	}()
	return n.Report()
}

// look asks what is served. The caller holds the mutex.
func (n *announcer) look() {
	defer func() {
		if p := recover(); p != nil {
			n.Logger.Error("what the worker serves is not known: Announcement.Serves panicked", "type", fmt.Sprintf("%T", p))
		}
	}()
	if now := time.Now(); n.digest == "" || now.Sub(n.asked) >= fresh {
		n.serving, n.digest = servingOf(n.Serves())
		n.asked = now
	}
}

// sources answers a part of what is served, from the place that the request names on.
func (n *announcer) sources(r micro.Request) []byte {
	var question struct {
		From int `json:"from"`
	}
	_ = json.Unmarshal(r.Data(), &question) // from the first on
	n.mu.Lock()
	n.look()
	page := n.serving.page(question.From, n.most/2)
	n.mu.Unlock()
	text, err := json.Marshal(page)
	if err != nil {
		n.Logger.Error("what the worker serves cannot be told", "error", err)
	}
	return text
}
