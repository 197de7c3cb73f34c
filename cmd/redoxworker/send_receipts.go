package main

import (
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/jedib0t/go-pretty/v6/progress"
	"github.com/jedib0t/go-pretty/v6/table"

	"github.com/redoxworker/redoxworker/outbox"
)

// receipts prints one receipt per message: JSON lines when asked for, a table on a
// terminal, columns between tabs elsewhere.
type receipts struct {
	out   io.Writer
	json  *json.Encoder
	table table.Writer
}

func newReceipts(a *app) *receipts {
	r := &receipts{out: a.stdout}
	switch {
	case a.globals.JSON:
		r.json = json.NewEncoder(a.stdout)
	case isTerminal(a.stdout):
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

// progressAfter is how long something takes before a bar is worth the ink.
const progressAfter = 2 * time.Second

// progressBar shows on a terminal how far the reading of a file is. A nil bar shows nothing.
type progressBar struct {
	out     io.Writer
	in      *input
	begun   time.Time
	tracker *progress.Tracker
	ended   chan struct{}
}

// newProgressBar returns nil where stderr is no terminal.
func newProgressBar(a *app, in *input) *progressBar {
	if !isTerminal(a.stderr) {
		return nil
	}
	return &progressBar{out: a.stderr, in: in, begun: time.Now()}
}

// show brings the bar up to date, and up when it is time.
func (p *progressBar) show(stored, failed int) {
	if p == nil || time.Since(p.begun) < progressAfter {
		return
	}
	if p.tracker == nil {
		p.start()
	}
	p.tracker.UpdateMessage(fmt.Sprintf("%d stored, %d failed", stored, failed))
	if total := p.in.size(); total > 0 {
		p.tracker.SetValue(min(p.in.at(), total-1)) // the end is said by end
	}
}

func (p *progressBar) start() {
	p.tracker = &progress.Tracker{Total: p.in.size(), Units: progress.UnitsBytes}
	w := progress.NewWriter()
	w.SetOutputWriter(p.out)
	w.SetAutoStop(true)
	w.SetUpdateFrequency(100 * time.Millisecond)
	w.AppendTracker(p.tracker)
	p.ended = make(chan struct{})
	go func() {
		defer close(p.ended)
		w.Render()
	}()
}

// end completes the bar and waits for it to be drawn.
func (p *progressBar) end() {
	if p == nil || p.tracker == nil {
		return
	}
	p.tracker.MarkAsDone()
	<-p.ended
}
