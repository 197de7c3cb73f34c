package redoxsim

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redoxworker/redoxworker/worker/redoxsim/internal/jsonread"
)

// Rule applies a fault to the requests it matches. All conditions that are set must hold; the zero value of each means
// "any". Marshalled as JSON, durations and the fault are texts: {"event":"Order.*","attempts":2,"fault":"503"}.
type Rule struct {
	// Path is a prefix of the URL path: "/endpoint", "/v2/auth/token", "/auth/".
	Path string
	// Client is the client's address as in the record.
	Client string

	// Source is the Source ID in effect, Key the message key, Contains a text within the body.
	Source, Key, Contains string
	// Event is "DataModel.EventType"; either half may be "*". A FHIR request is "FHIR.Patient" with "read", "_search" or
	// the name of the writeback: "FHIR.Patient.$patient-update".
	Event string
	// Attempts is how many attempts of a message it applies to: 1 only the first. Requests without a valid token are
	// no attempts and do not match.
	Attempts int
	// Messages is how many different messages, by key, it applies to: those that match first.
	Messages int
	// Percent of the messages' attempts, chosen by a hash of the seed, the key and the attempt: the same in each run.
	Percent float64

	// Skip and Count let the first Skip matching requests pass and apply to the next Count only.
	Skip, Count int
	// Every applies to each nth matching request.
	Every int
	// After and For bound the time since the rules were set: from After on, for For.
	After, For time.Duration

	// Fault is what happens.
	Fault Fault
}

// ruleJSON is Rule with texts for durations.
type ruleJSON struct {
	Path     string  `json:"path,omitempty"`
	Client   string  `json:"client,omitempty"`
	Source   string  `json:"source,omitempty"`
	Key      string  `json:"key,omitempty"`
	Contains string  `json:"contains,omitempty"`
	Event    string  `json:"event,omitempty"`
	Attempts int     `json:"attempts,omitempty"`
	Messages int     `json:"messages,omitempty"`
	Percent  float64 `json:"percent,omitempty"`
	Skip     int     `json:"skip,omitempty"`
	Count    int     `json:"count,omitempty"`
	Every    int     `json:"every,omitempty"`
	After    string  `json:"after,omitempty"`
	For      string  `json:"for,omitempty"`
	Fault    Fault   `json:"fault"`
}

// MarshalJSON implements [json.Marshaler].
func (r Rule) MarshalJSON() ([]byte, error) {
	return json.Marshal(ruleJSON{
		Path: r.Path, Client: r.Client, Source: r.Source, Key: r.Key, Contains: r.Contains, Event: r.Event,
		Attempts: r.Attempts, Messages: r.Messages, Percent: r.Percent, Skip: r.Skip, Count: r.Count, Every: r.Every,
		After: durationText(r.After), For: durationText(r.For), Fault: r.Fault,
	})
}

// UnmarshalJSON implements [json.Unmarshaler]. Unknown members are errors.
func (r *Rule) UnmarshalJSON(text []byte) error {
	var j ruleJSON
	if err := jsonread.Strict(text, &j); err != nil {
		return fmt.Errorf("redoxsim: rule: %w", err)
	}
	after, err := durationOf(j.After)
	if err != nil {
		return fmt.Errorf("redoxsim: rule: after: %w", err)
	}
	span, err := durationOf(j.For)
	if err != nil {
		return fmt.Errorf("redoxsim: rule: for: %w", err)
	}
	*r = Rule{
		Path: j.Path, Client: j.Client, Source: j.Source, Key: j.Key, Contains: j.Contains, Event: j.Event,
		Attempts: j.Attempts, Messages: j.Messages, Percent: j.Percent, Skip: j.Skip, Count: j.Count, Every: j.Every,
		After: after, For: span, Fault: j.Fault,
	}
	return nil
}

func durationText(d time.Duration) string {
	if d == 0 {
		return ""
	}
	return d.String()
}

func durationOf(text string) (time.Duration, error) {
	if text == "" {
		return 0, nil
	}
	return parseDelay(text)
}

// early says that the rule can be decided from the request line alone, and is meant to be.
func (r *Rule) early() bool {
	return r.Fault.Action == ResetEarly && r.Source == "" && r.Key == "" && r.Contains == "" && r.Event == "" &&
		r.Attempts == 0 && r.Messages == 0
}

// matches decides the conditions that need no counting.
func (r *Rule) matches(q *Request, since time.Duration, salt uint64) bool {
	switch {
	case !strings.HasPrefix(q.Path, r.Path),
		r.Client != "" && r.Client != q.Client,
		r.Source != "" && foldID(r.Source) != foldID(q.SourceID),
		r.Key != "" && r.Key != q.Key,
		since < r.After,
		r.For > 0 && since >= r.After+r.For,
		r.Attempts > 0 && (q.Attempt == 0 || q.Attempt > r.Attempts),
		r.Event != "" && !matchEvent(r.Event, q.DataModel, q.EventType),
		r.Contains != "" && !strings.Contains(string(q.Body), r.Contains),
		r.Messages > 0 && q.Key == "",
		r.Percent > 0 && share(salt, q) >= r.Percent:
		return false
	}
	return true
}

