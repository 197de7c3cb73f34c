package main

import (
	"fmt"
	"testing"
	"time"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/outbox/dlq"
	"github.com/redoxworker/redoxworker/outbox/topology"
	"github.com/redoxworker/redoxworker/worker/redox"
)

// What the worker reads as the data model and event of a message is what is shown of its dead letter, and of
// one that is broken as well.
func TestReaders_Model(t *testing.T) {
	t.Parallel()
	_, js := embedded(t)
	if _, err := (topology.Topology{}).Ensure(t.Context(), js); err != nil {
		t.Fatal(err)
	}
	letters, err := dlq.New(js, dlq.Config{ReadEvent: redox.ReadEvent})
	if err != nil {
		t.Fatal(err)
	}
	bodies := map[string]string{
		"escapes":        `{"\u004deta":{"Data\u004dodel":"\u004eotes","Event\u0054ype":"New"}}`,
		"Meta last":      `{"Note":{"Meta":{"DataModel":"No"}},"Meta":{"EventType":"New","DataModel":"Notes"}}`,
		"null":           `{"Meta":{"DataModel":null,"EventType":"New"}}`,
		"other case":     `{"meta":{"DataModel":"No"},"Meta":{"datamodel":"No","EventType":"New"}}`,
		"nothing":        `{"Meta":{}}`,
		"no word":        `{"Meta":{"DataModel":"Timothy Bixby 1977","EventType":"New"}}`,
		"blanks in it":   `{"Meta":{"DataModel":"Clinical Summary","EventType":"PatientQuery"}}`,
		"members beside": `{"Meta":{"Logs":[{"DataModel":"No"}],"DataModel":"Notes","Source":{"EventType":"No"},"EventType":"New"}}`,
	}
	for name, tt := range readersInputs() {
		bodies[name] = tt.body
	}
	n := uint64(0)
	for name, body := range bodies {
		n++
		letter := dlq.Letter{MessageID: fmt.Sprint("m-", n), Source: "clinic-a", Settlement: outbox.Rejected, At: time.Now(), Subject: "redox.out.clinic-a.send", Sequence: n, Body: []byte(body)}
		if _, err := js.PublishMsg(t.Context(), letter.Encode("")); err != nil {
			t.Fatal(err)
		}
		got, err := letters.Get(t.Context(), "clinic-a", letter.MessageID)
		if err != nil || len(got) != 1 {
			t.Fatalf("%s: %v", name, err)
		}
		meta, err := redox.ReadMeta([]byte(body))
		if err != nil { // nobody has sent it, and any word of it will do
			continue
		}
		want := [2]string{contract.SafeName(meta.DataModel), contract.SafeName(meta.EventType)}
		if shown := [2]string{got[0].DataModel, got[0].EventType}; shown != want {
			t.Errorf("%s: the worker reads %q, the dead letter shows %q", name, want, shown)
		}
	}
}
