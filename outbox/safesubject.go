package outbox

import (
	"strings"

	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/outbox/internal/shown"
)

// SafeSubject returns the form of a subject that may be shown. After prefix, class and source it
// keeps only a lane or a settlement, and after that only an order token or the token of a dead
// letter: a client may have put a patient's number there.
func SafeSubject(subject string) string {
	parts := strings.SplitN(subject, ".", 5)
	if len(parts) > 3 && parts[3] != string(contract.LaneSend) && parts[3] != string(contract.LaneRequest) && !Settlement(parts[3]).Valid() {
		parts[3] = "…"
	}
	if len(parts) > 4 {
		parts[4] = shown.Token(parts[4])
	}
	return strings.Join(parts, ".")
}
