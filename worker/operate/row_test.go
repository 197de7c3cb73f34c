package operate

import (
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/outbox/dlq"
)

// A header whose value a worker takes for absent, because it is not as the contract has it, may hold
// anything: it is shown to nobody who has not asked for patient data.
func TestRowHeaders_WhatHasNoForm(t *testing.T) {
	t.Parallel()
	wellFormed := map[string]string{contract.HeaderMoved: "0123456789abcdef0123456789abcdef", contract.HeaderOrderPosition: "7", contract.HeaderOrderBehind: "6", contract.HeaderEdited: "1",
		contract.HeaderTraceParent: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", contract.HeaderTraceState: "vendor=1"}
	for name, value := range wellFormed {
		for given, want := range map[string]string{value: value, "Jane Doe": Hidden, "": Hidden} {
			l := dlq.Stored{Letter: dlq.Letter{Settlement: outbox.Rejected, Header: nats.Header{name: {given}}}}
			if got := RowHeaders(l, false)[name]; len(got) != 1 || got[0] != want {
				t.Errorf("%s: %q is shown as %q", name, given, got)
			}
			if got := RowHeaders(l, true)[name]; got[0] != given {
				t.Errorf("%s: revealed it is %q", name, got)
			}
		}
	}
}

// What broke the contract is in no column of a dead letter.
func TestNewRow_OfPoison(t *testing.T) {
	t.Parallel()
	letter := func(s outbox.Settlement, of, count, object string) Row {
		return NewRow(dlq.Stored{Letter: dlq.Letter{Source: "clinic-a", Settlement: s,
			Header: nats.Header{contract.HeaderReplayOf: {of}, contract.HeaderReplayCount: {count}, contract.HeaderBodyObject: {object}}}})
	}
	if r := letter(outbox.Poison, "Jane Doe", "Jane", "Doe/Jane"); r.ReplayOf != "" || r.ReplayCount != "" || r.Object != "" {
		t.Errorf("%+v", r)
	}
	for _, s := range []outbox.Settlement{outbox.Poison, outbox.Rejected} {
		if r := letter(s, "m-1", "2", "clinic-a/0193"); r.ReplayOf != "m-1" || r.ReplayCount != "2" || r.Object != "clinic-a/0193" {
			t.Errorf("%+v", r)
		}
	}
}
