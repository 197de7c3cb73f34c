package outbox

import (
	"strings"

	"github.com/nats-io/nats.go"

	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/outbox/internal/wire"
)

// entrance is a way by which a message comes in. It decides which headers are its own.
type entrance uint8

const (
	throughQueue   entrance = iota // published to a subject of the work queue
	throughGateway                 // a request to the gateway
)

// knows reports whether name is a header of the contract for what comes in this way.
func (e entrance) knows(name string) bool {
	switch name {
	case contract.HeaderMessageID, contract.HeaderKind, contract.HeaderMethod, contract.HeaderPath, contract.HeaderReplyTo, contract.HeaderOrderToken, contract.HeaderDeadline:
		return true
	case contract.HeaderOrderKey:
		return e == throughGateway
	case contract.HeaderBodyObject, contract.HeaderSeal, contract.HeaderSealed, contract.HeaderPossibleDuplicate, contract.HeaderReplayOf, contract.HeaderReplayCount, contract.HeaderEdited, contract.HeaderOrderPosition, contract.HeaderOrderBehind, contract.HeaderMoved:
		return e == throughQueue
	}
	return isRequestHeader(name)
}

// longestID is how long a message id may be: what comes through the gateway is new.
func (e entrance) longestID() int {
	if e == throughGateway {
		return maxNewID
	}
	return wire.MaxID
}

// contractHeaders are the names that a misspelt one may have meant.
var contractHeaders = [...]string{contract.HeaderID, contract.HeaderContentType, contract.HeaderAccept, contract.HeaderMessageID, contract.HeaderKind, contract.HeaderMethod, contract.HeaderPath,
	contract.HeaderReplyTo, contract.HeaderOrderToken, contract.HeaderOrderKey, contract.HeaderDeadline, contract.HeaderBodyObject, contract.HeaderSeal, contract.HeaderSealed, contract.HeaderReplayOf, contract.HeaderReplayCount, contract.HeaderEdited, contract.HeaderOrderPosition,
	contract.HeaderOrderBehind, contract.HeaderMoved, contract.HeaderPossibleDuplicate}

// check refuses a header that its sender took for one of the contract and that is none: one
// that begins with redox- in any case, and Nats-Msg-Id, Content-Type and Accept in another
// case. To pass over it would change what happens to the message in silence. All other
// headers are nobody's business. Of several it names the first by the alphabet.
func (e entrance) check(h nats.Header) error {
	bad := ""
	for name := range h {
		if !e.knows(name) && looksOurs(name) && (bad == "" || name < bad) {
			bad = name
		}
	}
	if bad == "" {
		return nil
	}
	return e.refusal(bad)
}

// looksOurs reports whether name looks like a header of the contract. Client libraries
// differ in how they treat the case of a name and blanks around it.
func looksOurs(name string) bool {
	switch name {
	case contract.HeaderID, contract.HeaderContentType, contract.HeaderAccept:
		return false // they are
	}
	if len(name) > 0 && (name[0] <= ' ' || name[len(name)-1] <= ' ') {
		name = strings.TrimSpace(name)
		if name == contract.HeaderID || name == contract.HeaderContentType || name == contract.HeaderAccept {
			return true
		}
	}
	return wire.HasPrefixFold(name, "redox-") ||
		len(name) == len(contract.HeaderID) && strings.EqualFold(name, contract.HeaderID) ||
		len(name) == len(contract.HeaderContentType) && strings.EqualFold(name, contract.HeaderContentType) ||
		len(name) == len(contract.HeaderAccept) && strings.EqualFold(name, contract.HeaderAccept)
}

// refusal says what is wrong with a header name, and what was probably meant.
func (e entrance) refusal(name string) error {
	switch {
	case name == contract.HeaderOrderKey:
		return &ContractError{Part: name, Reason: "is for the gateway only, which makes the order token and does not store the key: " +
			"publish through the gateway, or to the subject that ends in the order token"}
	case throughQueue.knows(name):
		return &ContractError{Part: name, Reason: "is not for callers of the gateway"}
	}
	unknown := &ContractError{Part: shownHeader(name), Reason: "is not a header of the contract"}
	if wire.HasPrefixFold(name, contract.RequestHeaderPrefix) {
		unknown.Reason += "; did you mean " + contract.RequestHeaderPrefix + "…?"
		return unknown
	}
	if meant := meantHeader(name); meant != "" {
		unknown.Reason += "; did you mean " + meant + "?"
	}
	return unknown
}

// maxShownHeader bounds a header name that is shown, in bytes.
const maxShownHeader = 40

// shownHeader is a name as errors show it: only one of letters and hyphens, since in all
// others there could be anything, the number of a patient among it.
func shownHeader(name string) string {
	if isPlainName(name) {
		return name
	}
	return "a header whose name begins like one of the contract"
}

// isPlainName reports whether a name is short, and of letters and hyphens alone.
func isPlainName(name string) bool {
	plain := len(name) <= maxShownHeader
	for i := 0; plain && i < len(name); i++ {
		c := name[i] | 0x20
		plain = name[i] == '-' || 'a' <= c && c <= 'z'
	}
	return plain
}

// meantHeader is the header of the contract that is nearest to a name, "" when none is
// near. Case, hyphens, underscores and blanks make no difference.
func meantHeader(name string) string {
	if len(name) > 2*maxShownHeader {
		return ""
	}
	best, least := "", maxHeaderEdits+1
	for _, known := range contractHeaders {
		if d := edits(plainHeader(name), plainHeader(known)); d < least {
			best, least = known, d
		}
	}
	return best
}

// maxHeaderEdits is how far a suggestion may be from a name: beyond it is guessing.
const maxHeaderEdits = 2

func plainHeader(name string) string {
	return strings.ToLower(strings.NewReplacer("-", "", "_", "", " ", "").Replace(name))
}

// edits counts the letters to insert, delete or replace on the way from a to b.
func edits(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			next := min(row[j], row[j+1]) + 1
			if a[i] == b[j] {
				next = min(next, diagonal)
			} else {
				next = min(next, diagonal+1)
			}
			diagonal, row[j+1] = row[j+1], next
		}
	}
	return row[len(b)]
}
