package publish

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// unconnected has a connection to no server.
type unconnected struct{ jetstream.JetStream }

func (unconnected) Conn() *nats.Conn { return &nats.Conn{} }

// A query may be asked for as long as somebody waits; a SEND only while its id is known.
func TestPublish_HowLongAWriteInDoubtIsRepeated(t *testing.T) {
	t.Parallel()
	long := time.Now().Add(-RepeatFor - time.Minute)
	for query, want := range map[bool]error{false: errForgotten, true: nil} {
		s := Message{Queue: Queue{JS: unconnected{}}, doubt: true, Query: query}
		if err := s.unrepeatable(t.Context(), long); !errors.Is(err, want) {
			t.Errorf("query %v: %v, want %v", query, err, want)
		}
	}
}

// One try is one try.
func TestPublish_UnconfirmedCountsItsTries(t *testing.T) {
	t.Parallel()
	for tries, want := range map[int]string{1: "after 1 try, and", 2: "after 2 tries, and"} {
		s := &Message{doubt: true, cluster: true, tries: tries}
		if err := s.unconfirmed(context.DeadlineExceeded); !strings.Contains(err.Error(), want) {
			t.Errorf("%d tries: %v", tries, err)
		}
	}
}
