package chaos

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/worker/internal/backoff"
)

// Sending is one message to publish.
type Sending struct {
	ID string
	// Key is the order key; "" is unordered.
	Key  string
	Lane contract.Lane
	// Hold publishes for the source that holds what is unknown.
	Hold bool
	// Reply asks for a durable reply.
	Reply bool
	// Faults are what the far side does to its attempts: see package redoxsim.
	Faults string
	// Dies is the settlement it is to end as; "" is delivered.
	Dies outbox.Settlement
}

// Mix is a load of n messages, the same for the same seed: three in five are ordered, over
// so many keys, two in fifteen are REQUESTs, one is to be held when its outcome is unknown.
// Two in five want a reply; some of the rest are rejected by the far side.
func Mix(seed uint64, n, keys int) []Sending {
	random := rand.New(rand.NewPCG(seed, 1))
	list := make([]Sending, n)
	for i := range list {
		s := &list[i]
		s.ID = fmt.Sprintf("%d-%03d", seed, i)
		s.Reply = random.IntN(5) < 2
		switch kind := random.IntN(15); {
		case kind < 9:
			s.Key = fmt.Sprint("patient ", random.IntN(keys))
		case kind < 11:
			s.Lane, s.Reply = contract.LaneRequest, true
		case kind < 12:
			s.Hold = true
		case random.IntN(8) == 0:
			s.Faults, s.Dies = always("400"), outbox.Rejected
		}
	}
	return list
}

// always is the script of a fault that meets every attempt, those cut short by a kill too.
func always(fault string) string { return strings.TrimSuffix(strings.Repeat(fault+",", 50), ",") }

// body of a message, as the simulator wants it.
func (s Sending) body() []byte {
	model, event := "PatientAdmin", "Arrival"
	if s.Lane == contract.LaneRequest {
		model, event = "PatientSearch", "Query"
	}
	body, err := json.Marshal(map[string]any{
		"Meta": map[string]any{"DataModel": model, "EventType": event, "Test": true,
			"Destinations": []any{map[string]any{"ID": "af394f14-b34a-464f-8d24-895f370af4c9"}}},
		"Patient": map[string]any{"Identifiers": []any{map[string]any{"ID": s.ID, "IDType": "MR"}}},
		"_sim":    map[string]any{"key": s.ID, "faults": s.Faults},
	})
	if err != nil {
		panic(err) // strings only
	}
	return body
}

// Publish stores one message, again and again with the same id until a receipt comes or
// ctx ends.
func (b *Bench) Publish(ctx context.Context, s Sending) error {
	m := outbox.Message{ID: s.ID, Source: sourceName, OrderKey: s.Key, Lane: s.Lane, Body: s.body()}
	if s.Hold {
		m.Source = holdingName
	}
	if s.Reply {
		m.ReplyTo = b.prefix.ReplySubject(m.Source, s.ID)
	}
	at := b.published(Published{ID: s.ID, Key: s.Key, ReplyTo: m.ReplyTo, Hold: s.Hold, Dies: s.Dies})
	for {
		try, cancel := context.WithTimeout(ctx, b.config.PublishTimeout)
		_, err := b.publisher.Publish(try, m)
		cancel()
		b.mu.Lock()
		p := &b.record.Published[at]
		if p.Confirmed = err == nil; err != nil {
			p.Errors++
		}
		b.mu.Unlock()
		if err == nil || ctx.Err() != nil {
			return err
		}
	}
}

func (b *Bench) published(p Published) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.record.Published = append(b.record.Published, p)
	return len(b.record.Published) - 1
}

// PublishAll publishes a load over about the given time: each key by one publisher, in
// order, and what has no key by four.
func (b *Bench) PublishAll(ctx context.Context, load []Sending, over time.Duration) error {
	lines := map[string][]Sending{}
	for i, s := range load {
		name := s.Key
		if name == "" {
			name = fmt.Sprint("unordered ", i%4)
		}
		lines[name] = append(lines[name], s)
	}
	var all sync.WaitGroup
	errs := make(chan error, len(load))
	for _, line := range lines {
		pace := over / time.Duration(len(line))
		all.Go(func() {
			for s := range slices.Values(line) {
				if err := b.Publish(ctx, s); err != nil {
					errs <- err
					return
				}
				backoff.Sleep(ctx, pace)
			}
		})
	}
	all.Wait()
	close(errs)
	return <-errs
}
