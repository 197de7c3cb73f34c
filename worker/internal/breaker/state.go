package breaker

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Breaker is the circuit breaker of one worker: it holds the pauses that the worker knows of. A
// paused scope ("key:main", "host:…") closes every source that depends on it, and one of a
// destination the messages to it. When the pause ends, one message goes first as a probe; what the
// probe meets opens the scope or pauses it again for twice as long. All pauses but those of keys
// are the whole fleet's, and so is their probe: see [Sync]. It is safe for concurrent use.
type Breaker struct {
	changes func(Change)
	after   int          // failures in a row that pause a scope; less than 1: never
	post    func(update) // tells the other workers; nil when there is nobody to tell

	mu        sync.Mutex
	scopes    map[string]*pause
	sources   map[string]*source
	users     map[string]int       // scope → how many sources depend on it
	strikes   map[string]*strikes  // scope → its failures in a row
	refusals  map[string]*refusals // narrow scope → how often in a row it was refused
	throttles map[string]*throttle // group → who met its limit last
	works     map[string]time.Time // host → when it last worked, while that is of interest
	swept     time.Time            // when strikes that are long ago were dropped
	interest  atomic.Int64         // number of scopes of which a success must be noted
	resumed   map[string]time.Time
	narrow    int           // pauses of narrow scopes in the shared state
	held      held          // pauses of destinations by operators
	alone     bool          // the others cannot be reached
	changed   chan struct{} // closed and replaced at each change
}

// Change is what a [Breaker] tells its owner: a scope was paused, paused again after a failed
// probe, or opened.
type Change struct {
	Scope string
	// Source of the message that paused the scope; "" if another worker or an operator did.
	Source string
	// Paused is true for a pause of length Delay, false when it has ended. A Delay of 0 lasts until
	// an operator ends it.
	Paused bool
	Delay  time.Duration
	// Probes counts the failed probes: 0 when the pause begins.
	Probes int
	// Reason is what was met, as the messages' owner put it, or why a pause ended that no probe
	// ended.
	Reason string
	// Refused: the far side refuses the source itself; somebody has to do something about it.
	Refused bool
}

// pause is the state of one scope that is not simply open.
type pause struct {
	until      time.Time // zero: until it is opened by an operator
	failures   int
	generation uint64 // distinguishes the pauses of a scope, so that a crowd failing at once counts once
	operator   bool   // paused by an operator: no probe at its end
	by         string // that operator

	since   time.Time // when the first of the failures was seen
	reason  string
	refused bool   // the source is refused, rather than in trouble
	key     string // whose token was refused

	probing    bool      // a probe is under way
	probeSince time.Time // when it began
	prober     who       // whose message it is, or was the last one that failed
	vain       time.Time // when a message of the prober asked for admission meanwhile
	// of a scope that is shared:
	posted     bool      // the others know of it
	asked      bool      // this worker has asked to probe
	holder     string    // the worker that probes
	mine       bool      // it is this worker
	probeUntil time.Time // until when the holder is believed to be alive
}

// over reports that the pause has ended.
func (p *pause) over(now time.Time) bool { return !p.until.IsZero() && !now.Before(p.until) }

// who a message is to a breaker: its source and the narrowest of its scopes, "" if that is not
// known.
type who struct{ source, narrow string }

// rivals reports whether a message may probe a scope beside the prober: it depends on other
// narrower scopes.
func (p *pause) rivals(scope string, m who) bool {
	if Narrow(scope) {
		return !isDest(scope) && p.prober.narrow != m.narrow
	}
	return p.prober.source != m.source
}

// noteVain notes that a message could not go beside a probe that takes long.
func (p *pause) noteVain(m who, now time.Time) {
	if p.probing && p.prober == m && now.Sub(p.probeSince) >= patience && now.Sub(p.vain) >= 2*patience {
		p.vain = now
	}
}

func (b *Breaker) wake() {
	close(b.changed)
	b.changed = make(chan struct{})
}

// Permit admits one message through all scopes of its source, and those of its own. Call Hear and
// then at most one of Clear, Fail, Strike, Refuse and RefuseToken, and always Drop at the end, which
// hands on the probes that the attempt did not prove. It is not safe for concurrent use.
type Permit struct {
	breaker     *Breaker
	source      *source
	own         []string          // scopes of the message
	generations map[string]uint64 // of the scopes that were not open at admission; nil when all were
	probes      []string
	heard       Attempt
	troubled    bool // the attempt says nothing good of any narrow scope
	refused     bool // nor of the key
}

// Attempt is how an attempt ended, before what that means.
type Attempt struct {
	// Silent: nobody answered.
	Silent bool
	// Hosts are the scopes of the hosts that were asked, the last one last; nil: not known.
	Hosts []string
	// Message tells the messages of a worker apart.
	Message uint64
	// Reason is a text for people, without anything of the message. Of a success it may be empty.
	Reason string
}

// Hear notes how an attempt ended.
func (p *Permit) Hear(a Attempt) { p.heard = a }

// Probes reports whether the message finds out if something that was paused works again.
func (p *Permit) Probes() bool { return len(p.probes) > 0 }

// Own returns the scopes of the message that its source does not have.
func (p *Permit) Own() []string { return p.own }

// narrow is the narrowest scope of the message.
func (p *Permit) narrow() string { return narrowest(p.source.name, p.own) }

// narrowest is the narrowest scope of a message of the source with these scopes of its own.
func narrowest(source string, own []string) string {
	if dest := first(own, isDest); dest != "" {
		return dest
	}
	return Source(source)
}

// host is the one that was asked last, or that the message goes to; "" if there is none.
func (p *Permit) host() string {
	if n := len(p.heard.Hosts); n > 0 {
		return p.heard.Hosts[n-1]
	}
	if host := first(p.own, IsHost); host != "" {
		return host
	}
	return p.source.host
}

// proved reports whether the attempt has shown that a scope works, if it has not failed: what
// nobody asked, or got an answer from, is left to the next probe.
func (p *Permit) proved(scope string) bool {
	switch {
	case p.heard.Silent, p.troubled && Narrow(scope), p.refused && isKey(scope):
		return false
	case p.heard.Hosts != nil && IsHost(scope):
		return slices.Contains(p.heard.Hosts, scope)
	}
	return true
}

// refusals are equal refusals of one narrow scope in a row.
type refusals struct {
	n    int
	text string
	last time.Time
}

// strikes are the failures of one scope in a row: with no success between them.
type strikes struct {
	n           int
	first, last time.Time
	message     uint64 // of the first; several when there were others
	several     bool
	seen        []place // of a host and of a source: where, each once
	wide        bool    // no single source and no single destination explains them
	spread      bool    // more than one destination
}

// place is where a message failed. The destination is "" where the far side itself answers.
type place struct{ source, destination string }

// throttle is the source that alone met the limit of a group lately.
type throttle struct {
	source string
	last   time.Time
	until  time.Time // the end of the group's pause
}

// source is what a breaker knows of one source.
type source struct {
	name   string
	scopes []string // all that it depends on
	key    string   // "" if it names none
	host   string   // that its messages usually go to; "" if it names none
	// worked is when it was answered last and not refused, in Unix nanoseconds.
	worked atomic.Int64
	// refused is set while its last answer was a refusal of its token; see refusals.go.
	refused atomic.Bool

	// Of such refusals in a row, under the breaker's mutex:
	refusals  int
	since     time.Time // the first
	last      time.Time
	confirmed bool // the key worked for another source meanwhile
}
