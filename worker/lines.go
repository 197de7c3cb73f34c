package worker

import (
	"cmp"
	"slices"
	"sync"
	"time"
)

// lines are the order tokens of which this worker has met more than a lone message: who is
// their head, who waits behind it in this worker's hands, and who was handed back until when.
// It is what the worker believes; that a message is the head it asks the stream's leader.
//
// A follower is kept in hand while its head is here too, or moves on with another worker, as long
// as there is room. It is handed back otherwise, until about its turn: what stands far behind comes
// late. The longer a head stands, the further apart its followers come, so that a crowd behind it
// costs a few useless deliveries a second. Who settles a head tells the others who the next is;
// see turns.go.
type lines struct {
	room int // followers in hand, of all tokens

	mu      sync.Mutex
	parked  int
	bytes   int
	closed  bool
	bySubj  map[string]*line
	cleaned time.Time
}

// line is what is known of one token.
type line struct {
	head   uint64       // the first of the token, as far as is known; 0 when it is not
	mine   uint64       // the one that was the head and is being delivered here; 0: there is none
	since  time.Time    // since when it is the head
	trust  time.Time    // until when it is not asked for again
	asks   int          // how often in a row it was found and was not here
	parked []*delivery  // by sequence
	back   []handedBack // by sequence

	was   uint64        // the head that was known last, and
	wasAt time.Time     // since when
	step  time.Duration // between two heads, for each sequence that they are apart; 0 when it is not known
	news  time.Time     // when it was heard last who the head is
	told  bool          // another worker has followers of the token, or had
	owed  bool          // the head was left to the others, and none was heard of since
	watch bool          // a look at it is due
}

// handedBack is a follower that comes again.
type handedBack struct {
	sequence uint64
	delivery uint64 // by the consumer's count
	until    time.Time
}

const (
	// parkedOfOne is how many followers of one token are kept in hand.
	parkedOfOne = 64
	// parkedBytes bounds what the bodies of all of them take.
	parkedBytes = 16 << 20
	// followerFirst is after what time a follower comes again that has a head elsewhere, at
	// first, and followerNear how long the next few of a token wait at most.
	followerFirst = 100 * time.Millisecond
	followerNear  = 20 * time.Second
	// nearby is how many of a token are the next few.
	nearby = 8
	// followerApart is how far apart the followers of a head come that stands, and followerMost
	// how late the last of them comes.
	followerApart = 350 * time.Millisecond
	followerLeast = 2 * time.Millisecond // of a token that moves on
	followerMost  = 6 * time.Hour
	// wokenTogether is how many followers are woken with the successor of a head at most, namely
	// if their turn comes within wokenAhead.
	wokenTogether = 16
	wokenAhead    = 300 * time.Millisecond
	// standsLong is how long a head that is elsewhere may stand until those behind it are not
	// kept in hand any more.
	standsLong   = time.Second
	linesCleaned = time.Minute
)

func newLines(room int) *lines { return &lines{room: room, bySubj: make(map[string]*line)} }

// arrive answers where a message stands if that is known without asking. It is when its head is
// here, or was found to be another a moment ago. One that comes before its time was woken, and
// that was because its head is gone.
func (ls *lines) arrive(d *delivery, now time.Time) (place, bool) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	l := ls.bySubj[d.msg.subject]
	switch {
	case l == nil || l.head == 0 || l.head >= d.message.Sequence:
		return placeBehind, false
	case l.mine != 0:
		return placeBehind, true
	}
	ahead := len(l.parked) > 0 && l.parked[0].message.Sequence < d.message.Sequence
	return placeBehind, now.Before(l.trust) && (ahead || !l.early(d, now))
}

// early reports whether a message that was handed back comes before its time.
func (l *line) early(d *delivery, now time.Time) bool {
	i, there := slices.BinarySearchFunc(l.back, d.message.Sequence, func(b handedBack, seq uint64) int { return cmp.Compare(b.sequence, seq) })
	if !there { // another worker did
		return d.delivered > 1
	}
	return now.Before(l.back[i].until.Add(-2 * comesAfter))
}

// learn takes in where a message was found to stand.
func (ls *lines) learn(d *delivery, at place, first uint64, now time.Time) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	l := ls.of(d.msg.subject)
	switch {
	case at == placeHead:
		l.stands(d.message.Sequence, now)
		l.asks, l.mine, l.owed = 0, d.message.Sequence, false
		l.drop(d.message.Sequence + 1)
	case at == placeBehind && l.mine == 0 && !l.stale(first, now):
		l.stands(first, now)
		l.asks = min(l.asks+1, 8)
		l.trust = now.Add(min(followerFirst<<l.asks, 4*followerFirst))
	}
}

