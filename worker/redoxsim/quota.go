package redoxsim

import (
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// Quota is a limit of requests per rolling window and client. Everything but /_sim/ counts, token requests too; a
// request answered 429 does not.
type Quota struct {
	Limit int           // requests; 0 or less: no limit
	Per   time.Duration // window. Default 5m
}

// RedoxQuota is the limit that none of Redox's documents contradicts (Redox, Error handling: per IP).
func RedoxQuota() Quota { return Quota{Limit: 7500, Per: 5 * time.Minute} }

// quotaStore holds the instants of the requests in each client's window. Its zero value is empty.
type quotaStore struct {
	mu      sync.Mutex
	clients map[string]*window
	peak    int
	refused int
}

// window is a ring of the last instants, at most the limit.
type window struct {
	at    []time.Time
	first int
	count int
}

// take counts a request in, unless that would make more than the limit within the window.
func (q *quotaStore) take(client string, limit Quota, now time.Time) bool {
	per := limit.Per
	if per == 0 {
		per = 5 * time.Minute
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.clients == nil {
		q.clients = map[string]*window{}
	}
	w := q.clients[client]
	if w == nil {
		w = &window{at: make([]time.Time, limit.Limit)}
		q.clients[client] = w
	}
	for w.count > 0 && now.Sub(w.at[w.first]) >= per {
		w.first = (w.first + 1) % len(w.at)
		w.count--
	}
	if w.count == len(w.at) {
		q.refused++
		return false
	}
	w.at[(w.first+w.count)%len(w.at)] = now
	w.count++
	q.peak = max(q.peak, w.count)
	return true
}

func (q *quotaStore) reset() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.clients, q.peak, q.refused = nil, 0, 0
}

func (q *quotaStore) figures() (peak, refused int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.peak, q.refused
}

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
