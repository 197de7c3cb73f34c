package operate_test

import (
	"bytes"
	"testing"
	"time"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/dlq"
	"github.com/redoxworker/redoxworker/outbox/seal"
	"github.com/redoxworker/redoxworker/worker/audit"
	"github.com/redoxworker/redoxworker/worker/operate"
)

// A dead letter whose body in the object store is another's is exported as it is stored, and keeps no other from being exported.
func TestExport_ASealedBodyThatIsAnothers(t *testing.T) {
	inBubble(t, func(r *rig) {
		ks, _ := seal.Keys{}.With(time.Now(), time.Now())
		ring, bodies := seal.NewRing(ks), outbox.NewBodies(r.js, "")
		for n, id := range []string{"altered", "good"} {
			m, err := outbox.Message{ID: id, Source: source, Body: []byte(`{"of":"` + id + `"}`)}.Seal(ring, "")
			r.must(err)
			if id == "altered" {
				m.Body[0] ^= 1
			}
			m.BodyObject = source + "/" + id
			r.must(bodies.Put(r.Context(), m.BodyObject, m.Body))
			m.Body = nil
			msg, err := m.Encode("")
			r.must(err)
			l := dlq.Letter{MessageID: id, Source: source, Settlement: outbox.Held, At: time.Now(), Subject: msg.Subject, Sequence: uint64(n + 1), Header: msg.Header}
			_, err = r.js.PublishMsg(r.Context(), l.Encode(""))
			r.must(err)
		}
		letters, err := dlq.New(r.js, dlq.Config{Ring: ring})
		r.must(err)
		record, err := audit.NewRecorder(audit.NewStream(r.js, "").Deed, "ann@ops")
		r.must(err)
		desk, err := operate.New(r.js, "", letters, record)
		r.must(err)
		var found []string
		for one, err := range desk.Export(r.Context(), dlq.Query{}, true, "a test") {
			if err != nil {
				t.Fatal(err)
			}
			if one.MessageID == "altered" && (!one.Sealed() || bytes.Contains(one.Body, []byte("altered"))) {
				t.Errorf("%s is not as it is stored", one.MessageID)
			}
			if one.MessageID == "good" && string(one.Body) != `{"of":"good"}` {
				t.Errorf("%s: %q", one.MessageID, one.Body)
			}
			found = append(found, one.MessageID)
		}
		if len(found) != 2 {
			t.Errorf("exported %q", found)
		}
	})
}
