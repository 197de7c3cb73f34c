package dlq

import (
	"cmp"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/nats-io/nats.go"

	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/outbox/internal/wire"
)

// maxDeadHeaders bounds the headers of a dead letter, in bytes. A stream takes no message
// with more than 65,535 bytes of them (nats-server, error 10097), and a replay has some of
// its own. A worker that could not write the dead letter would never settle the message.
const maxDeadHeaders = 60 << 10

// trim drops headers of the message that died: those that the client would refuse to write,
// and of the others as many as it takes until those of its dead letter fit, first what means
// nothing to a worker, the largest first.
func (d Letter) trim(h nats.Header) {
	dropped := 0
	for name := range h {
		if !isHeaderName(name) {
			delete(h, name)
			dropped++
		}
	}
	size := wire.Size(&nats.Msg{Header: h})
	if size <= maxDeadHeaders {
		noteDropped(h, dropped, "cannot be kept")
		return
	}
	frame := wire.Size(&nats.Msg{Header: nats.Header{"": nil}})
	length := func(name string) int64 { return wire.Size(&nats.Msg{Header: nats.Header{name: h[name]}}) - frame }
	names := slices.DeleteFunc(slices.Collect(maps.Keys(d.Header)), func(name string) bool { return reserved(name) || !isHeaderName(name) })
	slices.SortFunc(names, func(a, b string) int {
		if x, y := isContract(a), isContract(b); x != y {
			if y {
				return -1
			}
			return 1
		}
		return cmp.Or(cmp.Compare(length(b), length(a)), cmp.Compare(a, b))
	})
	for _, name := range names {
		if size <= maxDeadHeaders {
			break
		}
		size -= length(name)
		delete(h, name)
		dropped++
	}
	noteDropped(h, dropped, "were too large to keep")
}

// noteDropped says in a dead letter that it lacks some headers.
func noteDropped(h nats.Header, dropped int, why string) {
	if dropped == 0 {
		return
	}
	note := strconv.Itoa(dropped) + " of its headers " + why
	if text := wire.First(h, HeaderDeadError); text != "" {
		note = text + "; " + note
	}
	h[HeaderDeadError] = []string{note}
}

// isHeaderName reports whether the NATS client writes a header of this name (nats.go, Msg).
func isHeaderName(name string) bool {
	return name != "" && wire.Visible(name) && !strings.ContainsAny(name, "\"()/,:;<=>?@[\\]{}")
}

func isContract(name string) bool {
	switch name {
	case contract.HeaderContentType, contract.HeaderAccept, contract.HeaderTraceParent, contract.HeaderTraceState:
		return true
	}
	return wire.HasPrefixFold(name, "Redox-")
}
