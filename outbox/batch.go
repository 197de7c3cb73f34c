package outbox

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
)

// batchInFlight is how many messages of a batch are on their way to the server at once.
const batchInFlight = 64

// ErrBehind is the error of a message of a batch that was not published because an earlier one of
// the same source and order key failed.
var ErrBehind = errors.New("outbox: not published, as an earlier message of its order key was not; publish again from that one on")

// Published is what became of one message of a batch.
type Published struct {
	// Receipt has the ID of the message in any case.
	Receipt
	// Err is nil when the server has confirmed the message, else an error of
	// [Publisher.Publish] or [ErrBehind].
	Err error
}

// PublishBatch stores messages, many at once, and returns what became of each, in the order of ms.
// It returns when all are decided. Each has as much time as one [Publisher.Publish].
//
// Messages of one source and order key, or order token, are published one after the other, each
// when the one before is confirmed. When one fails, those behind it are not published and fail with
// [ErrBehind]. To keep the order, publish again from the one that failed, with the IDs of the
// Receipts. Messages of other keys and messages without a key are published concurrently and in
// turns, so that many messages of one key do not delay others. A failure affects no other key.
//
// It is safe for concurrent use. The messages of one order key are in no order across two
// concurrent batches, or a batch and a Publish. Bodies must not change meanwhile.
func (p *Publisher) PublishBatch(ctx context.Context, ms []Message) []Published {
	results := make([]Published, len(ms))
	chains := p.chains(ms, results)
	ready := make(chan *chain, len(chains)+1)
	for _, c := range chains {
		ready <- c
	}
	var left atomic.Int64
	if left.Add(int64(len(chains))); len(chains) == 0 {
		return results
	}
	var publishers sync.WaitGroup
	for range min(batchInFlight, len(chains)) {
		publishers.Go(func() {
			for c := range ready {
				if p.publishNext(ctx, ms, c, results); len(c.positions) > 0 {
					ready <- c
				} else if left.Add(-1) == 0 {
					close(ready)
				}
			}
		})
	}
	publishers.Wait()
	return results
}

// chain is the messages of a batch that follow each other.
type chain struct {
	positions []int // of those that are not decided
	failed    bool  // one of them did
}

// chains are those of a batch, by their first messages. A message without an ID is given one.
func (p *Publisher) chains(ms []Message, results []Published) (chains []*chain) {
	type order struct{ source, token string }
	of := map[order]*chain{}
	for i, m := range ms {
		if results[i].ID = m.ID; m.ID == "" {
			results[i].ID = NewID()
		}
		alone := m.MakeToken(p.config.OrderSecret) != nil || m.OrderToken == "" // without its token a message fails by itself
		c := of[order{m.Source, m.OrderToken}]
		if alone || c == nil {
			c = &chain{}
			chains = append(chains, c)
		}
		if c.positions = append(c.positions, i); !alone {
			of[order{m.Source, m.OrderToken}] = c
		}
	}
	return chains
}

// publishNext decides the next message of a chain.
func (p *Publisher) publishNext(ctx context.Context, ms []Message, c *chain, results []Published) {
	i := c.positions[0]
	c.positions = c.positions[1:]
	if c.failed {
		results[i].Err = ErrBehind
		return
	}
	m := ms[i]
	m.ID = results[i].ID
	results[i].Receipt, results[i].Err = p.Publish(ctx, m)
	c.failed = results[i].Err != nil
}
