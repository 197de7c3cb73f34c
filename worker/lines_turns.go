package worker

import "time"

// hear takes in what another worker, or this one, said of a token. act reports whether that
// concerns something that is here.
func (ls *lines) hear(subject string, t turn) (act bool) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	l := ls.bySubj[subject]
	if l == nil {
		return false
	}
	l.told = l.told || t.Waits
	return l.mine == 0 && t.Head > l.was && len(l.parked)+len(l.back) > 0
}

// owe notes that a head was left to the other workers.
func (ls *lines) owe(subject string, head uint64) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	if l := ls.of(subject); l.head == head && l.mine == 0 {
		l.owed = true
	}
}

// watch reports whether a token is to be looked at in a while: there is something to look after,
// and no look at it is due yet.
func (ls *lines) watch(subject string) bool {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	l := ls.bySubj[subject]
	if l == nil || l.watch || ls.closed {
		return false
	}
	l.watch = l.mine == 0 && (l.owed || len(l.parked) > 0)
	return l.watch
}

// look answers the head of a token as far as is known, and whether it is to be asked for: there
// were no news of it.
func (ls *lines) look(subject string, now time.Time) (head uint64, due bool) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	l := ls.bySubj[subject]
	if l == nil {
		return 0, false
	}
	l.watch = false
	ls.tidy(subject, l)
	return l.head, l.mine == 0 && (l.owed || len(l.parked) > 0) && now.Sub(l.news) >= lookEvery/2
}

// stands notes that the head of a token is still the one that was known. owed reports whether it
// was left to the others, and nobody has said since that it has it. What is in hand behind a head
// that stands for long is to be handed back.
func (ls *lines) stands(subject string, head uint64, now time.Time) (owed bool, stuck []*delivery) {
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
