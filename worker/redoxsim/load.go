package redoxsim

import (
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/redoxworker/redoxworker/worker/redoxsim/internal/jsonread"
)

// Load says how long answers take as a function of how many API requests are in flight, the asking one included. Token
// requests are not part of it. The zero value delays nothing.
//
// Base with Slots is a server that works on a few requests at a time, so that its throughput ends at Slots/Base however
// many are in flight. Knee with Slope is a server that gets slower faster than it is given more, so that its throughput
// falls. Jitter and Tail are answers whose time says little about the load.
type Load struct {
	Base   time.Duration // time of an answer without load
	Slots  int           // worked on at a time; with n above it an answer takes Base*n/Slots. 0: no limit
	Knee   int           // beyond it, each request adds Slope to the time. 0: no knee
	Slope  time.Duration
	Jitter float64       // the time varies evenly by this share either way, 0 to 1
	Tail   float64       // share of the answers that take ten times as long, 0 to 1
	Max    time.Duration // longest time. 0: no limit
	Reject int           // beyond so many in flight, 503 at once (undocumented at Redox). 0: never
}

// Delay is the time of an answer with n in flight. roll, from 0 to 1, is its luck.
func (l Load) Delay(n int, roll float64) time.Duration {
	d := float64(l.Base)
	if l.Slots > 0 && n > l.Slots {
		d *= float64(n) / float64(l.Slots)
	}
	if l.Knee > 0 && n > l.Knee {
		d += float64(l.Slope) * float64(n-l.Knee)
	}
	d *= 1 + l.Jitter*(2*roll-1)
	if l.Tail > 0 && roll >= 1-l.Tail {
		d *= 10
	}
	if l.Max > 0 {
		d = min(d, float64(l.Max))
	}
	return time.Duration(max(d, 0))
}

// loadJSON is Load with texts for durations.
type loadJSON struct {
	Base   string  `json:"base,omitempty"`
	Slots  int     `json:"slots,omitempty"`
	Knee   int     `json:"knee,omitempty"`
	Slope  string  `json:"slope,omitempty"`
	Jitter float64 `json:"jitter,omitempty"`
	Tail   float64 `json:"tail,omitempty"`
	Max    string  `json:"max,omitempty"`
	Reject int     `json:"reject,omitempty"`
}

// MarshalJSON implements [json.Marshaler].
func (l Load) MarshalJSON() ([]byte, error) {
	return json.Marshal(loadJSON{
		durationText(l.Base), l.Slots, l.Knee, durationText(l.Slope), l.Jitter, l.Tail, durationText(l.Max), l.Reject,
	})
}

// UnmarshalJSON implements [json.Unmarshaler]. Unknown members and shares outside 0 to 1 are errors.
func (l *Load) UnmarshalJSON(text []byte) error {
	var j loadJSON
	if err := jsonread.Strict(text, &j); err != nil {
		return fmt.Errorf("redoxsim: load: %w", err)
	}
	made := Load{Slots: j.Slots, Knee: j.Knee, Jitter: j.Jitter, Tail: j.Tail, Reject: j.Reject}
	for _, f := range []struct {
		name, text string
		into       *time.Duration
	}{{"base", j.Base, &made.Base}, {"slope", j.Slope, &made.Slope}, {"max", j.Max, &made.Max}} {
		d, err := durationOf(f.text)
		if err != nil {
			return fmt.Errorf("redoxsim: load: %s: %w", f.name, err)
		}
		*f.into = d
	}
	if made.Jitter < 0 || made.Jitter > 1 || made.Tail < 0 || made.Tail > 1 {
		return fmt.Errorf("redoxsim: load: jitter and tail are shares from 0 to 1")
	}
	*l = made
	return nil
}

// loadMeter counts the API requests in flight. Its zero value counts from none.
type loadMeter struct {
	mu      sync.Mutex
	inForce *Load // over Server.Load; nil: none
	open    int
	most    int
}

func (m *loadMeter) enter(otherwise Load) (Load, int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.open++
	m.most = max(m.most, m.open)
	if m.inForce != nil {
		otherwise = *m.inForce
	}
	return otherwise, m.open
}

func (m *loadMeter) leave() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.open--
}

func (m *loadMeter) set(l *Load) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.inForce = l
}

func (m *loadMeter) get(otherwise Load) Load {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.inForce != nil {
		return *m.inForce
	}
	return otherwise
}

func (m *loadMeter) peak() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.most
}

func (m *loadMeter) reset() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.most = m.open
}

// SetLoad puts a load model in force in place of [Server.Load]. The zero Load delays nothing.
func (s *Server) SetLoad(l Load) { s.load.set(&l) }

// LoadInForce returns the load model that applies now.
func (s *Server) LoadInForce() Load { return s.load.get(s.Load) }

// burden counts an API request in and says how long its answer takes; ok is false when there are too many.
func (x *exchange) burden() (d time.Duration, ok bool) {
	l, n := x.s.load.enter(x.s.Load)
	x.loading = true
	x.note(func(a *Arrival) { a.Load = n })
	if l.Reject > 0 && n > l.Reject {
		return 0, false
	}
	roll := float64(mix(x.s.Seed^mix(x.seq))>>11) / (1 << 53)
	return x.s.Latency + l.Delay(n, roll), true
}

// overloaded is the 503 of a load model.
func overloaded() answer {
	a := textAnswer(http.StatusServiceUnavailable, "Service Unavailable")
	a.reason = "too many requests in flight"
	return a
}
