package heads

import (
	"cmp"
	"slices"
	"sync"
	"time"
)

// Lines are the order tokens of which this worker has met more than a lone message: who is
// their head, who waits behind it in this worker's hands, and who was handed back until when.
// It is what the worker believes; that a message is the head it asks the stream's leader.
//
// A follower is kept in hand while its head is here too, or moves on with another worker, as long
// as there is room. It is handed back otherwise, until about its turn: what stands far behind comes
// late. The longer a head stands, the further apart its followers come, so that a crowd behind it
// costs a few useless deliveries a second. Who settles a head tells the others who the next is;
// see [Turn]. It is safe for concurrent use.
type Lines[D Delivery] struct {
	room int // followers in hand, of all tokens

	mu      sync.Mutex
	parked  int
	bytes   int
	closed  bool
	bySubj  map[string]*line[D]
	cleaned time.Time
}

// line is what is known of one token.
type line[D Delivery] struct {
	head   uint64       // the first of the token, as far as is known; 0 when it is not
	mine   uint64       // the one that was the head and is being delivered here; 0: there is none
	since  time.Time    // since when it is the head
	trust  time.Time    // until when it is not asked for again
	asks   int          // how often in a row it was found and was not here
	parked []D          // by sequence
	back   []HandedBack // by sequence

	was   uint64        // the head that was known last, and
	wasAt time.Time     // since when
	step  time.Duration // between two heads, for each sequence that they are apart; 0 when it is not known
	news  time.Time     // when it was heard last who the head is
	told  bool          // another worker has followers of the token, or had
	owed  bool          // the head was left to the others, and none was heard of since
	watch bool          // a look at it is due
}

// HandedBack is a follower that comes again.
type HandedBack struct {
	Sequence uint64
	Delivery uint64 // by the consumer's count
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
	// ComesAfter is the delay with which the server delivers a message that is due.
	ComesAfter = 15 * time.Millisecond
	// overtakenFor is for how long an answer of the stream may come after a later one.
	overtakenFor = 4 * time.Second
)

// New returns lines that keep as many followers in hand as there is room, of all tokens together.
func New[D Delivery](room int) *Lines[D] {
	return &Lines[D]{room: room, bySubj: make(map[string]*line[D])}
}

// Arrive answers where a message stands if that is known without asking. It is when its head is
// here, or was found to be another a moment ago. One that comes before its time was woken, and
// that was because its head is gone.
func (ls *Lines[D]) Arrive(d D, now time.Time) (Place, bool) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	l := ls.bySubj[d.Subject()]
	switch {
	case l == nil || l.head == 0 || l.head >= d.Sequence():
		return Behind, false
	case l.mine != 0:
		return Behind, true
	}
	ahead := len(l.parked) > 0 && l.parked[0].Sequence() < d.Sequence()
	return Behind, now.Before(l.trust) && (ahead || !l.early(d, now))
}

// early reports whether a message that was handed back comes before its time.
func (l *line[D]) early(d D, now time.Time) bool {
	i, there := slices.BinarySearchFunc(l.back, d.Sequence(), func(b HandedBack, seq uint64) int { return cmp.Compare(b.Sequence, seq) })
	if !there { // another worker did
		return d.Delivered() > 1
	}
	return now.Before(l.back[i].until.Add(-2 * ComesAfter))
}

// Learn takes in where a message was found to stand.
func (ls *Lines[D]) Learn(d D, at Place, first uint64, now time.Time) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	l := ls.of(d.Subject())
	switch {
	case at == Head:
		l.stands(d.Sequence(), now)
		l.asks, l.mine, l.owed = 0, d.Sequence(), false
		l.drop(d.Sequence() + 1)
	case at == Behind && l.mine == 0 && !l.stale(first, now):
		l.stands(first, now)
		l.asks = min(l.asks+1, 8)
		l.trust = now.Add(min(followerFirst<<l.asks, 4*followerFirst))
	}
}

