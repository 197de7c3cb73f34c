package console

import (
	"context"
	"net/http"
	"time"

	"github.com/redoxworker/redoxworker/outbox/dlq"
	"github.com/redoxworker/redoxworker/worker/console/access"
	"github.com/redoxworker/redoxworker/worker/order"
	"github.com/redoxworker/redoxworker/worker/overview"
)

const (
	// mostHeads bounds the heads and held tokens that are shown.
	mostHeads = 200
	// headsFor is for how long what was found is shown to all, at least.
	headsFor = 3 * time.Second
	// headsTimeout bounds the look.
	headsTimeout = 10 * time.Second
)

// heads are what ordered messages wait behind.
type heads struct {
	Heads []overview.Head
	Held  []dlq.HeldToken
	Taken time.Time
}

// readHeads counts the subjects of the queue, which the server feels.
func (c *Console) readHeads(ctx context.Context) (*heads, error) {
	first, err := c.gatherer.Heads(ctx, "", 2, mostHeads)
	if err != nil {
		return nil, err
	}
	held, err := dlq.NewHeldTokens(c.config.JS, c.config.Prefix).List(ctx)
	if err != nil {
		return nil, err
	}
	return &heads{Heads: first, Held: held, Taken: time.Now()}, nil
}

// orderData is what the page of orders shows.
type orderData struct {
	Heads        []overview.Head
	Held         []dlq.HeldToken
	MoreHeld     int
	Taken        time.Time
	Source       string
	MayHold      bool
	MostHeads    int
	HeadsReached bool
}

func (r *request) orders() (orderData, error) {
	data := orderData{Source: r.FormValue("source"), MayHold: r.user.MayAny(access.Hold), MostHeads: mostHeads}
	if data.Source != "" {
		if err := r.may(access.See, data.Source); err != nil {
			return data, err
		}
	}
	c := r.console
	found, err := c.heads.get(r.Context(), max(headsFor, c.gatherer.Pause()), headsTimeout, c.readHeads)
	if err != nil {
		return data, err
	}
	shown := func(source string) bool {
		return r.user.May(access.See, source) && (data.Source == "" || data.Source == source)
	}
	data.Taken, data.HeadsReached = found.Taken, len(found.Heads) == mostHeads
	for _, h := range found.Heads {
		if shown(h.Source) {
			data.Heads = append(data.Heads, h)
		}
	}
	for _, h := range found.Held {
		if !shown(h.Source) {
			continue
		}
		if len(data.Held) == mostHeads && !r.json {
			data.MoreHeld++
			continue
		}
		data.Held = append(data.Held, h)
	}
	return data, nil
}

// showOrder shows the messages that others wait behind, and the orders that wait behind dead letters;
// to programs the first as order ls --json does.
func (c *Console) showOrder(w http.ResponseWriter, r *request) error {
	data, err := r.orders()
	if err != nil {
		return err
	}
	if r.json {
		return writeLines(w, data.Heads)
	}
	return r.live(w, r.page("order", "Order", data))
}

// showHeld tells programs of held tokens, as order held --json does; people see them with the heads.
func (c *Console) showHeld(w http.ResponseWriter, r *request) error {
	data, err := r.orders()
	if err != nil {
		return err
	}
	if r.json {
		return writeLines(w, data.Held)
	}
	return r.live(w, r.page("order", "Order", data))
}

// hold has the head of an order settled held.
func (c *Console) hold(w http.ResponseWriter, r *request) error {
	source := r.FormValue("source")
	if err := r.may(access.Hold, source); err != nil {
		return err
	}
	desk, reason, err := r.deed()
	if err != nil {
		return err
	}
	state, err := desk.Hold(r.Context(), source, r.FormValue("id"), reason)
	if err != nil {
		return err
	}
	c.heads.forget()
	c.view.done()
	state.Head.ByHand = true
	return r.seeOther(w, "order?done=held", []order.State{state})
}

// release lets an order token go on that waits behind dead letters.
func (c *Console) release(w http.ResponseWriter, r *request) error {
	source, token := r.FormValue("source"), r.FormValue("token")
	if err := r.may(access.Release, source); err != nil {
		return err
	}
	desk, reason, err := r.deed()
	if err != nil {
		return err
	}
	held, err := dlq.NewHeldTokens(c.config.JS, c.config.Prefix).Load(r.Context(), source, token)
	if err != nil {
		return err
	}
	if held.Last == 0 && !held.Damaged {
		return &problem{Status: http.StatusConflict, Text: "this order token is not held", Mend: "it may have been released meanwhile"}
	}
	if err := desk.Release(r.Context(), source, token, reason); err != nil {
		return err
	}
	c.heads.forget()
	c.view.done()
	return r.seeOther(w, "order?done=released", []dlq.HeldToken{held})
}