// stands notes who the head is.
func (l *line) stands(head uint64, now time.Time) {
	l.news = now
	if l.head == head {
		return
	}
	if l.was != 0 && head > l.was {
		step := now.Sub(l.wasAt) / time.Duration(head-l.was)
		if l.step != 0 {
			step = (3*l.step + step) / 4
		}
		l.step = step
	}
	if head != l.was {
		l.was, l.wasAt = head, now
	}
	l.head, l.since, l.asks, l.owed = head, now, 0, false
}

// stale reports whether an answer that names a head was overtaken by others: it took its time.
func (l *line) stale(head uint64, now time.Time) bool {
	return head < l.was && now.Sub(l.wasAt) < 2*stepTimeout
}

// until is how long it takes until it is the turn of a sequence, by the pace of those before; 0
// when that is not known.
func (l *line) until(sequence uint64, now time.Time) time.Duration {
	if l.step == 0 || sequence <= l.was {
		return 0
	}
	return max(0, time.Duration(min(float64(sequence-l.was)*float64(l.step), float64(followerMost)))-now.Sub(l.wasAt))
}

func (ls *lines) of(subject string) *line {
	l := ls.bySubj[subject]
	if l == nil {
		l = &line{}
		ls.bySubj[subject] = l
	}
	return l
}

// park keeps a follower in hand if its head is here, or moves on elsewhere, and there is room. What
// is to be handed back instead of it is answered: nil, the follower itself, or one that stands
// further behind. first reports that it is the only one here whose head is elsewhere.
func (ls *lines) park(d *delivery, now time.Time) (instead *delivery, first bool) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	l := ls.bySubj[d.msg.subject]
	if ls.closed || l == nil || l.mine == 0 && !l.moves(now) {
		return d, false
	}
	room := ls.room
	if l.mine == 0 {
		room /= 2
	}
	if last := len(l.parked) - 1; last >= 0 && len(l.parked) >= parkedOfOne || ls.parked >= room {
		if last < 0 || l.parked[last].message.Sequence < d.message.Sequence {
			return d, false
		}
		instead = ls.unpark(l, last)
	}
	if ls.bytes+len(d.msg.body) > parkedBytes {
		ls.insert(l, instead)
		return d, false
	}
	ls.insert(l, d)
	return instead, l.mine == 0 && len(l.parked) == 1
}

// moves reports whether a head that is elsewhere is worth waiting for.
func (l *line) moves(now time.Time) bool {
	return l.head != 0 && now.Sub(l.since) < standsLong && now.Sub(l.news) < standsLong
}

func (ls *lines) insert(l *line, d *delivery) {
	if d == nil {
		return
	}
	i, _ := slices.BinarySearchFunc(l.parked, d.message.Sequence, func(p *delivery, seq uint64) int { return cmp.Compare(p.message.Sequence, seq) })
	l.parked = slices.Insert(l.parked, i, d)
	ls.parked++
	ls.bytes += len(d.msg.body)
}

// back notes that a follower is handed back, and answers for how long. near reports whether it
// may be the next.
func (ls *lines) back(d *delivery, now time.Time) (delay time.Duration, near bool) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	if ls.closed {
		return 0, false
	}
	l := ls.of(d.msg.subject)
	i, there := slices.BinarySearchFunc(l.back, d.message.Sequence, func(b handedBack, seq uint64) int { return cmp.Compare(b.sequence, seq) })
	rank := i + 1 + len(l.parked)
	delay = l.delay(rank, d.message.Sequence, now)
	entry := handedBack{sequence: d.message.Sequence, delivery: d.consumed, until: now.Add(delay)}
	if there {
		l.back[i] = entry
	} else {
		l.back = slices.Insert(l.back, i, entry)
	}
	return delay, rank <= 2
}

// delay is for how long a follower of a rank is handed back: until about its turn where the token
// moves on. Who stands far behind is woken in time, and may come late.
func (l *line) delay(rank int, sequence uint64, now time.Time) time.Duration {
	least := max(followerFirst, l.trust.Sub(now))
	if l.step != 0 && now.Sub(l.wasAt) < 2*standsLong {
		return max(least, l.until(sequence, now))
	}
	apart := followerLeast
	if l.head != 0 {
		apart = max(apart, now.Sub(l.since)/50)
	}
	delay := least + time.Duration(rank)*min(apart, followerApart) + time.Duration(max(0, rank-parkedOfOne))*followerApart
	if rank <= nearby {
		return min(delay, max(followerNear, least))
	}
	return min(delay, followerMost)
}

