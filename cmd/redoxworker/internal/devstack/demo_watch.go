package devstack

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/worker"
	"github.com/redoxworker/redoxworker/worker/redoxsim"
)

// observe an event of the worker.
func (d *demonstration) observe(e worker.Event) {
	d.mu.Lock()
	defer d.mu.Unlock()
	brief := e
	if e.Status != 0 {
		brief.Error = "" // the status says it, and the line fits a terminal of 80
	}
	h, ok := happened(brief)
	if !ok {
		return
	}
	h.Error = e.Error
	for _, s := range d.samples {
		if s.file == e.MessageID {
			h.Name = s.event
		}
	}
	if e.Kind != worker.EventSettled {
		d.view.show(h)
		return
	}
	if e.Lane != contract.LaneRequest || e.Settlement != outbox.Delivered { // an answer is shown when the caller has it
		d.view.show(h)
	}
	d.settled[e.MessageID] = e
	d.settle(e.MessageID)
}

// answered takes the reply to a REQUEST.
func (d *demonstration) answered(s sample, r outbox.Reply, took time.Duration) {
	h := happening{Event: "answered", Message: s.file, Name: s.event, Source: s.source, Lane: string(s.lane), Status: r.Status,
		Attempt: r.Attempts, Took: took.Seconds(), Error: r.Error}
	h.Detail = fmt.Sprintf("%d in %s, %d bytes", r.Status, short(took), len(r.Body))
	if s.durable {
		h.Detail = fmt.Sprintf("%d in %s, in %s", r.Status, short(took), contract.Prefix("").ReplyStream())
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.view.show(h)
	d.replies[s.file] = r
	d.settle(s.file)
}

// settle ends the watch over a message that has all it should get. The caller holds mu.
func (d *demonstration) settle(id string) {
	s := d.open[id]
	if s == nil {
		return
	}
	_, settled := d.settled[id]
	_, replied := d.replies[id]
	if !settled || s.lane == contract.LaneRequest && !replied {
		return
	}
	if delete(d.open, id); len(d.open) == 0 {
		close(d.done)
	}
}

// stillOpen names the messages that have not all they should get.
func (d *demonstration) stillOpen() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return strings.Join(slices.Sorted(maps.Keys(d.open)), ", ")
}

// arrived shows what the worker has no event for: a 401 and the request after it are one attempt.
func (d *demonstration) arrived(a redoxsim.Arrival) {
	if a.Status == http.StatusUnauthorized {
		d.view.show(happening{Event: "renew", Name: a.Key, Status: a.Status, Detail: "401, sent with a new token"})
	}
}
