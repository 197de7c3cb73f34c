package pull

import (
	"testing"

	"github.com/nats-io/nats.go"
)

// A source that leaves and comes again has a new puller, whose pull may begin before that of the old one has ended:
// the end of the one takes nothing from the other.
func TestFetcher_AnOldPullThatEndsLeavesTheNextOneAlone(t *testing.T) {
	t.Parallel()
	late := make(chan *nats.Msg, 1)
	f := &Fetcher{inbox: "_INBOX.x", pulls: map[string]*pull{}, asked: map[string]*pull{}, late: func(msg *nats.Msg) { late <- msg }}
	old := f.begin("clinic-a-send", 1)
	next := f.begin("clinic-a-send", 1)
	f.end(old)
	f.hear(&nats.Msg{Subject: "redox.out.clinic-a.send", Reply: "$JS.ACK.REDOX_OUT.clinic-a-send.1.1.1.1.0"})
	select {
	case <-next.from:
	case <-late:
		t.Error("what the next pull asked for counts as late")
	}
	if f.end(next); len(f.pulls)+len(f.asked) != 0 {
		t.Errorf("left behind: %d, %d", len(f.pulls), len(f.asked))
	}
}
