package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/jedib0t/go-pretty/v6/progress"

	"github.com/redoxworker/redoxworker/cmd/redoxworker/internal/cli"
	"github.com/redoxworker/redoxworker/config"
	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/contract"
)

// linesInFlight is how many lines are published before the first of them is confirmed.
// With an order key it is one: the next must not overtake.
const linesInFlight = 64

// batch publishes one message per line.
type batch struct {
	send     sendCommand
	app      *cli.App
	source   string
	limit    int64
	setting  string // where the limit comes from
	publish  func(context.Context, outbox.Message) (outbox.Receipt, error)
	receipts *receipts
	progress *cli.ProgressBar
	at       func() int64 // bytes read, for the bar
	lint     *linting

	stored, repeated, failed, unfit int
}

// outcome of one line.
type outcome struct {
	line    int
	receipt outbox.Receipt
	warning error
	err     error
}

func (s sendCommand) sendLines(ctx context.Context, a *cli.App, c *config.Config, source string) error {
	l, err := s.linting()
	if err != nil {
		return err
	}
	in, err := a.OpenInput(ctx, s.File)
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }() // it was only read
	p, err := newPublisher(ctx, a, c, source)
	if err != nil {
		return err
	}
	defer p.close()
	limit, setting := c.Redox.BodyLimit(s.Kind)
	b := &batch{
		send: s, app: a, source: source, limit: limit, setting: setting, publish: p.Publish,
		receipts: newReceipts(a), progress: cli.NewProgressBar(a, in.Size(), progress.UnitsBytes), at: in.At, lint: l,
	}
	err = b.run(ctx, in)
	b.progress.End(err)
	fmt.Fprintf(a.Stderr, "%s stored, %s%d failed%s\n", cli.Counted(b.stored, "message"), b.repeats(), b.failed, b.warnings())
	err = b.receipts.end(err)
	if err == nil && b.failed > 0 {
		return cli.ErrReported
	}
	return err
}

// repeats tells of lines that the queue had already.
func (b *batch) repeats() string {
	if b.repeated == 0 {
		return ""
	}
	return cli.Counted(b.repeated, "duplicate") + ", "
}

// warnings tells of lines that --lint warned of.
func (b *batch) warnings() string {
	if b.unfit == 0 {
		return ""
	}
	return ", " + cli.Counted(b.unfit, "warning")
}

// run reads lines while others are being confirmed. Outcomes are told in the order of the
// lines. An error is one that ended the reading.
func (b *batch) run(ctx context.Context, in io.Reader) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	pending := make(chan chan outcome, linesInFlight)
	told := make(chan error, 1)
	go func() { told <- b.tell(pending, cancel) }()
	readErr := b.read(ctx, in, pending)
	close(pending)
	if err := <-told; err != nil {
		return err
	}
	return readErr
}

// read publishes each line, up to linesInFlight at a time, and puts the outcomes to come
// into pending.
func (b *batch) read(ctx context.Context, in io.Reader, pending chan<- chan outcome) error {
	lines := newLineReader(in, b.limit, b.setting)
	for number := 1; ; number++ {
		line, err := lines.next()
		var tooLong *outbox.SizeError
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case ctx.Err() != nil:
			err = cli.WhyEnded(ctx)
			fallthrough
		case err != nil && !errors.As(err, &tooLong):
			return fmt.Errorf("line %d and those after it were not sent: %w", number, err)
		}
		if err == nil && len(line) == 0 {
			continue
		}
		done := make(chan outcome, 1)
		pending <- done
		if err := b.start(ctx, done, number, line, err); err != nil {
			return fmt.Errorf("those after line %d were not sent: %w", number, err)
		}
	}
}

// start publishes one line, unless err says why not. In an ordered lane it waits, and its
// error ends the reading: what comes after a line that may yet be sent again would overtake.
func (b *batch) start(ctx context.Context, done chan<- outcome, number int, line []byte, err error) error {
	if err == nil {
		err = b.send.checkBody(line)
	}
	m := b.send.outgoing(b.source)
	m.Body = line
	var warning error
	if err == nil {
		warning, err = b.lint.check(ctx, m)
	}
	if err != nil {
		done <- outcome{line: number, err: err}
		return nil
	}
	if m.ID != "" {
		m.ID = fmt.Sprintf("%s-%d", m.ID, number)
	}
	if m.Lane != contract.LaneOrdered {
		go func() { // tell waits for it
			receipt, err := b.publish(ctx, m)
			done <- outcome{line: number, receipt: receipt, warning: warning, err: err}
		}()
		return nil
	}
	receipt, err := b.publish(ctx, m)
	done <- outcome{line: number, receipt: receipt, warning: warning, err: err}
	var refused *outbox.ContractError
	var size *outbox.SizeError
	if err == nil || errors.As(err, &refused) || errors.As(err, &size) {
		return nil
	}
	return errors.New("they would overtake it")
}

// tell prints the outcomes, and stops the reading where no further line can be stored.
func (b *batch) tell(pending <-chan chan outcome, stop context.CancelCauseFunc) error {
	var failed error
	for done := range pending {
		o := <-done
		if o.warning != nil {
			b.unfit++
			_ = b.progress.Println(b.app.Stderr, fmt.Sprintf("redoxworker: warning: line %d: %v", o.line, o.warning))
		}
		switch {
		case o.err == nil:
			if o.receipt.Duplicate {
				b.repeated++
			} else {
				b.stored++
			}
			if err := b.receipts.print(o.receipt); err != nil && failed == nil {
				failed = err
				stop(err)
			}
		default:
			b.failed++
			_ = b.progress.Println(b.app.Stderr, fmt.Sprintf("redoxworker: line %d: %v", o.line, o.err))
			if errors.Is(o.err, outbox.ErrNoStream) || errors.Is(o.err, outbox.ErrPermission) {
				stop(errors.New("they would fail like this one"))
			}
		}
		if b.progress != nil {
			b.progress.Show(b.at(), fmt.Sprintf("%d stored, %s%d failed", b.stored, b.repeats(), b.failed))
		}
	}
	return failed
}

// lineReader reads lines of any length and returns those within the limit.
type lineReader struct {
	in      *bufio.Reader
	limit   int64
	setting string
}

func newLineReader(in io.Reader, limit int64, setting string) *lineReader {
	return &lineReader{in: bufio.NewReaderSize(in, 64<<10), limit: limit, setting: setting}
}

// next returns a line without its end and the white space around it; it belongs to the
// caller. A line over the limit is read to its end and reported as a *outbox.SizeError;
// the next call goes on behind it.
func (l *lineReader) next() ([]byte, error) {
	var line []byte
	long := false
	for {
		part, err := l.in.ReadSlice('\n')
		if long = long || int64(len(line)+len(part)) > l.limit+2; !long { // 2: the line's end
			line = append(line, part...)
		}
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case err != nil && (!errors.Is(err, io.EOF) || len(line) == 0 && !long):
			return nil, err
		}
		line = bytes.TrimSpace(line)
		if long || int64(len(line)) > l.limit {
			return nil, tooLarge(l.limit, l.setting)
		}
		return line, nil
	}
}
