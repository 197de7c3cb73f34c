package devstack

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/worker/redoxsim"
)

// demoSummary is what the demo came to.
type demoSummary struct {
	Event       string           `json:"event"` // "summary"
	OK          bool             `json:"ok"`
	Messages    int              `json:"messages"`
	Settlements []demoSettlement `json:"settlements"`
	Delivered   int              `json:"delivered"`
	Tokens      demoTokens       `json:"tokens"`
	Streams     []demoStream     `json:"streams"`
	Redox       demoRedox        `json:"redox"`
	Differences []string         `json:"differences"` // from what should have happened
	Took        float64          `json:"took"`        // seconds
}

// demoSettlement sums up the messages of one settlement; durations in seconds, from stored
// to settled.
type demoSettlement struct {
	Settlement outbox.Settlement `json:"settlement"`
	Messages   int               `json:"messages"`
	Attempts   int               `json:"attempts"`
	Median     float64           `json:"median"`
	Longest    float64           `json:"longest"`
}

// demoTokens are those of the worker's one key.
type demoTokens struct {
	Minted  uint64 `json:"minted"`
	Dropped uint64 `json:"dropped"`
}

// demoStream is what a stream holds at the end.
type demoStream struct {
	Name     string `json:"name"`
	Messages uint64 `json:"messages"`
}

// demoRedox is what the simulator has seen.
type demoRedox struct {
	Requests   int    `json:"requests"` // messages, without token requests
	Answers    string `json:"answers"`
	Accepted   uint64 `json:"accepted"`
	Duplicates uint64 `json:"duplicates"`
	SourceIDs  int    `json:"source_ids"`
	InOrder    bool   `json:"in_order"`
}

// summarize when the worker has stopped.
func (d *demonstration) summarize(ctx context.Context) (*demoSummary, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	s := &demoSummary{Event: "summary", Messages: len(d.samples), Settlements: d.settlements(), Took: time.Since(d.view.start).Seconds()}
	for _, x := range s.Settlements {
		if x.Settlement == outbox.Delivered {
			s.Delivered = x.Messages
		}
	}
	for _, k := range d.stack.service.Status().Keys {
		s.Tokens.Minted += k.Mints
		s.Tokens.Dropped += k.Invalidations
	}
	var p contract.Prefix
	for _, name := range []string{p.OutStream(), p.DeadStream(), p.ReplyStream()} {
		n, err := d.stack.stored(ctx, name)
		if err != nil {
			return nil, err
		}
		s.Streams = append(s.Streams, demoStream{name, n})
	}
	arrivals := d.arrivals()
	s.Redox = d.seenByRedox(arrivals)
	s.Differences = d.differences(s, arrivals)
	s.OK = len(s.Differences) == 0
	return s, nil
}

func (d *demonstration) settlements() []demoSettlement {
	all := []outbox.Settlement{outbox.Delivered, outbox.Rejected, outbox.Expired, outbox.Exhausted, outbox.Held, outbox.Poison}
	var list []demoSettlement
	for _, settlement := range all {
		sum := demoSettlement{Settlement: settlement}
		var took []float64
		for _, e := range d.settled {
			if e.Settlement == settlement {
				sum.Messages++
				sum.Attempts += e.Attempt
				took = append(took, e.Duration.Seconds())
			}
		}
		if len(took) > 0 {
			slices.Sort(took)
			sum.Median, sum.Longest = took[(len(took)-1)/2], took[len(took)-1]
			list = append(list, sum)
		}
	}
	return list
}

// arrivals of messages, without token requests.
func (d *demonstration) arrivals() []redoxsim.Arrival {
	return slices.DeleteFunc(d.stack.sim.redox.Arrivals(), func(a redoxsim.Arrival) bool { return a.Path != redoxsim.PathEndpoint })
}

func (d *demonstration) seenByRedox(arrivals []redoxsim.Arrival) demoRedox {
	stats := d.stack.sim.redox.Stats()
	seen := demoRedox{Requests: len(arrivals), Accepted: stats.Accepted, Duplicates: stats.Duplicates, InOrder: d.inOrder(arrivals)}
	byStatus := map[int]int{}
	for _, a := range arrivals {
		byStatus[a.Status]++
		if a.BodySource != "" {
			seen.SourceIDs++
		}
	}
	var answers []string
	for _, status := range slices.Sorted(maps.Keys(byStatus)) {
		answers = append(answers, fmt.Sprintf("%d × %d", byStatus[status], status))
	}
	seen.Answers = strings.Join(answers, ", ")
	return seen
}

// inOrder reports whether the messages of each order key arrived as they were published,
// never two at once.
func (d *demonstration) inOrder(arrivals []redoxsim.Arrival) bool {
	orderKeys, published, arrived := map[string]string{}, map[string][]string{}, map[string][]string{}
	for _, s := range d.samples {
		if s.orderKey != "" {
			orderKeys[s.event] = s.orderKey
			published[s.orderKey] = append(published[s.orderKey], s.event)
		}
	}
	for _, a := range arrivals {
		if key := orderKeys[a.Key]; key != "" {
			arrived[key] = append(arrived[key], a.Key)
		}
	}
	for key, want := range published {
		if !slices.Equal(arrived[key], want) {
			return false
		}
	}
	return len(redoxsim.Overlaps(arrivals, func(a redoxsim.Arrival) string { return orderKeys[a.Key] })) == 0
}

// differences between what happened and what should have, a line each.
func (d *demonstration) differences(s *demoSummary, arrivals []redoxsim.Arrival) []string {
	list := []string{} // an empty list in JSON, too
	differ := func(what string, got, want any) {
		if got != want {
			list = append(list, fmt.Sprintf("%s: %v instead of %v", what, got, want))
		}
	}
	dead, kept, retried := uint64(0), uint64(0), 0
	for _, x := range d.samples {
		e := d.settled[x.file]
		var requests []string
		for _, a := range arrivals {
			if a.Key == x.event {
				requests = append(requests, fmt.Sprint(a.Status))
			}
		}
		differ(x.file, fate{e.Settlement, e.Status, e.Attempt, strings.Join(requests, " ")}, x.expect)
		if x.lane == contract.LaneRequest {
			differ("reply to "+x.file, d.replies[x.file].OK(), true)
		}
		if x.expect.settlement != outbox.Delivered {
			dead++
		}
		if x.durable {
			kept++
		}
		retried += len(strings.Fields(x.expect.requests)) - 1
	}
	differ("tokens", s.Tokens, demoTokens{Minted: 2, Dropped: 1})
	for i, want := range []uint64{0, dead, kept} {
		differ("messages in "+s.Streams[i].Name, s.Streams[i].Messages, want)
	}
	differ("messages taken by Redox", s.Redox.Accepted, uint64(len(d.samples))-dead)
	differ("messages taken twice", s.Redox.Duplicates, uint64(0))
	differ("requests with a Source ID", s.Redox.SourceIDs, len(d.samples)+retried)
	differ("messages of each patient in order", s.Redox.InOrder, true)
	return list
}
