package outbox

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/outbox/natsdev"
)

// fill publishes messages of a source until one is refused, n at most, and returns how many
// were stored.
func fill(t *testing.T, p *Publisher, source string, n, body int) (stored int, err error) {
	t.Helper()
	for ; stored < n; stored++ {
		m := Message{Source: source, Lane: contract.LaneSend, Body: []byte(`"` + strings.Repeat("x", body) + `"`)}
		if _, err := p.Publish(t.Context(), m); err != nil {
			return stored, err
		}
	}
	return stored, nil
}

// One source fills its share and no more, whatever bounds the queue; the others have room, and
// it has again when its messages leave.
func TestShare_OneSourceLeavesRoom(t *testing.T) {
	t.Parallel()
	for name, bound := range map[string]func(*jetstream.StreamConfig){
		"messages": func(c *jetstream.StreamConfig) { c.MaxMsgs = 200 },
		"bytes":    func(c *jetstream.StreamConfig) { c.MaxBytes = 200 * 1200 },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, p := published(t, natsdev.Options{}, PublisherConfig{MaxShare: 0.5})
			r.UpdateStream("REDOX_OUT", bound)
			stored, err := fill(t, p, "clinic-a", 250, 1000)
			if !errors.Is(err, ErrShareFull) || !errors.Is(err, ErrQueueFull) || stored < 80 || stored > 120 {
				t.Fatalf("%d stored, then %v", stored, err)
			}
			if strings.Count(err.Error(), "clinic-a") != 1 {
				t.Errorf("the error does not name the source once: %v", err)
			}
			if n, err := fill(t, p, "clinic-b", 50, 1000); err != nil {
				t.Errorf("another's: %d stored, then %v", n, err)
			}
			queue, err := r.JS.Stream(r.Ctx(), "REDOX_OUT")
			r.Must(err)
			r.Must(queue.Purge(r.Ctx(), jetstream.WithPurgeSubject("redox.out.clinic-a.>")))
			for deadline := time.Now().Add(30 * time.Second); ; {
				if _, err = fill(t, p, "clinic-a", 20, 1000); err == nil {
					return
				}
				if time.Now().After(deadline) {
					t.Fatalf("its messages have left, and it is refused: %v", err)
				}
				<-time.After(50 * time.Millisecond)
			}
		})
	}
}

// A queue without a bound, and a publisher without a share, refuse nobody.
func TestShare_NoBound(t *testing.T) {
	t.Parallel()
	r, p := published(t, natsdev.Options{}, PublisherConfig{MaxShare: 0.01})
	if n, err := fill(t, p, "clinic-a", 300, 10); err != nil {
		t.Errorf("%d stored, then %v", n, err)
	}
	r.UpdateStream("REDOX_OUT", func(c *jetstream.StreamConfig) { c.MaxMsgs = 400 })
	all, err := NewPublisher(r.JS, PublisherConfig{})
	r.Must(err)
	if n, err := fill(t, all, "clinic-a", 200, 10); n != 100 || !errors.Is(err, ErrQueueFull) || errors.Is(err, ErrShareFull) {
		t.Errorf("%d stored, then %v", n, err)
	}
}

// Of many sources at once none has more than its share by more than what is under way.
func TestShare_ManyAtOnce(t *testing.T) {
	t.Parallel()
	r, p := published(t, natsdev.Options{}, PublisherConfig{MaxShare: 0.1})
	r.UpdateStream("REDOX_OUT", func(c *jetstream.StreamConfig) { c.MaxMsgs = 1000 })
	var all sync.WaitGroup
	for i := range 5 {
		all.Go(func() {
			source := fmt.Sprint("clinic-", i)
			if n, err := fill(t, p, source, 150, 10); !errors.Is(err, ErrShareFull) || n < 90 || n > 110 {
				t.Errorf("%s: %d stored, then %v", source, n, err)
			}
		})
	}
	all.Wait()
}

func TestPublisherConfig_MaxShare(t *testing.T) {
	t.Parallel()
	for share, ok := range map[float64]bool{0: true, 0.01: true, 1: true, -0.1: false, 1.1: false} {
		if err := (PublisherConfig{MaxShare: share}).Validate(); (err == nil) != ok {
			t.Errorf("%v: %v", share, err)
		}
	}
}
