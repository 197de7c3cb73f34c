package outbox

import (
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/outbox/internal/wire"
)

// Different sources never share a Nats-Msg-Id, nor do different ids of one source; a worker
// reads back the id that went in.
func FuzzDedupID(f *testing.F) {
	f.Add("secret-of-16-bytes", "clinic-a", "b:1", "clinic-a", "b")
	f.Add("", "clinic", "a:1", "clinic-a", "1")
	f.Add("", "clinic-a", "1:r1", "clinic-a", "1")
	f.Fuzz(func(t *testing.T, orderSecret, sourceA, idA, sourceB, idB string) {
		for _, one := range [][2]string{{sourceA, idA}, {sourceB, idB}} {
			if contract.CheckSource(one[0]) != nil || checkID(contract.HeaderMessageID, one[1], wire.MaxID) != nil {
				return
			}
		}
		if len(orderSecret) > 0 && checkOrderSecret([]byte(orderSecret)) != nil {
			return
		}
		a, b := wire.DedupID([]byte(orderSecret), sourceA, idA), wire.DedupID([]byte(orderSecret), sourceB, idB)
		if (a == b) != (sourceA == sourceB && idA == idB) {
			t.Fatalf("%s %s and %s %s: %s, %s", sourceA, idA, sourceB, idB, a, b)
		}
		m, err := Decode("", Stored{Subject: contract.Prefix("").SendSubject(sourceA), Header: nats.Header{contract.HeaderID: {a}, contract.HeaderMessageID: {idA}}, Sequence: 1})
		if err != nil || m.ID != idA {
			t.Fatalf("%q: read as %q, %v", idA, m.ID, err)
		}
	})
}
