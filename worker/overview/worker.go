package overview

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/redoxworker/redoxworker/auth"
	"github.com/redoxworker/redoxworker/worker"
	"github.com/redoxworker/redoxworker/worker/quota"
)

// Worker is what a worker says of itself.
type Worker struct {
	// ID names it in logs and dead letters. Instance is that of the NATS micro service.
	ID       string `json:"id"`
	Instance string `json:"instance"`
	// Version of the program, Host it runs on, and Since when.
	Version string    `json:"version,omitempty"`
	Host    string    `json:"host,omitempty"`
	Since   time.Time `json:"since"`
	// Draining: it takes no more messages, and ends when it has sent those that it has.
	Draining bool `json:"draining,omitempty"`
	// Ready as /readyz says. Status has sources and messages in flight; of its pauses only those
	// that the worker does not share.
	Ready  bool          `json:"ready"`
	Status worker.Status `json:"status"`
	// ByHand is how many pauses of operators it knows of, and keeps to.
	ByHand int `json:"paused_by_hand,omitempty"`
	// InHand are the sequences in the queue of messages that it has in hand, by consumer (see
	// contract.Prefix.LaneConsumer): at most [MostInHand] of them.
	InHand map[string][]uint64 `json:"in_hand,omitempty"`
	// SourcesDigest is the same for workers that serve the same sources in the same way.
	SourcesDigest string `json:"sources_digest"`
	// Gateway: it takes requests of clients.
	Gateway bool `json:"gateway,omitempty"`
	// Quota is nil where none is kept.
	Quota *quota.Status `json:"quota,omitempty"`
	// Keys that it has.
	Keys []Key `json:"keys,omitempty"`
	// Outbox is nil where it relays none.
	Outbox *Outbox `json:"outbox,omitempty"`
	// Problems are one line each.
	Problems []string `json:"problems,omitempty"`
}

// MostInHand bounds the messages that [Worker.InHand] names.
const MostInHand = 1000

// Key is the state of the credentials of one key.
type Key struct {
	auth.Status
	// Type is that of the configuration: oauth, legacy or user.
	Type string `json:"type,omitempty"`
	// Paused says that its sources pull nothing: no token can be had, or Redox refuses those
	// that were.
	Paused bool `json:"paused,omitempty"`
	// Sources is how many use it.
	Sources int `json:"sources"`
	// Workers that have the key, and those of them where it is in trouble. Both are 0 in what a
	// worker says of itself.
	Workers int `json:"workers,omitempty"`
	Trouble int `json:"trouble,omitempty"`
}

// troubled reports whether nothing goes out with the key.
func (k Key) troubled() bool { return k.Paused || !k.Usable }

// Outbox is the SQL outbox that a worker relays.
type Outbox struct {
	// Rows that wait, the age of the oldest, and rows that cannot be published.
	Rows   int64         `json:"rows"`
	Age    time.Duration `json:"age_ns,omitempty"`
	Failed int64         `json:"failed,omitempty"`
	// Trouble is why nothing is relayed.
	Trouble string `json:"trouble,omitempty"`
}

// Of is what a [worker.Worker] alone knows of itself. A program adds what else it has: keys, a
// quota, an outbox.
func Of(w *worker.Worker) Worker {
	status, byHand := w.Status(), 0
	for _, p := range status.Pauses {
		if p.Operator {
			byHand++
		}
	}
	status.Pauses = slices.DeleteFunc(status.Pauses, func(p worker.Paused) bool { return !strings.HasPrefix(p.Scope, "key:") })
	host, _ := os.Hostname()
	return Worker{ID: w.ID(), Host: host, Ready: status.Ready(), Status: status, ByHand: byHand, InHand: w.InHand(MostInHand)}
}

// serving is what a worker serves: sources, and the scopes of each.
type serving struct {
	Sets  [][]string `json:"sets"`  // of scopes
	Names []string   `json:"names"` // of sources, sorted
	Of    []int      `json:"of"`    // the set of each
	More  bool       `json:"more,omitempty"`
}

func servingOf(sources map[string][]string) (s serving, digest string) {
	sets := map[string]int{}
	hash := sha256.New()
	for name := range sources {
		s.Names = append(s.Names, name)
	}
	slices.Sort(s.Names)
	for _, name := range s.Names {
		text := strings.Join(sources[name], "\n")
		set, known := sets[text]
		if !known {
			set = len(s.Sets)
			sets[text] = set
			s.Sets = append(s.Sets, sources[name])
		}
		s.Of = append(s.Of, set)
		hash.Write([]byte(name + "\x00" + text + "\x00"))
	}
	return s, hex.EncodeToString(hash.Sum(nil)[:8])
}

// page is the part of s from an index on that fits into a message.
func (s serving) page(from, most int) serving {
	from = min(max(from, 0), len(s.Names))
	size, to := 0, from
	for _, set := range s.Sets {
		for _, scope := range set {
			size += len(scope) + 8
		}
	}
	for to < len(s.Names) && (size < most || to == from) {
		size += len(s.Names[to]) + 12
		to++
	}
	return serving{Sets: s.Sets, Names: s.Names[from:to], Of: s.Of[from:to], More: to < len(s.Names)}
}

// into adds what is served to a map of scopes by source.
func (s serving) into(scopes map[string][]string) {
	for i, name := range s.Names {
		if i < len(s.Of) && s.Of[i] >= 0 && s.Of[i] < len(s.Sets) {
			scopes[name] = s.Sets[s.Of[i]]
		}
	}
}

// mergeKeys of all workers: of each the state of one where it is in trouble, if there is one.
func mergeKeys(workers []Worker) []Key {
	merged := map[string]*Key{}
	for _, w := range workers {
		for _, k := range w.Keys {
			m := merged[k.Name]
			switch {
			case m == nil:
				m = &k
				m.Workers, m.Trouble = 0, 0
				merged[k.Name] = m
			case k.troubled() && !m.troubled():
				k.Workers, k.Trouble, k.Sources = m.Workers, m.Trouble, max(k.Sources, m.Sources)
				*m = k
			}
			m.Sources = max(m.Sources, k.Sources)
			if m.Workers++; k.troubled() {
				m.Trouble++
			}
		}
	}
	keys := make([]Key, 0, len(merged))
	for _, k := range merged {
		keys = append(keys, *k)
	}
	slices.SortFunc(keys, func(a, b Key) int {
		return cmp.Or(cmp.Compare(b.Trouble, a.Trouble), cmp.Compare(a.Name, b.Name))
	})
	return keys
}
