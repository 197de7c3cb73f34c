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
// A follower is kept in hand while its head is here too, as long as there is room. It is handed
// back otherwise, until about its turn: what stands far behind comes late. The longer a head
// stands, the further apart its followers come, so that a crowd behind it costs a few useless
// deliveries a second. Who settles a head has its successor delivered at once; see
// [Worker.successor].
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
	head   uint64        // the first of the token, as far as is known; 0 when it is not
	mine   bool          // it is being delivered here
	since  time.Time     // since when it is the head
	trust  time.Time     // until when it is not asked for again
	asks   int           // how often in a row it was found and was not here
	pace   time.Duration // between two settlements
	parked []*delivery   // by sequence
	back   []handedBack  // by sequence
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
	// wokenTogether is how many followers are woken with the successor of a head.
	wokenTogether = 16
	linesCleaned  = time.Minute
)

func newLines(room int) *lines { return &lines{room: room, bySubj: make(map[string]*line)} }

// arrive answers where a message stands if that is known without asking. It is when its head is
// here, or was found to be another a moment ago. One that comes before its time was woken, and
// that was because its head is gone.
func (ls *lines) arrive(d *delivery, now time.Time) (place, bool) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	l := ls.bySubj[d.msg.subject]
	if l == nil || l.head == 0 || l.head >= d.message.Sequence {
		return placeBehind, false
	}
	return placeBehind, l.mine || now.Before(l.trust) && !l.early(d, now)
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
		l.asks, l.mine = 0, true
		l.drop(d.message.Sequence + 1)
	case at == placeBehind && !l.mine:
		l.stands(first, now)
		l.asks = min(l.asks+1, 8)
		l.trust = now.Add(min(followerFirst<<l.asks, 4*followerFirst))
	}
}

// stands notes who the head is.
func (l *line) stands(head uint64, now time.Time) {
	if l.head != head {
		l.head, l.since, l.asks = head, now, 0
	}
}

func (ls *lines) of(subject string) *line {
	l := ls.bySubj[subject]
	if l == nil {
		l = &line{}
		ls.bySubj[subject] = l
	}
	return l
}

// park keeps a follower in hand if its head is here and there is room.
func (ls *lines) park(d *delivery) bool {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	l := ls.bySubj[d.msg.subject]
	if ls.closed || l == nil || !l.mine || len(l.parked) >= parkedOfOne || ls.parked >= ls.room || ls.bytes+len(d.msg.body) > parkedBytes {
		return false
	}
	i, _ := slices.BinarySearchFunc(l.parked, d.message.Sequence, func(p *delivery, seq uint64) int { return cmp.Compare(p.message.Sequence, seq) })
	l.parked = slices.Insert(l.parked, i, d)
	ls.parked++
	ls.bytes += len(d.msg.body)
	return true
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
	delay = l.delay(rank, now)
	entry := handedBack{sequence: d.message.Sequence, delivery: d.consumed, until: now.Add(delay)}
	if there {
		l.back[i] = entry
	} else {
		l.back = slices.Insert(l.back, i, entry)
	}
	return delay, rank <= 2
}

// delay is for how long the follower of a rank is handed back.
func (l *line) delay(rank int, now time.Time) time.Duration {
	wait := max(0, l.trust.Sub(now))
	apart := max(l.pace, followerLeast)
	if l.head != 0 {
		apart = max(apart, now.Sub(l.since)/50)
	}
	delay := max(followerFirst, wait) + time.Duration(rank)*min(apart, followerApart)
	if rank <= nearby {
		return min(delay, max(followerNear, wait+followerFirst))
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
	if l.head == d.message.Sequence {
		l.mine = false
	}
	if settled {
		l.pace = (3*l.pace + now.Sub(l.since)) / 4
		l.head, l.trust, l.asks = 0, time.Time{}, 0
	} else {
		l.trust = now.Add(d.verdict.delay)
	}
	crowd = len(l.parked)+len(l.back) > 0
	ls.tidy(d.msg.subject, l)
	return crowd
}

// next makes the message of a sequence the head. It answers it if it is in hand, what is in
// hand and is gone, and what has to be woken.
func (ls *lines) next(subject string, first uint64, now time.Time) (head *delivery, rest []*delivery, woken []handedBack) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	l := ls.of(subject)
	l.drop(first)
	for len(l.parked) > 0 && l.parked[0].message.Sequence < first { // gone meanwhile
		rest = append(rest, ls.unpark(l))
	}
	l.stands(first, now)
	if len(l.parked) > 0 && l.parked[0].message.Sequence == first {
		head, l.mine = ls.unpark(l), true
		l.drop(first + 1) // it is not to be woken any more
	} else {
		for len(l.parked) > 0 {
			rest = append(rest, ls.unpark(l))
		}
	}
	known := len(l.back) > 0 && l.back[0].sequence == first
	if head == nil && known || head != nil && len(l.parked) < parkedOfOne/4 {
		for i := range l.back[:min(len(l.back), wokenTogether)] {
			if l.back[i].until.After(now.Add(10 * time.Millisecond)) {
				woken = append(woken, l.back[i])
				l.back[i].until = now
			}
		}
	}
	ls.tidy(subject, l)
	return head, rest, woken
}

func (ls *lines) unpark(l *line) *delivery {
	d := l.parked[0]
	l.parked = slices.Delete(l.parked, 0, 1)
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
		list = append(list, ls.unpark(l))
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
		l.back, l.head = nil, 0
	}
}

// tidy forgets a token of which nothing is to be remembered.
func (ls *lines) tidy(subject string, l *line) {
	if !l.mine && len(l.parked) == 0 && len(l.back) == 0 {
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
