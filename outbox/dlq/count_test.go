package dlq

import (
	"fmt"
	"testing"
)

// However many sources and reasons there are, no row says of a source what is another's, and all
// are counted.
func TestCounts_OfManyRows(t *testing.T) {
	t.Parallel()
	l := Stored{Letter: letter("m", 1)}
	for _, tt := range []struct {
		by                     string
		sources, reasons, rows int
	}{
		{"source", 5000, 1, 5000},
		{"source", 15_000, 1, maxRows + 1},
		{"source,settlement,reason", 5000, 6, maxRows + 5000},
		{"reason", 1, 15_000, maxRows + 1},
		{"source,status,kind,model,event,reason", 30_000, 1, 2*maxRows + 1},
	} {
		by, err := ParseGrouping(tt.by)
		if err != nil {
			t.Fatal(err)
		}
		all := counting{by: by, rows: map[Count]*Count{}}
		for i := range tt.sources * tt.reasons {
			l.Source, l.Error = fmt.Sprint("clinic-", i%tt.sources), fmt.Sprint("reason ", i/tt.sources)
			all.add(&l)
		}
		counts, n := all.sorted(), 0
		for _, c := range counts {
			n += c.Messages
			for _, name := range by.Names() {
				if c.Value(name) == "" && name != "model" && name != "event" {
					t.Errorf("%s: a row of no %s with %d messages", tt.by, name, c.Messages)
				}
			}
		}
		if len(counts) != tt.rows || n != tt.sources*tt.reasons {
			t.Errorf("%s: %d rows with %d messages", tt.by, len(counts), n)
		}
	}
}
