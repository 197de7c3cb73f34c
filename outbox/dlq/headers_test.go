package dlq

import (
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/redoxworker/redoxworker/outbox"
)

// What a dead letter keeps of a misspelt header refuses the replay too: without it the
// message would go out as if nobody had asked for anything.
func TestDeadLetter_ReplayOfAMisspeltHeader(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"redox-deadline", "Redox-Dead-Line", "Redox-Order-Key"} {
		d := goldenDeadLetter()
		d.Header = nats.Header{name: {"x"}}
		msg := d.Encode("")
		back, err := Decode("", outbox.Stored{Subject: msg.Subject, Header: msg.Header})
		if err != nil {
			t.Fatal(err)
		}
		if r, err := back.replay("", "m-1:r1", 1, time.Now()); err == nil {
			t.Errorf("%s: replayed as %v", name, r.msg.Header)
		}
	}
}

// A dead letter is written whatever the names of the original's headers are.
func TestDeadLetter_HeaderNamesThatCannotBeWritten(t *testing.T) {
	t.Parallel()
	g := newGraveyard(t)
	d := goldenDeadLetter()
	d.Header = nats.Header{"X Y": {"1"}, "Ä": {"1"}, "": {"1"}, "a/b": {"1"}, "X-Good": {"1"}}
	msg := d.Encode("")
	if _, err := g.JS.PublishMsg(g.Ctx(), msg); err != nil {
		t.Fatal(err)
	}
	if msg.Header.Get("X-Good") != "1" || !strings.Contains(msg.Header.Get(HeaderDeadError), "4 of its headers cannot be kept") {
		t.Errorf("stored %v", msg.Header)
	}
}
