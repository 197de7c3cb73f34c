package heads

import "time"

// Workers tell each other whose turn it is, so that a follower may wait in the hands of one for a
// head in those of another: who settles a head, and has not the next, names it. It is what the
// stream's leader answered, and holds until that message is settled. Nobody relies on being told:
// who waits and hears nothing asks the leader, and hands back what it has when the head stands.

// Turn is what a worker tells the others about a token.
type Turn struct {
	Token string `json:"token"`
	// Head is the first message of the token, by its sequence; 0 when nothing is said about it.
	Head uint64 `json:"head,omitempty"`
	// Waits: who tells has a follower, and not the head.
	Waits bool `json:"waits,omitempty"`
}

// LookEvery is after what time without news a worker asks who the head of a token is of which it
// has followers.
const LookEvery = 200 * time.Millisecond

// Hear takes in what another worker, or this one, said of a token. act reports whether that
// concerns something that is here.
func (ls *Lines[D]) Hear(subject string, t Turn) (act bool) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	l := ls.bySubj[subject]
	if l == nil {
		return false
	}
	l.told = l.told || t.Waits
	return l.mine == 0 && t.Head > l.was && len(l.parked)+len(l.back) > 0
}

// Owe notes that a head was left to the other workers. Nothing else need be known of its token.
func (ls *Lines[D]) Owe(subject string, head uint64, now time.Time) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	l := ls.of(subject)
	if l.mine == 0 && l.head == 0 && !l.stale(head, now) {
		l.stands(head, now)
	}
	l.owed = l.owed || l.mine == 0 && l.head == head
	ls.tidy(subject, l)
}

// Watch reports whether a token is to be looked at in a while: there is something to look after,
// and no look at it is due yet.
func (ls *Lines[D]) Watch(subject string) bool {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	l := ls.bySubj[subject]
	if l == nil || l.watch || ls.closed {
		return false
	}
	l.watch = l.mine == 0 && (l.owed || len(l.parked) > 0)
	return l.watch
}

// Look answers the head of a token as far as is known, and whether it is to be asked for: there
// were no news of it.
func (ls *Lines[D]) Look(subject string, now time.Time) (head uint64, due bool) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	l := ls.bySubj[subject]
	if l == nil {
		return 0, false
	}
	l.watch = false
	ls.tidy(subject, l)
	return l.head, l.mine == 0 && (l.owed || len(l.parked) > 0) && now.Sub(l.news) >= LookEvery/2
}

// Stands notes that the head of a token is still the one that was known. owed reports whether it
// was left to the others, and nobody has said since that it has it. What is in hand behind a head
// that stands for long is to be handed back.
func (ls *Lines[D]) Stands(subject string, head uint64, now time.Time) (owed bool, stuck []D) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	l := ls.bySubj[subject]
	if l == nil || l.mine != 0 || l.head != head {
		return false, nil
	}
	owed, l.owed = l.owed, false
	l.news = now
	if !l.moves(now) {
		l.trust = now.Add(4 * followerFirst)
		for len(l.parked) > 0 {
			stuck = append(stuck, ls.unpark(l, 0))
		}
	}
	ls.tidy(subject, l)
	return owed, stuck
}
