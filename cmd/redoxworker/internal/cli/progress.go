package cli

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/jedib0t/go-pretty/v6/progress"
	"golang.org/x/term"
)

// progressAfter is how long something takes before a bar is worth the ink.
const progressAfter = 2 * time.Second

// ProgressBar shows on a terminal how far something is, once it takes a while. It is for
// one goroutine. A nil bar shows nothing.
type ProgressBar struct {
	out   io.Writer
	total int64 // 0: nobody knows
	units progress.Units
	begun time.Time

	writer  progress.Writer // nil until it is time
	tracker *progress.Tracker
	ended   chan struct{}
}

// NewProgressBar starts the time of a bar up to total, 0 for what nobody knows. It returns nil where stderr is no terminal, or where JSON lines share it.
func NewProgressBar(a *App, total int64, units progress.Units) *ProgressBar {
	if !IsTerminal(a.Stderr) || a.Globals.JSON && IsTerminal(a.Stdout) {
		return nil
	}
	return &ProgressBar{out: a.Stderr, total: total, units: units, begun: time.Now()}
}

// Show brings the bar up to date, and up when it is time.
func (p *ProgressBar) Show(done int64, message string) {
	if p == nil || time.Since(p.begun) < progressAfter {
		return
	}
	if p.writer == nil {
		p.start()
	}
	p.tracker.UpdateMessage(message)
	if p.total > 0 {
		p.tracker.SetValue(min(done, p.total))
	}
}

func (p *ProgressBar) start() {
	p.tracker = &progress.Tracker{Total: p.total, Units: p.units, AutoStopDisabled: true}
	p.writer = progress.NewWriter()
	p.writer.SetOutputWriter(p.out)
	p.writer.SetAutoStop(true)
	p.writer.SetUpdateFrequency(100 * time.Millisecond)
	if f, ok := p.out.(*os.File); ok {
		if width, _, err := term.GetSize(int(f.Fd())); err == nil {
			p.writer.SetTerminalWidth(width) // a bar that wraps is drawn over the lines above it
		}
	}
	p.writer.AppendTracker(p.tracker)
	p.ended = make(chan struct{})
	go func() {
		defer close(p.ended)
		p.writer.Render()
	}()
}

// Println prints a line of text to a stream: above the bar, where both are on a terminal.
func (p *ProgressBar) Println(out io.Writer, line string) error {
	if p != nil && p.writer != nil && (out == p.out || IsTerminal(out)) {
		p.writer.Log(line)
		return nil
	}
	_, err := fmt.Fprintln(out, line)
	return err
}

// End takes the bar to its end, which an error shows, and waits for it to be drawn.
// Afterwards there is none.
func (p *ProgressBar) End(err error) {
	if p == nil || p.writer == nil {
		return
	}
	if err != nil {
		p.tracker.MarkAsErrored()
	} else {
		p.tracker.MarkAsDone()
	}
	<-p.ended
	p.writer, p.begun = nil, time.Now()
}
