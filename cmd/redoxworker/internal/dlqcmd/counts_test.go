package dlqcmd

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jedib0t/go-pretty/v6/text"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/dlq"
)

// On a narrow terminal ten reasons are a screen: no line is wider than it, a reason is whole, and the sum is
// that of all.
func TestCountLines_FitANarrowTerminal(t *testing.T) {
	t.Parallel()
	by, err := dlq.ParseGrouping("source,settlement,reason")
	if err != nil {
		t.Fatal(err)
	}
	var counts []dlq.Count
	for i := range 10 {
		counts = append(counts, dlq.Count{Source: fmt.Sprintf("clinic-%04d-of-the-university-hospital", i), Settlement: outbox.Rejected, Messages: 100 - i,
			Reason: fmt.Sprintf("refused: status 4%02d: redox refused the message because something in it is wrong (message/DataModels)", i),
			Oldest: time.Now().Add(-48 * time.Hour), Newest: time.Now().Add(-time.Minute)})
	}
	for width, most := range map[int]int{60: 41, 80: 31} {
		drawn := countLines(width, counts, by, 7)
		lines := strings.Split(strings.TrimSuffix(drawn, "\n"), "\n")
		for _, line := range lines {
			if n := text.StringWidthWithoutEscSequences(line); n > width {
				t.Errorf("%d columns of %d: %s", n, width, line)
			}
		}
		if len(lines) > most {
			t.Errorf("%d lines on %d columns", len(lines), width)
		}
		flat := strings.Join(strings.Fields(drawn), " ")
		if !strings.Contains(flat, "rejected 60s to 2d old refused: status 400: redox refused the message because something in it is wrong (message/DataModels) 99 clinic-0001") || !strings.HasSuffix(flat, " 962 in all") {
			t.Errorf("%s", drawn)
		}
	}
}
