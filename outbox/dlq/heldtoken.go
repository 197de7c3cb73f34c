package dlq

import (
	"cmp"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// OrderPlace is where a message stands in the order of its token.
type OrderPlace struct {
	Source string
	// Token is the order token; see [outbox.Message].
	Token string
	// Position and Behind are those of the message; see [outbox.Message].
	Position, Behind uint64
	// Sequence is where the work queue stored the message this time.
	Sequence uint64
}

// HeldToken is an order token that waits: with order.after_dead_letter hold, a
// dead-lettered message holds back all later messages of its token.
//
// Its size does not depend on how many messages wait. A dead letter names the position of the
// message before it in its order ([HeaderDeadBehind]). Comparing that with the position up to
// which nothing waits tells whether the turn of a replay has come.
type HeldToken struct {
	Source string `json:"source"`
	// Token is the order token; see [outbox.Message].
	Token string `json:"token"`
	// Through is the position up to which nothing waits: what stood there was delivered or
	// discarded.
	Through uint64 `json:"through"`
	// First is the position of the first message that waits, 0 when all that is known of it
	// is that it comes after Through.
	First uint64 `json:"first,omitempty"`
	// Last is the position of the last message that was held. A later one waits behind it.
	// 0 means that nothing waits.
	Last uint64 `json:"last"`
	// Since is when the token was last held, or released in part.
	Since time.Time `json:"since"`
	// Damaged says that the note could not be read. Then every message of the token waits, and the
	// next one that is dead-lettered remakes the note.
	Damaged bool `json:"damaged,omitempty"`

	sequence uint64 // where the queue stored the message that is First
	behind   uint64 // the position before Last
	gaps     []gap  // in order, none touches another
	revision uint64
}

// gap is a run of discarded messages: when all is through up to the first position, it is
// up to the second.
type gap [2]uint64

// maxGaps bounds the gaps of one token. One takes up to 43 bytes.
const maxGaps = 256

// Blocks reports whether a message has to wait. by is the position of the first message that
// waits, or 0 if that is not known.
func (t HeldToken) Blocks(at OrderPlace) (by uint64, blocked bool) {
	switch {
	case t.Damaged:
		return 0, true
	case t.Last == 0 || at.Position <= t.Through || at.Position <= t.Last && t.before(at) <= t.Through:
		return 0, false
	}
	return t.First, true
}

// Waits reports whether the message at a position was held and still waits.
func (t HeldToken) Waits(position uint64) bool {
	return position > t.Through && position <= t.Last && t.gapAt(position) < 0
}

// before is the position before a message that is not later than Last. The last one does not
// know it itself when it comes a second time, as after a crash.
func (t HeldToken) before(at OrderPlace) uint64 {
	if at.Position == t.Last {
		return t.behind
	}
	return at.Behind
}

func (t HeldToken) gapAt(position uint64) int {
	return slices.IndexFunc(t.gaps, func(g gap) bool { return g[0] < position && position <= g[1] })
}

// firstOf is the first of some positions, sorted, that waits and comes before another; ok is
// false when there is none.
func (t HeldToken) firstOf(positions []uint64, before uint64) (position uint64, ok bool) {
	for from := t.Through + 1; ; {
		i, _ := slices.BinarySearch(positions, from)
		if i == len(positions) || positions[i] >= before || positions[i] > t.Last {
			return 0, false
		}
		g := t.gapAt(positions[i])
		if g < 0 {
			return positions[i], true
		}
		from = t.gaps[g][1] + 1
	}
}

// hold notes a message that was dead-lettered, and answers the position before it. That it
// is noted already changes nothing.
func (t *HeldToken) hold(at OrderPlace) (behind uint64) {
	switch {
	case t.Last == 0: // so it is of a damaged note
		behind = max(at.Position, 1) - 1
		t.Damaged, t.Through, t.behind, t.Last = false, behind, behind, at.Position
	case at.Position > t.Last:
		t.behind, t.Last = t.Last, at.Position
		behind = t.behind
	case at.Position <= t.Through: // it was through, and is brought again
		t.gaps = append(t.gaps, gap{at.Position, t.Through})
		t.Through = at.Position - 1
		behind = t.Through
	default:
		behind = t.before(at)
		if i := t.gapAt(at.Position); i >= 0 {
			to := t.gaps[i][1]
			t.gaps[i][1] = behind
			t.gaps = append(t.gaps, gap{at.Position, to})
		}
	}
	if behind <= t.Through {
		t.First, t.sequence = at.Position, at.Sequence
	}
	t.tidy()
	if len(t.gaps) > 2*maxGaps {
		t.gaps = t.gaps[:2*maxGaps] // what comes behind the others waits for longer than it must
	}
	return behind
}

// release notes that a message is through that had nothing before it.
func (t *HeldToken) release(position uint64) {
	if position > t.Through && position <= t.Last {
		t.Through = position
		t.tidy()
	}
}

// skip notes that a message was discarded, whatever is before it. The mark of another message
// at its position stays. full says that there are too many gaps already.
func (t *HeldToken) skip(at OrderPlace) (full bool) {
	if at.Position <= t.Through || at.Position > t.Last || at.Position == t.First && at.Sequence != t.sequence {
		return false
	}
	t.gaps = append(t.gaps, gap{t.before(at), at.Position})
	t.tidy()
	return len(t.gaps) > maxGaps
}

// tidy merges gaps that touch, goes through those that nothing is before, and ends the hold
// when nothing waits any more.
func (t *HeldToken) tidy() {
	slices.SortFunc(t.gaps, func(a, b gap) int { return cmp.Compare(a[0], b[0]) })
	var gaps []gap
	for _, g := range t.gaps {
		switch last := len(gaps) - 1; {
		case g[0] >= g[1]:
		case g[0] <= t.Through:
			t.Through = max(t.Through, g[1])
		case last >= 0 && g[0] <= gaps[last][1]:
			gaps[last][1] = max(gaps[last][1], g[1])
		default:
			gaps = append(gaps, g)
		}
	}
	t.gaps = gaps
	if t.First <= t.Through {
		t.First, t.sequence = 0, 0
	}
	if t.Through >= t.Last {
		*t = HeldToken{Source: t.Source, Token: t.Token, revision: t.revision}
	}
}

// heldValue is what the bucket holds.
type heldValue struct {
	Through  uint64 `json:"through"`
	First    uint64 `json:"first,omitempty"`
	Sequence uint64 `json:"sequence,omitempty"`
	Last     uint64 `json:"last"`
	Behind   uint64 `json:"behind"`
	Gaps     []gap  `json:"gaps,omitempty"`
}

func (t HeldToken) value() []byte {
	data, err := json.Marshal(heldValue{t.Through, t.First, t.sequence, t.Last, t.behind, t.gaps})
	if err != nil {
		panic(err) // numbers
	}
	return data
}

// valid reports whether a value is one that was written as it is.
func (v heldValue) valid() bool {
	from := v.Through
	for _, g := range v.Gaps {
		if g[0] <= from || g[0] >= g[1] {
			return false
		}
		from = g[1]
	}
	return v.Through < v.Last && v.Behind < v.Last && (v.First == 0 || v.First > v.Through && v.First <= v.Last) && from <= v.Last
}

// read is the reverse of value.
func (t *HeldToken) read(data []byte) {
	var v heldValue
	if t.Damaged = json.Unmarshal(data, &v) != nil || !v.valid(); t.Damaged {
		return
	}
	t.Through, t.First, t.sequence, t.Last, t.behind, t.gaps = v.Through, v.First, v.Sequence, v.Last, v.Behind, v.Gaps
}

func decodeHeld(entry jetstream.KeyValueEntry) HeldToken {
	_, rest, _ := strings.Cut(entry.Key(), ".")
	source, token, _ := strings.Cut(rest, ".")
	t := HeldToken{Source: source, Token: token, Since: entry.Created(), revision: entry.Revision()}
	t.read(entry.Value())
	return t
}
