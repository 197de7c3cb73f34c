package main

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/dlq"
)

const (
	buried    = 400
	perReason = buried / 10
)

// bury has messages of ten reasons in the dead letters, as many of each.
func (m *deadMorning) bury(n int) {
	m.Helper()
	for i := range n {
		id := fmt.Sprintf("dead-%04d", i)
		m.keys = append(m.keys, id)
		l := dlq.Letter{MessageID: id, Source: "clinic-a", Settlement: outbox.Rejected, Error: fmt.Sprintf("reason %d of ten", i%10), Status: 400, Attempts: 1,
			At: time.Now(), Subject: "redox.out.clinic-a.send", Sequence: uint64(i + 1), Worker: "w", Body: admit(id)}
		if _, err := m.js.PublishMsg(m.Context(), l.Encode("")); err != nil {
			m.Fatal(err)
		}
	}
}

// Hundreds of dead letters of ten reasons: those of one are sent again by their reason, a few first, fifty a
// second, by a run that is interrupted and one that goes on, then the others, by one that is killed and one
// that goes on. Redox gets each once, and all that was done is in the audit trail.
func TestDLQReplay_ByReasonWithEachDeedInTheAuditTrail(t *testing.T) {
	t.Parallel()
	m := newDeadMorning(t)
	m.broken.Store(false)
	worker := m.daemon()
	m.bury(buried)
	_, counts, _ := m.dlq(nil, "ls", "--counts", "--by", "reason")
	if n := strings.Count(counts, "reason "); n < 10 {
		t.Errorf("%d reasons:\n%s", n, counts)
	}
	one := []string{"replay", "--error", "reason 3 ", "--canary", "5", "--rate", "50", "--force", "--reason", "mended"}
	if code, _, errs := m.dlq(m.until(buried-perReason/2, os.Interrupt), one...); code != 1 || !strings.Contains(errs, "left: run the same command again to go on") {
		t.Errorf("interrupted: exit %d\n%s", code, errs)
	}
	if code, _, errs := m.dlq(nil, one...); code != 0 || m.queued("REDOX_DLQ") != buried-perReason {
		t.Errorf("resumed: exit %d, %d left\n%s", code, m.queued("REDOX_DLQ"), errs)
	}
	rest := []string{"replay", "--all", "--force"}
	if code, _, _ := m.dlq(m.until(buried/2, os.Kill), rest...); code != -1 {
		t.Errorf("killed: exit %d", code)
	}
	if code, _, errs := m.dlq(nil, rest...); code != 0 {
		t.Errorf("resumed: exit %d\n%s", code, errs)
	}
	m.drained(worker.err.String)
	count := m.delivered()
	for _, key := range m.keys {
		if count[key] != 1 {
			t.Errorf("%s was delivered %d times", key, count[key])
		}
	}
	code, trail, errs := m.run(nil, "audit", "ls")
	var outcomes []string
	for line := range strings.Lines(trail) {
		if at := strings.Split(line, "\t"); len(at) == 6 && at[2] == "replay" {
			outcomes = append(outcomes, at[4])
		}
	}
	if want := []string{"interrupted", "done", "begun", "done"}; !slices.Equal(outcomes, want) {
		t.Errorf("%q, want %q", outcomes, want)
	}
	if n := strings.Count(trail, "\treplay\tclinic-a\t"); code != 0 || n != 4 || strings.Count(trail, "error=reason 3 ") != 2 || !strings.Contains(trail, fmt.Sprintf("\t%d messages, ", perReason)) || !strings.Contains(trail, fmt.Sprintf("\t%d messages, all", buried-perReason)) {
		t.Errorf("exit %d, %d deeds:\n%s%s", code, n, trail, errs)
	}
}
