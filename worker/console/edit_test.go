package console_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/outbox/dlq"
	"github.com/redoxworker/redoxworker/outbox/seal"
	"github.com/redoxworker/redoxworker/worker/audit"
	"github.com/redoxworker/redoxworker/worker/console"
)

// A dead letter goes out with another body, to the byte as it was written but for the line ends of a form.
func TestConsole_EditsAndSendsAgain(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.bury(0, 1, "clinic-a")
	shown := r.post("rita", "/dead/1/edit", "", "reason", "wrong unit")
	if shown.status != http.StatusOK || !strings.Contains(shown.body, secret(0)) {
		t.Fatalf("%d\n%s", shown.status, shown.body)
	}
	if got := r.post("otto", "/dead/1/send", "", "reason", "x", "body", "{}"); got.status != http.StatusForbidden {
		t.Errorf("an operator edits: %d", got.status)
	}
	const body = "{\"Meta\": {\"DataModel\":\"Order\",\r\n \"EventType\":\"New\"}}"
	if got := r.post("rita", "/dead/1/send", "", "reason", "wrong unit", "body", body); got.status != http.StatusSeeOther {
		t.Fatalf("%d\n%s", got.status, got.body)
	}
	stream, err := r.js.Stream(t.Context(), "REDOX_OUT")
	must(t, err)
	msg, err := stream.GetMsg(t.Context(), 1)
	must(t, err)
	if string(msg.Data) != strings.ReplaceAll(body, "\r", "") || msg.Header.Get(contract.HeaderReplayOf) != "m-0" {
		t.Errorf("%s %v", msg.Data, msg.Header)
	}
	if d := r.deeds(audit.Reveal, audit.Edit); len(d) != 2 {
		t.Errorf("%+v", d)
	}
}

// The line ends of a body that is sealed are known when it is open.
func TestConsole_EditKeepsTheLineEndsOfWhatIsSealed(t *testing.T) {
	t.Parallel()
	ks, _ := seal.Keys{}.With(time.Now(), time.Now().Add(-time.Hour))
	ring := seal.NewRing(ks)
	r := newRig(t, func(c *console.Config) { c.Ring = ring })
	for i, body := range []string{"{\r\n\"a\":1}", "{\n\"a\":1}"} {
		m, err := outbox.Message{ID: fmt.Sprint("m-", i), Source: "clinic-a", Body: []byte(body)}.Seal(ring, "")
		must(t, err)
		msg, err := m.Encode("")
		must(t, err)
		_, err = r.js.PublishMsg(t.Context(), dlq.Letter{MessageID: m.ID, Source: m.Source, Settlement: outbox.Rejected, At: time.Now(), Subject: msg.Subject, Sequence: uint64(i + 1), Header: msg.Header, Body: msg.Data}.Encode(""))
		must(t, err)
		if got := r.post("rita", fmt.Sprintf("/dead/%d/send", i+1), "", "reason", "wrong unit", "body", "{\r\n\"a\":2}"); got.status != http.StatusSeeOther {
			t.Fatalf("%d\n%s", got.status, got.body)
		}
		stream, err := r.js.Stream(t.Context(), "REDOX_OUT")
		must(t, err)
		raw, err := stream.GetMsg(t.Context(), uint64(i+1))
		must(t, err)
		sent, err := outbox.Decode("", outbox.Stored{Subject: raw.Subject, Header: raw.Header, Body: raw.Data, Sequence: raw.Sequence})
		must(t, err)
		open, _, err := sent.Open(ring, "")
		must(t, err)
		if want := strings.Replace(body, "1", "2", 1); string(open.Body) != want {
			t.Errorf("%q, want %q", open.Body, want)
		}
	}
}