// stands notes who the head is.
func (l *line[D]) stands(head uint64, now time.Time) {
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
func (l *line[D]) stale(head uint64, now time.Time) bool {
	return head < l.was && now.Sub(l.wasAt) < overtakenFor
}

// until is how long it takes until it is the turn of a sequence, by the pace of those before; 0
// when that is not known.
func (l *line[D]) until(sequence uint64, now time.Time) time.Duration {
	if l.step == 0 || sequence <= l.was {
		return 0
	}
	return max(0, time.Duration(min(float64(sequence-l.was)*float64(l.step), float64(followerMost)))-now.Sub(l.wasAt))
}

func (ls *Lines[D]) of(subject string) *line[D] {
	l := ls.bySubj[subject]
	if l == nil {
		l = &line[D]{}
		ls.bySubj[subject] = l
	}
	return l
}

// Park keeps a follower in hand if its head is here, or moves on elsewhere, and there is room. What
// is to be handed back instead of it is answered: nil, the follower itself, or one that stands
// further behind. first reports that it is the only one here whose head is elsewhere.
func (ls *Lines[D]) Park(d D, now time.Time) (instead D, first bool) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	l := ls.bySubj[d.Subject()]
	if ls.closed || l == nil || l.mine == 0 && !l.moves(now) {
		return d, false
	}
	room := ls.room
	if l.mine == 0 {
		room /= 2
	}
	if last := len(l.parked) - 1; last >= 0 && len(l.parked) >= parkedOfOne || ls.parked >= room {
		if last < 0 || l.parked[last].Sequence() < d.Sequence() {
			return d, false
		}
		instead = ls.unpark(l, last)
	}
	if ls.bytes+d.Size() > parkedBytes {
		ls.insert(l, instead)
		return d, false
	}
	ls.insert(l, d)
	return instead, l.mine == 0 && len(l.parked) == 1
}

// moves reports whether a head that is elsewhere is worth waiting for.
func (l *line[D]) moves(now time.Time) bool {
	return l.head != 0 && now.Sub(l.since) < standsLong && now.Sub(l.news) < standsLong
}

func (ls *Lines[D]) insert(l *line[D], d D) {
	var none D
	if d == none {
		return
	}
	i, _ := slices.BinarySearchFunc(l.parked, d.Sequence(), func(p D, seq uint64) int { return cmp.Compare(p.Sequence(), seq) })
	l.parked = slices.Insert(l.parked, i, d)
	ls.parked++
	ls.bytes += d.Size()
}

// Back notes that a follower is handed back, and answers for how long. near reports whether it
// may be the next.
func (ls *Lines[D]) Back(d D, now time.Time) (delay time.Duration, near bool) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	if ls.closed {
		return 0, false
	}
	l := ls.of(d.Subject())
	i, there := slices.BinarySearchFunc(l.back, d.Sequence(), func(b HandedBack, seq uint64) int { return cmp.Compare(b.Sequence, seq) })
	rank := i + 1 + len(l.parked)
	delay = l.delay(rank, d.Sequence(), now)
	entry := HandedBack{Sequence: d.Sequence(), Delivery: d.Consumed(), until: now.Add(delay)}
	if there {
		l.back[i] = entry
	} else {
		l.back = slices.Insert(l.back, i, entry)
	}
	return delay, rank <= 2
}

