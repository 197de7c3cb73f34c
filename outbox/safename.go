package outbox

import (
	"strings"

	"github.com/redoxworker/redoxworker/outbox/internal/shown"
)

// NoName stands for the name of a data model or event type that is not shown, because it
// could be anything; see [SafeName].
const NoName = "(not a word)"

// maxSafeName bounds a name that is shown. The longest of Redox has 22 bytes.
const maxSafeName = 40

// SafeName answers the name of a data model or event type as it may be shown on a screen and
// written to a log, metric or event: itself where it is words of letters (a to z, A to Z)
// with single blanks between them, and at most 40 bytes; empty where it is empty; else
// [NoName]. Whoever mistakes the field may have put a patient's number there.
func SafeName(name string) string {
	if name == "" {
		return ""
	}
	letter := false
	for i := 0; i < len(name); i++ {
		switch c := name[i] | 0x20; {
		case c >= 'a' && c <= 'z':
			letter = true
		case name[i] == ' ' && letter:
			letter = false
		default:
			return NoName
		}
	}
	if !letter || len(name) > maxSafeName {
		return NoName
	}
	return name
}

// SafeSubject is a subject as it may be shown: what follows prefix, class and source only where
// it is a lane or a settlement and an order token or the token of a dead letter. A client may
// have put the number of a patient there.
func SafeSubject(subject string) string {
	parts := strings.SplitN(subject, ".", 5)
	if len(parts) > 3 && parts[3] != string(LaneSend) && parts[3] != string(LaneRequest) && !Settlement(parts[3]).Valid() {
		parts[3] = "…"
	}
	if len(parts) > 4 {
		parts[4] = shown.Token(parts[4])
	}
	return strings.Join(parts, ".")
}
