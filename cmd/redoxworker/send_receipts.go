package main

import (
	"encoding/json"
	"fmt"
	"io"

	"github.com/jedib0t/go-pretty/v6/table"

	"github.com/redoxworker/redoxworker/cmd/redoxworker/internal/cli"
	"github.com/redoxworker/redoxworker/outbox"
)

// receipts prints one receipt per message: JSON lines when asked for, a table on a
// terminal, columns between tabs elsewhere.
type receipts struct {
	out   io.Writer
	json  *json.Encoder
	table table.Writer
}

func newReceipts(a *cli.App) *receipts {
	r := &receipts{out: a.Stdout}
	switch {
	case a.Globals.JSON:
		r.json = json.NewEncoder(a.Stdout)
	case cli.IsTerminal(a.Stdout):
		r.table = newReceiptTable()
	}
	return r
}

func newReceiptTable() table.Writer {
	t := table.NewWriter()
	t.AppendHeader(table.Row{"id", "stream", "sequence", ""})
	return t
}

func (r *receipts) print(one outbox.Receipt) error {
	note := "stored"
	if one.Duplicate {
		note = "duplicate"
	}
	switch {
	case r.json != nil:
		return r.json.Encode(one)
	case r.table != nil:
		r.table.AppendRow(table.Row{one.ID, one.Stream, one.Sequence, note})
		return nil
	default:
		_, err := fmt.Fprintf(r.out, "%s\t%s\t%d\t%s\n", one.ID, one.Stream, one.Sequence, note)
		return err
	}
}

// end prints the table and returns the error it was given, or its own.
func (r *receipts) end(err error) error {
	if r.table == nil || r.table.Length() == 0 {
		return err
	}
	if _, failed := fmt.Fprintln(r.out, r.table.Render()); err == nil {
		err = failed
	}
	return err
}
