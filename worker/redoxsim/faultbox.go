package redoxsim

import (
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

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
