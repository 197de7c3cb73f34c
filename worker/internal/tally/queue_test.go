package tally

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/outbox/contract"
)

// Every message is counted once: by source and lane where a worker reads its subject, else as astray; and
// who asks hears of the tokens with several.
func TestOfQueue(t *testing.T) {
	t.Parallel()
	const token, other = "0123456789abcdef0123456789abcdef", "00000000000000000000000000000000"
	first := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	info := &jetstream.StreamInfo{TimeStamp: first.Add(time.Hour), State: jetstream.StreamState{Msgs: 30, FirstTime: first, Subjects: map[string]uint64{
		"redox.out.a.send": 5, "redox.out.a.send." + token: 3, "redox.out.a.send." + other: 1, "redox.out.a.request": 2, "redox.out.b.request": 4,
		"redox.out.a.sent": 7, "redox.out.A.send": 1, "redox.out.a": 2, "redox.out.a.send.Jane.Doe": 5,
	}}}
	var crowds []Crowd
	q := OfQueue("", info, func(c Crowd) { crowds = append(crowds, c) })
	want := Queue{At: info.TimeStamp, First: first, Astray: 10, Messages: map[Waiting]uint64{
		{"a", contract.LaneSend}: 5, {"a", contract.LaneOrdered}: 9, {"a", contract.LaneRequest}: 2, {"b", contract.LaneRequest}: 4,
	}}
	if diff := cmp.Diff(want, q); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]Crowd{{"a", token, 3}}, crowds); diff != "" {
		t.Error(diff)
	}
	if n := q.Unserved(func(source string) bool { return source == "a" }); n != 4 {
		t.Errorf("%d are of sources that are not served", n)
	}
	if q := OfQueue("", &jetstream.StreamInfo{State: jetstream.StreamState{FirstTime: first}}, nil); !q.First.IsZero() || len(q.Messages) != 0 {
		t.Errorf("of an empty queue: %+v", q)
	}
}