// delay is for how long a follower of a rank is handed back: until about its turn where the token
// moves on. Who stands far behind is woken in time, and may come late.
func (l *line[D]) delay(rank int, sequence uint64, now time.Time) time.Duration {
	least := max(followerFirst, l.trust.Sub(now))
	if l.step != 0 && now.Sub(l.wasAt) < 2*standsLong {
		// The pace may be that of one head that stood, and who is to wake it may not live that long.
		return max(least, min(l.until(sequence, now), followerNear+time.Duration(rank)*followerApart))
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

// Leave notes that a message that was the head has been delivered: it is settled, or comes again
// after a while. crowd reports whether others are known to wait behind it.
func (ls *Lines[D]) Leave(d D, settled bool, again time.Duration, now time.Time) (crowd bool) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	l := ls.bySubj[d.Subject()]
	if l == nil {
		return false
	}
	if l.mine == d.Sequence() {
		l.mine = 0
	}
	switch {
	case l.head > d.Sequence(): // it was settled elsewhere
	case settled:
		l.head, l.trust, l.asks = 0, time.Time{}, 0
	default:
		l.trust = now.Add(again)
	}
	crowd = l.told || len(l.parked)+len(l.back) > 0
	ls.tidy(d.Subject(), l)
	return crowd
}

// Next notes that the message of a sequence is the head, unless more is known by now. It answers it
// if it is in hand, what is in hand and is gone, and what has to be woken.
func (ls *Lines[D]) Next(subject string, first uint64, now time.Time) (head D, gone []D, woken []HandedBack) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	l := ls.of(subject)
	if l.stale(first, now) {
		return head, nil, nil
	}
	l.drop(first)
	for len(l.parked) > 0 && l.parked[0].Sequence() < first {
		gone = append(gone, ls.unpark(l, 0))
	}
	l.stands(first, now)
	if len(l.parked) > 0 && l.parked[0].Sequence() == first {
		head, l.mine, l.owed = ls.unpark(l, 0), first, false
		l.drop(first + 1) // it is not to be woken any more
	} else {
		l.trust = now.Add(4 * followerFirst)
	}
	for i := range l.back[:min(len(l.back), wokenTogether)] {
		b := &l.back[i]
		if near := b.Sequence == first || l.until(b.Sequence, now) < wokenAhead && len(l.parked) < parkedOfOne/4; near && b.until.After(now.Add(10*time.Millisecond)) {
			woken = append(woken, *b)
			b.until = now
		}
	}
	ls.tidy(subject, l)
	return head, gone, woken
}

// unpark takes one of those in hand out.
func (ls *Lines[D]) unpark(l *line[D], i int) D {
	d := l.parked[i]
	l.parked = slices.Delete(l.parked, i, i+1)
	ls.parked--
	ls.bytes -= d.Size()
	return d
}

// drop forgets what was handed back before a sequence.
func (l *line[D]) drop(before uint64) {
	i, _ := slices.BinarySearchFunc(l.back, before, func(b HandedBack, seq uint64) int { return cmp.Compare(b.Sequence, seq) })
	l.back = l.back[i:] // a crowd is not moved for each that goes
}

// Drop takes all followers of a token out of the worker's hands.
func (ls *Lines[D]) Drop(subject string) (list []D) {
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

// Close takes all followers out of the worker's hands; none is kept from now on.
func (ls *Lines[D]) Close() (list []D) {
	ls.mu.Lock()
	subjects := make([]string, 0, len(ls.bySubj))
	for subject := range ls.bySubj {
		subjects = append(subjects, subject)
	}
	ls.closed = true
	ls.mu.Unlock()
	for _, subject := range subjects {
		list = append(list, ls.Drop(subject)...)
	}
	return list
}

// Forget drops what is known of a token that has no message.
func (ls *Lines[D]) Forget(subject string) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	if l := ls.bySubj[subject]; l != nil {
		l.back, l.head, l.told, l.owed = nil, 0, false, false
		ls.tidy(subject, l)
	}
}

// tidy forgets a token of which nothing is to be remembered.
func (ls *Lines[D]) tidy(subject string, l *line[D]) {
	if l.mine == 0 && !l.owed && len(l.parked) == 0 && len(l.back) == 0 {
		delete(ls.bySubj, subject)
	}
}

// Clean forgets tokens whose followers should have come long ago: others have them.
func (ls *Lines[D]) Clean(now time.Time) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	if now.Sub(ls.cleaned) < linesCleaned {
		return
	}
	ls.cleaned = now
	for subject, l := range ls.bySubj {
		l.back = slices.DeleteFunc(l.back, func(b HandedBack) bool { return now.Sub(b.until) > 5*linesCleaned })
		ls.tidy(subject, l)
	}
}
