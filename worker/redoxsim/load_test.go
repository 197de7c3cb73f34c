package redoxsim

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redoxworker/redoxworker/worker/workertest/bubble"
)

func TestLoad_Delay(t *testing.T) {
	t.Parallel()
	const ms = time.Millisecond
	for name, c := range map[string]struct {
		load Load
		n    int
		roll float64
		want time.Duration
	}{
		"nothing":                {Load{}, 1000, 0.5, 0},
		"base":                   {Load{Base: 10 * ms}, 1000, 0.5, 10 * ms},
		"slots not full":         {Load{Base: 10 * ms, Slots: 4}, 4, 0.5, 10 * ms},
		"slots and as many more": {Load{Base: 10 * ms, Slots: 4}, 8, 0.5, 20 * ms},
		"at the knee":            {Load{Base: 10 * ms, Knee: 4, Slope: 5 * ms}, 4, 0.5, 10 * ms},
		"over the knee":          {Load{Base: 10 * ms, Knee: 4, Slope: 5 * ms}, 6, 0.5, 20 * ms},
		"lucky":                  {Load{Base: 10 * ms, Jitter: 0.5}, 1, 0, 5 * ms},
		"unlucky":                {Load{Base: 10 * ms, Jitter: 0.5}, 1, 1, 15 * ms},
		"in the tail":            {Load{Base: 10 * ms, Tail: 0.25}, 1, 0.75, 100 * ms},
		"before the tail":        {Load{Base: 10 * ms, Tail: 0.25}, 1, 0.74, 10 * ms},
		"capped":                 {Load{Base: 10 * ms, Slots: 1, Max: 30 * ms}, 100, 0.5, 30 * ms},
	} {
		if got := c.load.Delay(c.n, c.roll); got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

// drive keeps n requests in flight for a while of fake time; it returns how many of each status were answered.
func drive(t *testing.T, s *Server, n int, span time.Duration) map[int]int {
	t.Helper()
	var mu sync.Mutex
	answered := map[int]int{}
	ctx, cancel := context.WithTimeout(t.Context(), span)
	defer cancel()
	h := bearer(s.NewToken(testClient, time.Hour))
	var group sync.WaitGroup
	for range n {
		group.Go(func() {
			for ctx.Err() == nil {
				r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, PathEndpoint, strings.NewReader(keyed("m", "")))
				r.Header = h
				w := httptest.NewRecorder()
				s.ServeHTTP(w, r)
				if w.Code == http.StatusServiceUnavailable {
					bubble.Sleep(10 * time.Millisecond) // of the bubble's time
				}
				mu.Lock()
				answered[w.Code]++
				mu.Unlock()
			}
		})
	}
	group.Wait()
	return answered
}

// What each profile lets through in 10 s, by the number of requests kept in flight.
func TestLoad_ThroughputOfProfiles(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		profile   string
		inFlight  int
		low, high int // answers of 200 in 10 s
	}{
		{"concurrency-limited", 4, 790, 810},
		{"concurrency-limited", 8, 1580, 1620},
		{"concurrency-limited", 64, 1500, 1700},
		{"slow-knee", 8, 1590, 1610},
		{"slow-knee", 16, 3180, 3220},
		{"slow-knee", 64, 1100, 1300}, // 64 / 0.53 s
		{"jittery", 1, 80, 230},
		{"jittery", 32, 4300, 6200},
		{"concurrency-refused", 16, 3180, 3220},
		{"concurrency-refused", 40, 3000, 3220},
	} {
		synctest.Test(t, func(t *testing.T) {
			s := &Server{}
			if err := s.SetProfile(c.profile); err != nil {
				t.Fatal(err)
			}
			answered := drive(t, s, c.inFlight, 10*time.Second)
			if answered[200] < c.low || answered[200] > c.high {
				t.Errorf("%s with %d in flight: %v, want %d to %d of 200", c.profile, c.inFlight, answered, c.low, c.high)
			}
			if (answered[503] > 0) != (c.profile == "concurrency-refused" && c.inFlight > 16) {
				t.Errorf("%s with %d in flight: %v", c.profile, c.inFlight, answered)
			}
			if st := s.Stats(); (st.MaxLoad != c.inFlight && answered[503] == 0) || !slices.ContainsFunc(s.Arrivals(), func(a Arrival) bool { return a.Load == 1 }) {
				t.Errorf("%s: most in flight %d", c.profile, st.MaxLoad)
			}
		})
	}
}

func TestLoad_TokensAreNoLoad(t *testing.T) {
	t.Parallel()
	g := newRig(t, &Server{Load: Load{Base: time.Hour, Reject: 0}})
	g.token()
	if a := g.last(); a.Load != 0 {
		t.Errorf("%+v", a)
	}
	g.sim.SetLoad(Load{})
	if r := g.send(keyed("m", "")); r.status != 200 || g.last().Load != 1 || g.sim.LoadInForce() != (Load{}) {
		t.Errorf("%d", r.status)
	}
}

func FuzzLoadJSON(f *testing.F) {
	f.Add(`{"base":"50ms","slots":8}`)
	f.Add(`{"base":"50ms","knee":16,"slope":"10ms","jitter":0.5,"tail":0.01,"max":"1s","reject":9}`)
	f.Fuzz(func(t *testing.T, text string) {
		var l, again Load
		if json.Unmarshal([]byte(text), &l) != nil {
			return
		}
		if d := l.Delay(1, 0.5); d < 0 {
			t.Fatalf("%s: %v", text, d)
		}
		made, err := json.Marshal(l)
		if err != nil || json.Unmarshal(made, &again) != nil || again != l {
			t.Fatalf("%s becomes %s: %v", text, made, err)
		}
	})
}