func matchEvent(pattern, dataModel, eventType string) bool {
	m, e := pattern, ""
	if i := strings.LastIndexByte(pattern, '.'); i >= 0 {
		m, e = pattern[:i], pattern[i+1:]
	}
	return (m == "*" || m == dataModel) && (e == "*" || e == "" || e == eventType) && dataModel != ""
}

// share places a request on 0 to 100, evenly and reproducibly. A request without a key has its number instead.
func share(salt uint64, q *Request) float64 {
	h := fnv.New64a()
	var n [24]byte
	binary.LittleEndian.PutUint64(n[:], salt)
	binary.LittleEndian.PutUint64(n[8:], uint64(q.Attempt))
	if q.Key == "" {
		binary.LittleEndian.PutUint64(n[16:], q.Seq)
	}
	_, _ = h.Write(n[:])
	_, _ = h.Write([]byte(q.Key))
	return float64(mix(h.Sum64())>>11) / (1 << 53) * 100
}

// mix spreads the low entropy of FNV's high bits (the finalizer of SplitMix64).
func mix(v uint64) uint64 {
	v ^= v >> 30
	v *= 0xbf58476d1ce4e5b9
	v ^= v >> 27
	v *= 0x94d049bb133111eb
	return v ^ v>>31
}

// Request is what a fault hook, a rule or [Server.Answer] sees of a request. Header and Body belong to the simulator
// and are valid only during the call. Body is nil for an upload. DataModel and EventType of a FHIR request are those of
// [Rule.Event].
type Request struct {
	Seq                  uint64
	Method, Path, Client string
	SourceID             string
	DataModel, EventType string
	Query                bool
	Key                  string
	Attempt              int // nth arrival of Key under a valid token; 0 when the token is not valid
	TokenValid           bool
	Header               http.Header
	Body                 []byte
}

// faultBox holds the rules in force. Its zero value has none.
type faultBox struct {
	current atomic.Pointer[ruleSet]
}

// ruleSet is one setting of rules with its counters.
type ruleSet struct {
	profile string
	since   time.Time
	rules   []*countedRule
}

type countedRule struct {
	Rule
	salt uint64
	mu   sync.Mutex
	seen int
	keys map[string]struct{}
}

// SetRules replaces the faults in force by these rules; the first that matches a request applies. Their counters and
// clocks start now.
func (s *Server) SetRules(rules ...Rule) { s.setRules("", rules) }

func (s *Server) setRules(profile string, rules []Rule) {
	set := &ruleSet{profile: profile, since: s.now()}
	for i, r := range rules {
		set.rules = append(set.rules, &countedRule{Rule: r, salt: mix(s.Seed + uint64(i) + 1)})
	}
	if len(set.rules) == 0 && profile == "" {
		set = nil
	}
	s.faults.current.Store(set)
}

// Rules returns the name of the profile in force, "" if it was set by rules, and its rules.
func (s *Server) Rules() (profile string, rules []Rule) {
	set := s.faults.current.Load()
	if set == nil {
		return "none", nil
	}
	for _, r := range set.rules {
		rules = append(rules, r.Rule)
	}
	return set.profile, rules
}

// find returns the fault of the first rule that applies. Early rules are decided only early.
func (b *faultBox) find(q *Request, now time.Time, early bool) *Fault {
	set := b.current.Load()
	if set == nil {
		return nil
	}
	since := now.Sub(set.since)
	for _, r := range set.rules {
		if r.early() == early && r.matches(q, since, r.salt) && r.count(q.Key) {
			return &r.Fault
		}
	}
	return nil
}

// count takes one more matching request into account and says whether the rule applies to it.
func (r *countedRule) count(key string) bool {
	if r.Skip == 0 && r.Count == 0 && r.Every == 0 && r.Messages == 0 {
		return true
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.Messages > 0 {
		if _, known := r.keys[key]; !known {
			if len(r.keys) >= r.Messages {
				return false
			}
			if r.keys == nil {
				r.keys = map[string]struct{}{}
			}
			r.keys[key] = struct{}{}
		}
	}
	r.seen++
	n := r.seen - r.Skip
	return n > 0 && (r.Count == 0 || n <= r.Count) && (r.Every == 0 || n%r.Every == 0)
}

// faulty says that some request may go wrong, so that attempts have to be counted.
func (s *Server) faulty() bool {
	return s.Fault != nil || s.faults.current.Load() != nil
}

// faultOf decides the fault of a request that has been read: hook, then the message's own script, then rules.
func (s *Server) faultOf(q *Request, script string) (*Fault, error) {
	if s.Fault != nil {
		if f := s.Fault(*q); f != nil {
			return f, nil
		}
	}
	if script != "" && q.Attempt > 0 {
		f, err := nthOf(script, q.Attempt)
		if f != nil || err != nil {
			return f, err
		}
	}
	return s.faults.find(q, s.now(), false), nil
}
