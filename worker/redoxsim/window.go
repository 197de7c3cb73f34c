package redoxsim

import (
	"cmp"
	"net/http"
	"slices"
	"time"
)

// Window is the fullest rolling window of one client.
type Window struct {
	Client string `json:"client"`
	// Requests is the largest number of requests that any window of the given length held, those answered 429 among
	// them. A window holds its first instant and not its last.
	Requests int `json:"requests"`
	// From is the first request in that window; the earliest such window counts.
	From time.Time `json:"from"`
	// Total and Limited count all requests of the client and the 429s among them.
	Total   int `json:"total"`
	Limited int `json:"limited"`
}

// Windows finds the fullest rolling window of each client, exactly, from the record. The order of the arrivals does
// not matter. The result is in order of the clients' names; per must be above 0.
func Windows(arrivals []Arrival, per time.Duration) []Window {
	found := map[string]*Window{}
	starts := map[string][]time.Time{}
	for i := range arrivals {
		a := &arrivals[i]
		w := found[a.Client]
		if w == nil {
			w = &Window{Client: a.Client}
			found[a.Client] = w
		}
		w.Total++
		if a.Status == http.StatusTooManyRequests {
			w.Limited++
		}
		starts[a.Client] = append(starts[a.Client], a.Start)
	}
	list := make([]Window, 0, len(found))
	for client, w := range found {
		w.Requests, w.From = fullest(starts[client], per)
		list = append(list, *w)
	}
	slices.SortFunc(list, func(a, b Window) int { return cmp.Compare(a.Client, b.Client) })
	return list
}

// fullest finds the window of the given length that holds most of the instants, which it sorts.
func fullest(at []time.Time, per time.Duration) (count int, from time.Time) {
	slices.SortFunc(at, time.Time.Compare)
	first := 0
	for i, t := range at {
		for t.Sub(at[first]) >= per && first < i {
			first++
		}
		if n := i - first + 1; n > count {
			count, from = n, at[first]
		}
	}
	return count, from
}

// Windows finds the fullest rolling window of each client in the record so far. per 0 means the window of the quota in
// force. Arrivals dropped from the record are not seen: see [Server.MaxArrivals].
func (s *Server) Windows(per time.Duration) []Window {
	if per <= 0 {
		per = s.QuotaInForce().per()
	}
	return Windows(s.Arrivals(), per)
}
