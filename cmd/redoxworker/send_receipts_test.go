package main

import (
	"bytes"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jedib0t/go-pretty/v6/table"

	"github.com/redoxworker/redoxworker/cmd/redoxworker/internal/cli"
	"github.com/redoxworker/redoxworker/outbox"
)

func TestReceipts_Forms(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		json, terminal bool
		want           string
	}{
		"columns": {want: "a\tREDOX_OUT\t1\tstored\nb\tREDOX_OUT\t1\tduplicate\n"},
		"json": {json: true, want: `{"id":"a","stream":"REDOX_OUT","sequence":1,"duplicate":false}` + "\n" +
			`{"id":"b","stream":"REDOX_OUT","sequence":1,"duplicate":true}` + "\n"},
		"table": {terminal: true, want: "" +
			"+----+-----------+----------+-----------+\n" +
			"| ID | STREAM    | SEQUENCE |           |\n" +
			"+----+-----------+----------+-----------+\n" +
			"| a  | REDOX_OUT |        1 | stored    |\n" +
			"| b  | REDOX_OUT |        1 | duplicate |\n" +
			"+----+-----------+----------+-----------+\n"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var out bytes.Buffer
			a := &cli.App{Stdout: &out, Globals: cli.Globals{JSON: tc.json}}
			r := newReceipts(a)
			if tc.terminal {
				r.table = newReceiptTable()
			}
			for _, one := range []outbox.Receipt{
				{ID: "a", Stream: "REDOX_OUT", Sequence: 1}, {ID: "b", Stream: "REDOX_OUT", Sequence: 1, Duplicate: true},
			} {
				if err := r.print(one); err != nil {
					t.Fatal(err)
				}
			}
			if err := r.end(nil); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, out.String()); diff != "" {
				t.Errorf("output (-want +got):\n%s", diff)
			}
		})
	}
}

func TestReceipts_EndKeepsTheFirstError(t *testing.T) {
	t.Parallel()
	first := errors.New("first")
	r := &receipts{out: brokenWriter{}, table: newReceiptTable()}
	if err := r.end(first); !errors.Is(err, first) {
		t.Errorf("without rows: %v", err)
	}
	r.table.AppendRow(table.Row{"a"})
	if err := r.end(first); !errors.Is(err, first) {
		t.Errorf("error %v, want the first", err)
	}
	if err := r.end(nil); err == nil {
		t.Error("its own error is lost")
	}
}
