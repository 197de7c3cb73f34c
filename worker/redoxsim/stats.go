package redoxsim

import "time"

// Stats are the figures since the start or the last [Server.Reset].
type Stats struct {
	Since       time.Time      `json:"since,omitzero"` // first request
	Requests    uint64         `json:"requests"`       // all but /_sim/
	InFlight    int            `json:"in_flight"`
	MaxInFlight int            `json:"max_in_flight"`
	MaxLoad     int            `json:"max_load"`  // API requests being answered at once
	ByPath      map[string]int `json:"by_path"`   // finished requests; FHIR and Platform requests by their prefix
	ByStatus    map[int]int    `json:"by_status"` // finished requests; 0: no answer was given

	// Accepted counts messages and queries taken; Duplicates those of them whose key had been taken before.
	Accepted   uint64 `json:"accepted"`
	Duplicates uint64 `json:"duplicates"`
	// Uploads counts the files taken and UploadedBytes their sizes; Reuploads those of them that the same source had
	// uploaded before.
	Uploads       uint64 `json:"uploads"`
	Reuploads     uint64 `json:"reuploads"`
	UploadedBytes uint64 `json:"uploaded_bytes"`
	// Logs counts the logs by their state, and Paused names the destinations whose queue is paused.
	Logs   map[LogState]int `json:"logs"`
	Paused []string         `json:"paused,omitempty"`
	// Overlaps counts messages that met another of their key in flight.
	Overlaps uint64 `json:"overlaps"`

	// Tokens counts the messages by the state of their token; TokensIssued and TokensLive the tokens.
	Tokens       map[TokenState]int `json:"tokens"`
	TokensIssued uint64             `json:"tokens_issued"`
	TokensLive   int                `json:"tokens_live"`

	// QuotaPeak is the fullest window of any client so far; QuotaRefused counts the 429s of the quota.
	QuotaPeak    int `json:"quota_peak"`
	QuotaRefused int `json:"quota_refused"`

	Recorded int    `json:"recorded"` // arrivals kept
	Dropped  uint64 `json:"dropped"`  // arrivals no longer kept

	Profile string `json:"profile"`
}

// figures are the counters behind Stats; the recorder's mutex guards them.
type figures struct {
	started     time.Time
	requests    uint64
	maxInFlight int
	byPath      map[string]int
	byStatus    [600]int
	tokens      map[TokenState]int
	issued      uint64
	accepted    uint64
	duplicates  uint64
	overlaps    uint64
}

func (f *figures) begin(now time.Time, open int) {
	if f.requests == 0 {
		f.started = now
	}
	f.requests++
	f.maxInFlight = max(f.maxInFlight, open)
}

// end counts a finished request. Paths that Redox does not have are counted as one, so that the map stays small.
func (f *figures) end(r *route, status int) {
	path := "other"
	if r != nil {
		path = r.name
	}
	if f.byPath == nil {
		f.byPath = map[string]int{}
	}
	f.byPath[path]++
	if status >= 0 && status < len(f.byStatus) {
		f.byStatus[status]++
	}
}

func (f *figures) token(state TokenState) {
	if f.tokens == nil {
		f.tokens = map[TokenState]int{}
	}
	f.tokens[state]++
}

func (l *recorder) token(state TokenState) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.figures.token(state)
}

// Stats returns the figures of this moment.
func (s *Server) Stats() Stats {
	live := s.liveTokens()
	peak, refused := s.quota.figures()
	profile, _ := s.Rules()
	load := s.load.peak()
	logs, paused := s.logStates(), s.paused()
	l := &s.log
	l.mu.Lock()
	defer l.mu.Unlock()
	f := &l.figures
	st := Stats{
		Since: f.started, Requests: f.requests, InFlight: l.open, MaxInFlight: f.maxInFlight, MaxLoad: load,
		ByPath: map[string]int{}, ByStatus: map[int]int{}, Tokens: map[TokenState]int{},
		Accepted: f.accepted, Duplicates: f.duplicates, Overlaps: f.overlaps, TokensIssued: f.issued, TokensLive: live,
		QuotaPeak: peak, QuotaRefused: refused, Recorded: len(l.records), Dropped: l.dropped, Profile: profile,
	}
	st.Logs, st.Paused = logs, paused
	st.Uploads, st.Reuploads, st.UploadedBytes = s.blobs.figures()
	for path, n := range f.byPath {
		st.ByPath[path] = n
	}
	for status, n := range f.byStatus {
		if n > 0 {
			st.ByStatus[status] = n
		}
	}
	for state, n := range f.tokens {
		st.Tokens[state] = n
	}
	return st
}
