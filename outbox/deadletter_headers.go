package outbox

import (
	"cmp"
	"maps"
	"slices"
	"strconv"

	"github.com/nats-io/nats.go"
)

// maxDeadHeaders bounds the headers of a dead letter, in bytes. A stream takes no message
// with more than 65,535 bytes of them (nats-server, error 10097), and a replay has some of
// its own. A worker that could not write the dead letter would never settle the message.
const maxDeadHeaders = 60 << 10

// trim drops headers of the message that died, until those of its dead letter fit: first
// what means nothing to a worker, the largest first.
func (d DeadLetter) trim(h nats.Header) {
	size := payload(&nats.Msg{Header: h})
	if size <= maxDeadHeaders {
		return
	}
	frame := payload(&nats.Msg{Header: nats.Header{"": nil}})
	length := func(name string) int64 { return payload(&nats.Msg{Header: nats.Header{name: h[name]}}) - frame }
	names := slices.DeleteFunc(slices.Collect(maps.Keys(d.Header)), reservedInDeadLetter)
	slices.SortFunc(names, func(a, b string) int {
		if x, y := isContract(a), isContract(b); x != y {
			if y {
				return -1
			}
			return 1
		}
		return cmp.Or(cmp.Compare(length(b), length(a)), cmp.Compare(a, b))
	})
	dropped := 0
	for _, name := range names {
		if size <= maxDeadHeaders {
			break
		}
		size -= length(name)
		delete(h, name)
		dropped++
	}
	note := strconv.Itoa(dropped) + " of its headers were too large to keep"
	if text := first(h, HeaderDeadError); text != "" {
		note = text + "; " + note
	}
	h[HeaderDeadError] = []string{note}
}

func isContract(name string) bool {
	switch name {
	case HeaderContentType, HeaderAccept, HeaderTraceParent, HeaderTraceState:
		return true
	}
	return hasPrefixFold(name, "Redox-")
}
