package dlqcmd

import (
	"bytes"
	"encoding/json"
	"errors"
	"iter"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/redoxworker/redoxworker/cmd/redoxworker/internal/cli"
	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/outbox/dlq"
	"github.com/redoxworker/redoxworker/worker/operate"
)

// A message that breaks the contract may have the number of a patient anywhere.
func TestDeadRow_ShowsNoPatient(t *testing.T) {
	t.Parallel()
	const patient = "MRN-4711"
	var l dlq.Stored
	l.Settlement, l.Subject = outbox.Poison, "redox.out.clinic-a.send."+patient
	l.Header = nats.Header{contract.HeaderKind: {patient}, contract.HeaderOrderToken: {patient}, contract.HeaderReplyTo: {patient}, "Patient": {patient}}
	for _, reveal := range []bool{false, true} {
		row := newDeadRow(l)
		row.addHeaders(l, reveal)
		text, err := json.Marshal(row)
		if err != nil {
			t.Fatal(err)
		}
		if n := bytes.Count(text, []byte(patient)); reveal && n != 5 || !reveal && n != 0 {
			t.Errorf("revealed %v: %s", reveal, text)
		}
	}
}

func handled(err error, outcomes ...dlq.Outcome) iter.Seq2[dlq.Handled, error] {
	return func(yield func(dlq.Handled, error) bool) {
		for _, o := range outcomes {
			if !yield(dlq.Handled{MessageID: "m\x1b[2J", Outcome: o, DeadlineDropped: o == dlq.Replayed}, nil) {
				return
			}
		}
		if err != nil {
			yield(dlq.Handled{}, err)
		}
	}
}

func TestDeadRun_Result(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		run     iter.Seq2[dlq.Handled, error]
		total   int
		missing int
		summary string
		err     string
	}{
		"all":      {handled(nil, dlq.Replayed, dlq.AlreadyReplayed, dlq.Gone), 3, 0, "1 replayed, 1 already replayed, 1 gone; 1 message without the deadline that has passed", ""},
		"none":     {handled(nil), 0, 0, "no dead letters", ""},
		"refused":  {handled(nil, dlq.Discarded, dlq.Refused), 2, 0, "1 discarded, 1 refused", "reported"},
		"missing":  {handled(nil, dlq.Discarded), 1, 1, "1 discarded", "reported"},
		"mistyped": {handled(nil), 0, 1, "", "reported"},
		"at once":  {handled(errors.New("queue full")), 3, 0, "", "queue full; 3 dead letters left: run the same command again to go on"},
		"stopped":  {handled(errors.New("queue full"), dlq.Discarded), 3, 0, "1 discarded", "queue full; 2 dead letters left: run the same command again to go on"},
		"canary":   {handled(&operate.CanaryError{Failed: 1, Left: 2}, dlq.Discarded), 3, 0, "1 discarded", "canary: 1 of 1 failed again, 2 dead letters left untouched; see dlq show"},
		"the last": {handled(errors.New("queue full"), dlq.Discarded), 1, 0, "1 discarded", "queue full"},
	} {
		var out, errs bytes.Buffer
		r := newDeadRun(&cli.App{Stdout: &out, Stderr: &errs}, tt.total, false, "sent again")
		err := r.result(t.Context(), r.each(tt.run), tt.missing)
		if got := strings.TrimSpace(errs.String()); got != tt.summary {
			t.Errorf("%s: summary %q, want %q", name, got, tt.summary)
		}
		if (err == nil) != (tt.err == "") || err != nil && err.Error() != tt.err {
			t.Errorf("%s: error %v, want %q", name, err, tt.err)
		}
		if strings.Contains(out.String(), "\x1b") {
			t.Errorf("%s: a message id reaches the terminal as it is: %q", name, out.String())
		}
	}
}
