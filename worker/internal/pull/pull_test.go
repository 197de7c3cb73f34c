package pull

import (
	"testing"

	"github.com/nats-io/nats.go"
)

// A source that leaves and comes again has a new lane, whose pull may begin before that of the old one has ended:
// the end of the one takes nothing from the other.
func TestPuller_AnOldPullThatEndsLeavesTheNextOneAlone(t *testing.T) {
	t.Parallel()
	late := make(chan *nats.Msg, 1)
	p := &Puller{inbox: "_INBOX.x", pulls: map[string]*pull{}, asked: map[string]*pull{}, late: func(msg *nats.Msg) { late <- msg }}
	old := p.begin("clinic-a-send", 1)
	next := p.begin("clinic-a-send", 1)
	p.end(old)
	p.hear(&nats.Msg{Subject: "redox.out.clinic-a.send", Reply: "$JS.ACK.REDOX_OUT.clinic-a-send.1.1.1.1.0"})
	select {
	case <-next.from:
	case <-late:
		t.Error("what the next pull asked for counts as late")
	}
	if p.end(next); len(p.pulls)+len(p.asked) != 0 {
		t.Errorf("left behind: %d, %d", len(p.pulls), len(p.asked))
	}
}
