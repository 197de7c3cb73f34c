package devstack

import (
	"fmt"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/worker/redox"
)

// sample is a message of the demo and what should become of it.
type sample struct {
	file     string // its name, and the message id
	source   string
	lane     contract.Lane
	orderKey string
	durable  bool // the reply is kept in a stream
	expect   fate

	// of the file
	event string // DataModel.EventType
	body  []byte
}

// fate of a message, seen from both ends.
type fate struct {
	settlement outbox.Settlement
	status     int
	attempts   int
	requests   string // statuses that Redox answered, in order
}

// String says it in one line.
func (f fate) String() string {
	return fmt.Sprintf("%s with status %d at attempt %d, answered %s", f.settlement, f.status, f.attempts, f.requests)
}

// demoSamples in the order in which they are published. The simulator's profile "demo"
// decides about their fate by data model and event.
func demoSamples() ([]sample, error) {
	fine := fate{outbox.Delivered, 200, 1, "200"}
	list := []sample{
		{file: "new-patient", source: "clinic-a", expect: fine},
		{file: "arrival", source: "clinic-a", orderKey: "patient 1", expect: fine},
		{file: "transfer", source: "clinic-a", orderKey: "patient 1", expect: fine},
		{file: "discharge", source: "clinic-a", orderKey: "patient 1", expect: fine},
		{file: "patient-search", source: "clinic-a", lane: contract.LaneRequest, expect: fine},
		{file: "appointment", source: "clinic-a", expect: fate{outbox.Delivered, 200, 1, "401 200"}},
		{file: "registration", source: "clinic-b", orderKey: "patient 2", expect: fine},
		{file: "order", source: "clinic-b", orderKey: "patient 2", expect: fine},
		{file: "visit-update", source: "clinic-b", orderKey: "patient 2", expect: fine},
		{file: "result", source: "clinic-b", expect: fate{outbox.Delivered, 200, 2, "503 200"}},
		{file: "free-slots", source: "clinic-b", lane: contract.LaneRequest, expect: fine},
		{file: "device", source: "clinic-a", expect: fate{outbox.Rejected, 400, 1, "400"}},
		{file: "summary", source: "clinic-a", lane: contract.LaneRequest, durable: true, expect: fine},
	}
	for i := range list {
		s := &list[i]
		var err error
		if s.body, err = sampleFiles.ReadFile("samples/" + s.file + ".json"); err != nil {
			return nil, err
		}
		if s.event, err = bodyEvent(s.body); err != nil {
			return nil, fmt.Errorf("sample %s: %w", s.file, err)
		}
		switch {
		case s.orderKey != "":
			s.lane = contract.LaneOrdered
		case s.lane == "":
			s.lane = contract.LaneSend
		}
	}
	return list, nil
}

// message that an application would publish.
func (s sample) message() outbox.Message {
	m := outbox.Message{ID: s.file, Source: s.source, Lane: s.lane, OrderKey: s.orderKey, Body: s.body}
	if s.durable {
		m.ReplyTo = contract.Prefix("").ReplySubject(s.source, s.file)
	}
	return m
}

// bodyEvent is DataModel.EventType of a message or an answer.
func bodyEvent(body []byte) (string, error) {
	meta, err := redox.ReadMeta(body)
	if err != nil {
		return "", err
	}
	return contract.SafeName(meta.DataModel) + "." + contract.SafeName(meta.EventType), nil
}
