package redoxsim

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/redoxworker/redoxworker/worker/redoxsim/internal/jsonread"
)

// Quota is a limit of requests per rolling window and client. Everything but /_sim/ counts, token requests too. A
// request answered 429 counts as well (inferred, the harsher reading: a client that goes on knocking stays out).
// Marshalled as JSON, the window is a text: {"limit":50,"per":"5s"}.
type Quota struct {
	Limit int           // requests; 0 or less: no limit
	Per   time.Duration // window. Default 5m
	// RetryAfter adds a Retry-After header to the 429: the whole seconds, rounded up, until a request would be let
	// through. Redox documents none.
	RetryAfter bool
	// Forgive leaves requests answered 429 out of the window.
	Forgive bool
}

// RedoxQuota is the limit that none of Redox's documents contradicts (Redox, Error handling: per IP).
func RedoxQuota() Quota { return Quota{Limit: 7500, Per: 5 * time.Minute} }

func (q Quota) per() time.Duration {
	if q.Per <= 0 {
		return 5 * time.Minute
	}
	return q.Per
}

// quotaJSON is Quota with a text for the window.
type quotaJSON struct {
	Limit      int    `json:"limit"`
	Per        string `json:"per,omitempty"`
	RetryAfter bool   `json:"retry_after,omitempty"`
	Forgive    bool   `json:"forgive,omitempty"`
}

// MarshalJSON implements [json.Marshaler].
func (q Quota) MarshalJSON() ([]byte, error) {
	return json.Marshal(quotaJSON{q.Limit, durationText(q.per()), q.RetryAfter, q.Forgive})
}

// UnmarshalJSON implements [json.Unmarshaler]. Unknown members are errors.
func (q *Quota) UnmarshalJSON(text []byte) error {
	var j quotaJSON
	if err := jsonread.Strict(text, &j); err != nil {
		return fmt.Errorf("redoxsim: quota: %w", err)
	}
	per, err := durationOf(j.Per)
	if err != nil {
		return fmt.Errorf("redoxsim: quota: per: %w", err)
	}
	*q = Quota{j.Limit, per, j.RetryAfter, j.Forgive}
	return nil
}

// quotaStore holds the instants of the requests in each client's window. Its zero value is empty.
type quotaStore struct {
	mu      sync.Mutex
	inForce *Quota // over Server.Quota; nil: none
	clients map[string]*ring
	peak    int
	refused int
}

// ring holds the last instants of a client, at most as many as the limit.
type ring struct {
	at    []time.Time
	first int
	count int
}

func (w *ring) push(now time.Time) {
	if w.count == len(w.at) {
		w.first = (w.first + 1) % len(w.at)
		w.count--
	}
	w.at[(w.first+w.count)%len(w.at)] = now
	w.count++
}

// prune drops what has left the window.
func (w *ring) prune(now time.Time, per time.Duration) {
	for w.count > 0 && now.Sub(w.at[w.first]) >= per {
		w.first = (w.first + 1) % len(w.at)
		w.count--
	}
}

// take counts a request in. When there are as many as the limit in the window already it is refused, and wait is the
// time after which a request would not be.
func (q *quotaStore) take(client string, limit Quota, now time.Time) (wait time.Duration, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.inForce != nil {
		limit = *q.inForce
	}
	if limit.Limit <= 0 {
		return 0, true
	}
	if q.clients == nil {
		q.clients = map[string]*ring{}
	}
	w := q.clients[client]
	if w == nil {
		w = &ring{at: make([]time.Time, limit.Limit)}
		q.clients[client] = w
	}
	w.prune(now, limit.per())
	ok = w.count < len(w.at)
	if ok || !limit.Forgive {
		w.push(now)
	}
	if !ok {
		q.refused++
		return limit.per() - now.Sub(w.at[w.first]), false
	}
	q.peak = max(q.peak, w.count)
	return 0, true
}

// restart forgets the requests of some clients, or of all.
func (q *quotaStore) restart(clients ...string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(clients) == 0 {
		q.clients = nil
	}
	for _, c := range clients {
		delete(q.clients, c)
	}
}

func (q *quotaStore) reset() {
	q.restart()
	q.mu.Lock()
	defer q.mu.Unlock()
	q.peak, q.refused = 0, 0
}

func (q *quotaStore) figures() (peak, refused int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.peak, q.refused
}

// set puts a quota in force in place of the server's own, with empty windows; nil restores that one.
func (q *quotaStore) set(quota *Quota) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.inForce, q.clients = quota, nil
}

func (q *quotaStore) get(otherwise Quota) Quota {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.inForce != nil {
		return *q.inForce
	}
	return otherwise
}

// used counts the requests in each client's window.
func (q *quotaStore) used(per time.Duration, now time.Time) map[string]int {
	q.mu.Lock()
	defer q.mu.Unlock()
	used := make(map[string]int, len(q.clients))
	for _, client := range slices.Sorted(maps.Keys(q.clients)) {
		w := q.clients[client]
		w.prune(now, per)
		used[client] = w.count
	}
	return used
}

// SetQuota puts a limit in force in place of [Server.Quota] and starts every window empty. The zero Quota limits
// nothing.
func (s *Server) SetQuota(q Quota) { s.quota.set(&q) }

// QuotaInForce returns the limit that applies now.
func (s *Server) QuotaInForce() Quota { return s.quota.get(s.Quota) }

// QuotaUsed returns how many requests each client has in its window now.
func (s *Server) QuotaUsed() map[string]int { return s.quota.used(s.QuotaInForce().per(), s.now()) }

// RestartWindow forgets what the named clients, or all, have in their windows, as when Redox starts to count anew.
// The record and the figures stay.
func (s *Server) RestartWindow(clients ...string) { s.quota.restart(clients...) }

// limited is a 429. Its body is not documented; the header is, with the comma (Redox, Quotas and constraints).
func limited(limit int) answer {
	if limit <= 0 {
		limit = RedoxQuota().Limit
	}
	a := textAnswer(http.StatusTooManyRequests, "Too Many Requests")
	a.header = http.Header{"X-Ratelimit-Limit": {thousands(limit)}}
	a.reason = "over the rate limit"
	return a
}

// overQuota is the 429 of the quota itself.
func (x *exchange) overQuota() answer {
	q := x.s.QuotaInForce()
	a := limited(q.Limit)
	if q.RetryAfter {
		a.set("Retry-After", strconv.FormatInt(int64((x.wanting+time.Second-1)/time.Second), 10))
	}
	return a
}

func thousands(n int) string {
	text := strconv.Itoa(n)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}

func (s *Server) clientIP(r *http.Request) string {
	if s.ClientIP != nil {
		return s.ClientIP(r)
	}
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}

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

// windowsOf finds the fullest rolling window of each client, exactly, from the record. The order of the arrivals does
// not matter. The result is in order of the clients' names; per must be above 0.
func windowsOf(arrivals []Arrival, per time.Duration) []Window {
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
	return windowsOf(s.Arrivals(), per)
}
