package dlq

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/outbox/internal/wire"
)

// ReplayID is the id of the next replay of d, and its number: <id>:r<n>. The
// replay of a replay counts on: that of m-1:r1 is m-1:r2. An id that would become longer
// than 256 bytes is shortened first, to its first 214 bytes, a ~ and 32 digits of its
// SHA-256: the same each time, and another for each id.
func (d Letter) ReplayID() (id string, n int) {
	base, n := d.replayBase()
	return replayID(base, n+1), n + 1
}

// replayOf is the id of the message that d, which is one of its replays, goes back to; "" if
// d is none.
func (d Letter) replayOf() string {
	if base, n := d.replayBase(); n > 0 {
		return base
	}
	return ""
}

func replayID(base string, n int) string {
	suffix := ":r" + strconv.Itoa(n)
	if len(base)+len(suffix) > wire.MaxID {
		base = shortID(base)
	}
	return base + suffix
}

// shortID leaves room in a long id for the number of a replay.
func shortID(id string) string {
	sum := sha256.Sum256([]byte(id))
	digest := "~" + hex.EncodeToString(sum[:16])
	return id[:wire.MaxID-len(digest)-len(":r")-len(strconv.Itoa(wire.MaxReplays))] + digest
}

// replayBase takes the id of a replay apart: the id of the first message, and how many
// replays it has had. An application may use ids that end in :r1 itself: without the headers
// of a replay that is part of the id.
func (d Letter) replayBase() (base string, n int) {
	base = d.MessageID
	if len(base) > wire.MaxID {
		base = shortID(base) // a dead letter's id is longer than a message's where it names a time
	}
	n, err := wire.Count(d.Header, contract.HeaderReplayCount, wire.MaxReplays)
	of := wire.First(d.Header, contract.HeaderReplayOf)
	if err != nil || of == "" {
		return base, 0
	}
	first, _ := wire.Untimed(d.MessageID)
	if id := replayID(of, n); id == d.MessageID || id == first {
		return of, n
	}
	if cut, ok := strings.CutSuffix(d.MessageID, ":r"+strconv.Itoa(n)); ok && cut != "" {
		return cut, n
	}
	return base, n
}

// replayMessage is a dead letter made into a message again.
type replayMessage struct {
	msg      *nats.Msg
	prefix   contract.Prefix
	source   string
	id       string
	position uint64
	// expired: its deadline has passed and was left out.
	expired bool
}

// replay makes the message that sends d again under an id. The error says why that
// cannot be, is safe, and no repeat mends it.
//
// The message has the headers of the first one and says which message it
// is a replay of. Its position in the order of its token stays that of the first one;
// together with source and id it tells this replay from any other message for ever.
// Its Nats-Msg-Id is still to be set; see dedupKey.
func (d Letter) replay(p contract.Prefix, id string, n int, now time.Time) (replayMessage, error) {
	source, _, _, err := p.ParseOut(d.Subject)
	if err != nil {
		return replayMessage{}, fmt.Errorf("the subject it was published to is none that a worker serves: %w; discard it", err)
	}
	r := replayMessage{prefix: p, source: source, id: id, position: d.Position()}
	h := make(nats.Header, len(d.Header)+4)
	for name, values := range d.Header {
		if !reserved(name) {
			h[name] = values
		}
	}
	set := func(name, value string) { h[name] = []string{value} }
	set(contract.HeaderMessageID, id)
	base, _ := d.replayBase()
	set(contract.HeaderReplayOf, base)
	set(contract.HeaderReplayCount, strconv.Itoa(n))
	set(contract.HeaderOrderPosition, strconv.FormatUint(r.position, 10))
	delete(h, contract.HeaderOrderBehind)
	if at, ok := d.Place(p); ok && at.Behind < at.Position-1 {
		set(contract.HeaderOrderBehind, strconv.FormatUint(at.Behind, 10))
	}
	m, err := outbox.Decode(p, outbox.Stored{Subject: d.Subject, Header: h, Body: d.Body, Sequence: d.Sequence})
	if err != nil {
		return replayMessage{}, fmt.Errorf("a worker would refuse it again: %w; publish it anew without that, then discard it", err)
	}
	if !m.Deadline.IsZero() && !now.Before(m.Deadline) {
		r.expired = true
		delete(h, contract.HeaderDeadline)
	}
	r.msg = &nats.Msg{Subject: d.Subject, Header: h, Data: d.Body}
	return r, nil
}