// leave notes that a message that was the head has been delivered: it is settled, or comes again
// at a time. crowd reports whether others are known to wait behind it.
func (ls *lines) leave(d *delivery, settled bool, now time.Time) (crowd bool) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	l := ls.bySubj[d.msg.subject]
	if l == nil {
		return false
	}
	if l.mine == d.message.Sequence {
		l.mine = 0
	}
	switch {
	case l.head > d.message.Sequence: // it was settled elsewhere
	case settled:
		l.head, l.trust, l.asks = 0, time.Time{}, 0
	default:
		l.trust = now.Add(d.verdict.delay)
	}
	crowd = l.told || len(l.parked)+len(l.back) > 0
	ls.tidy(d.msg.subject, l)
	return crowd
}

// next notes that the message of a sequence is the head, unless more is known by now. It answers it
// if it is in hand, what is in hand and is gone, and what has to be woken.
func (ls *lines) next(subject string, first uint64, now time.Time) (head *delivery, gone []*delivery, woken []handedBack) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	l := ls.of(subject)
	if l.stale(first, now) {
		return nil, nil, nil
	}
	l.drop(first)
	for len(l.parked) > 0 && l.parked[0].message.Sequence < first {
		gone = append(gone, ls.unpark(l, 0))
	}
	l.stands(first, now)
	if len(l.parked) > 0 && l.parked[0].message.Sequence == first {
		head, l.mine, l.owed = ls.unpark(l, 0), first, false
		l.drop(first + 1) // it is not to be woken any more
	} else {
		l.trust = now.Add(4 * followerFirst)
	}
	for i := range l.back[:min(len(l.back), wokenTogether)] {
		b := &l.back[i]
		if near := b.sequence == first || l.until(b.sequence, now) < wokenAhead && len(l.parked) < parkedOfOne/4; near && b.until.After(now.Add(10*time.Millisecond)) {
			woken = append(woken, *b)
			b.until = now
		}
	}
	ls.tidy(subject, l)
	return head, gone, woken
}

// unpark takes one of those in hand out.
func (ls *lines) unpark(l *line, i int) *delivery {
	d := l.parked[i]
	l.parked = slices.Delete(l.parked, i, i+1)
	ls.parked--
	ls.bytes -= len(d.msg.body)
	return d
}

// drop forgets what was handed back before a sequence.
func (l *line) drop(before uint64) {
	i, _ := slices.BinarySearchFunc(l.back, before, func(b handedBack, seq uint64) int { return cmp.Compare(b.sequence, seq) })
	l.back = l.back[i:] // a crowd is not moved for each that goes
}

// drop takes all followers of a token out of the worker's hands.
func (ls *lines) drop(subject string) (list []*delivery) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	l := ls.bySubj[subject]
	if l == nil {
		return nil
	}
	for len(l.parked) > 0 {
		list = append(list, ls.unpark(l, 0))
	}
	ls.tidy(subject, l)
	return list
}

// close takes all followers out of the worker's hands; none is kept from now on.
func (ls *lines) close() (list []*delivery) {
	ls.mu.Lock()
	subjects := make([]string, 0, len(ls.bySubj))
	for subject := range ls.bySubj {
		subjects = append(subjects, subject)
	}
	ls.closed = true
	ls.mu.Unlock()
	for _, subject := range subjects {
		list = append(list, ls.drop(subject)...)
	}
	return list
}

// forget drops what is known of a token that has no message.
func (ls *lines) forget(subject string) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	if l := ls.bySubj[subject]; l != nil {
		l.back, l.head, l.told, l.owed = nil, 0, false, false
		ls.tidy(subject, l)
	}
}

// tidy forgets a token of which nothing is to be remembered.
func (ls *lines) tidy(subject string, l *line) {
	if l.mine == 0 && !l.owed && len(l.parked) == 0 && len(l.back) == 0 {
		delete(ls.bySubj, subject)
	}
}

// clean forgets tokens whose followers should have come long ago: others have them.
func (ls *lines) clean(now time.Time) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	if now.Sub(ls.cleaned) < linesCleaned {
		return
	}
	ls.cleaned = now
	for subject, l := range ls.bySubj {
		l.back = slices.DeleteFunc(l.back, func(b handedBack) bool { return now.Sub(b.until) > 5*linesCleaned })
		ls.tidy(subject, l)
	}
}
