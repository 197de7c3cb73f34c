package worker

import "time"

// window bounds the age of the messages in a Consume buffer. The client hands messages
// over one by one and asks for the next only when a callback has returned, so message n
// cannot have been delivered before callback n−size returned. Nor can it have been before
// a moment at which this process ran and no callback did: the buffer was empty then.
//
// What may have lain in the buffer for most of the ack wait is not worked on: by then the
// server may have given it to another worker (a blind negative acknowledgement could even
// take it away from that one), and if not, it comes again.
//
// begin and end are called by the lane's callback goroutine alone.
type window struct {
	returned []time.Time // ring of the last size callback ends
	next     int
	last     time.Time // end of the last callback; at first, when the window was opened
	empty    time.Time // latest time at which the buffer is known to have been empty
}

func newWindow(size int, opened time.Time) *window {
	return &window{returned: make([]time.Time, size), last: opened, empty: opened}
}

// begin is called when a callback starts. alive is when this process was last seen
// running, see keeper.alive. It answers the earliest time at which the message can have
// been delivered.
func (w *window) begin(alive time.Time) time.Time {
	if w.last.Before(alive) {
		w.empty = alive
	}
	if at := w.returned[w.next]; at.After(w.empty) {
		return at
	}
	return w.empty
}

// end is called when the callback returns.
func (w *window) end() {
	w.last = time.Now()
	w.returned[w.next] = w.last
	w.next = (w.next + 1) % len(w.returned)
}
