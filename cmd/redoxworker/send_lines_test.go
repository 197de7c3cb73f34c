package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"github.com/redoxworker/redoxworker/cmd/redoxworker/internal/cli"
	"github.com/redoxworker/redoxworker/outbox"
)

// shelf is a work queue of one test: it keeps bodies and fails where it is told to.
type shelf struct {
	mu      sync.Mutex
	stored  []string
	inside  int
	most    int // in flight at once
	failure func(m outbox.Message) error
	wait    chan struct{} // a publish waits until it is closed; nil for none
}

func (s *shelf) publish(ctx context.Context, m outbox.Message) (outbox.Receipt, error) {
	s.mu.Lock()
	s.inside++
	s.most = max(s.most, s.inside)
	s.mu.Unlock()
	defer func() { s.mu.Lock(); s.inside--; s.mu.Unlock() }()
	if s.wait != nil {
		select {
		case <-s.wait:
		case <-ctx.Done():
			return outbox.Receipt{}, ctx.Err()
		}
	}
	if s.failure != nil {
		if err := s.failure(m); err != nil {
			return outbox.Receipt{}, err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stored = append(s.stored, string(m.Body))
	return outbox.Receipt{ID: m.ID, Stream: "REDOX_OUT", Sequence: uint64(len(s.stored))}, nil
}

// batchOf sends to a shelf; what it printed is in the two buffers.
func batchOf(s sendCommand, shelf *shelf) (b *batch, stdout, stderr *bytes.Buffer) {
	stdout, stderr = new(bytes.Buffer), new(bytes.Buffer)
	a := &cli.App{Stdout: stdout, Stderr: stderr}
	if s.Kind == "" {
		s.Kind = string(outbox.KindDataModel)
	}
	return &batch{send: s, app: a, source: "clinic-a", limit: 1000, publish: shelf.publish, receipts: newReceipts(a)}, stdout, stderr
}

func numbered(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "{\"n\":%d}\n", i+1)
	}
	return b.String()
}

func TestBatch_OutcomesAreToldInTheOrderOfTheLines(t *testing.T) {
	t.Parallel()
	s := &shelf{failure: func(m outbox.Message) error {
		if strings.Contains(string(m.Body), "7") {
			return outbox.ErrQueueFull
		}
		return nil
	}}
	b, stdout, stderr := batchOf(sendCommand{messageFlags: messageFlags{ID: "x"}}, s)
	if err := b.run(t.Context(), strings.NewReader(numbered(200))); err != nil {
		t.Fatal(err)
	}
	var ids []string
	for line := range strings.Lines(stdout.String()) {
		ids = append(ids, strings.Fields(line)[0])
	}
	var want, wantErrors []string
	for i := 1; i <= 200; i++ {
		if strings.Contains(fmt.Sprint(i), "7") {
			wantErrors = append(wantErrors, fmt.Sprintf("redoxworker: line %d: queue full", i))
		} else {
			want = append(want, fmt.Sprintf("x-%d", i))
		}
	}
	if diff := cmp.Diff(want, ids); diff != "" {
		t.Errorf("receipts (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(wantErrors, strings.Split(strings.TrimSpace(stderr.String()), "\n")); diff != "" {
		t.Errorf("failures (-want +got):\n%s", diff)
	}
	if b.stored != len(want) || b.failed != len(wantErrors) {
		t.Errorf("stored %d, failed %d; want %d, %d", b.stored, b.failed, len(want), len(wantErrors))
	}
}

func TestBatch_OrderedLinesNeverOvertake(t *testing.T) {
	t.Parallel()
	s := &shelf{}
	b, _, _ := batchOf(sendCommand{OrderKey: "k"}, s)
	if err := b.run(t.Context(), strings.NewReader(numbered(300))); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(s.stored, "\n") + "\n"; got != numbered(300) {
		t.Error("lines were stored in another order")
	}
	if s.most != 1 {
		t.Errorf("%d ordered lines in flight at once, want 1", s.most)
	}
}

func TestBatch_OrderedStopsAtWhatMayBeSentAgain(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		err    error
		stored int
		stops  bool
	}{
		"queue full":    {err: outbox.ErrQueueFull, stored: 1, stops: true},
		"not confirmed": {err: context.DeadlineExceeded, stored: 1, stops: true},
		"contract":      {err: &outbox.ContractError{Part: "body", Reason: "is bad"}, stored: 3},
		"size":          {err: &outbox.SizeError{What: "message", Size: 2, Limit: 1}, stored: 3},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := &shelf{failure: func(m outbox.Message) error {
				if string(m.Body) == `{"n":2}` {
					return tc.err
				}
				return nil
			}}
			b, _, stderr := batchOf(sendCommand{OrderKey: "the-key"}, s)
			err := b.run(t.Context(), strings.NewReader(numbered(4)))
			if (err != nil) != tc.stops || err != nil && err.Error() != "those after line 2 were not sent: they would overtake it" {
				t.Errorf("error %v", err)
			}
			if len(s.stored) != tc.stored || b.failed != 1 {
				t.Errorf("stored %q, %d failed; want %d and 1", s.stored, b.failed, tc.stored)
			}
			if strings.Contains(stderr.String(), "the-key") {
				t.Error("the order key shows")
			}
		})
	}
}

func TestBatch_BoundsLinesInFlight(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &shelf{wait: make(chan struct{})}
		b, _, _ := batchOf(sendCommand{}, s)
		ended := make(chan error, 1)
		go func() { ended <- b.run(t.Context(), strings.NewReader(numbered(1000))) }()
		synctest.Wait() // nothing is confirmed, and nothing moves
		if s.inside != linesInFlight+1 {
			t.Errorf("%d lines in flight, want %d and the one whose turn it is to be told", s.inside, linesInFlight)
		}
		close(s.wait)
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
		if len(s.stored) != 1000 {
			t.Errorf("stored %d", len(s.stored))
		}
	})
}

func TestBatch_GivesUpWhereEveryLineWouldFail(t *testing.T) {
	t.Parallel()
	for _, fatal := range []error{outbox.ErrNoStream, outbox.ErrPermission} {
		s := &shelf{failure: func(outbox.Message) error { return fmt.Errorf("outbox: %w", fatal) }}
		b, stdout, _ := batchOf(sendCommand{}, s)
		err := b.run(t.Context(), strings.NewReader(numbered(50_000)))
		if err == nil || !strings.HasSuffix(err.Error(), "were not sent: they would fail like this one") {
			t.Errorf("error %v", err)
		}
		if b.failed == 0 || b.failed > 10_000 || stdout.Len() > 0 {
			t.Errorf("%d lines failed, stdout %q", b.failed, stdout)
		}
	}
}

func TestBatch_StopsWhenInterrupted(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	s := &shelf{failure: func(m outbox.Message) error {
		if string(m.Body) == `{"n":3}` {
			cancel()
		}
		return nil
	}}
	b, _, _ := batchOf(sendCommand{OrderKey: "k"}, s)
	err := b.run(ctx, strings.NewReader(numbered(10)))
	if err == nil || err.Error() != "line 4 and those after it were not sent: interrupted" {
		t.Errorf("error %v", err)
	}
}

func TestBatch_ReportsAReadErrorAndWhatWasStored(t *testing.T) {
	t.Parallel()
	s := &shelf{}
	b, _, _ := batchOf(sendCommand{}, s)
	broken := errors.New("the disk is gone")
	err := b.run(t.Context(), io.MultiReader(strings.NewReader(numbered(2)), iotest.ErrReader(broken)))
	if !errors.Is(err, broken) || err.Error() != "line 3 and those after it were not sent: the disk is gone" {
		t.Errorf("error %v", err)
	}
	if b.stored != 2 {
		t.Errorf("stored %d lines, want 2", b.stored)
	}
}

func TestBatch_AClosedStdoutEndsIt(t *testing.T) {
	t.Parallel()
	b, _, _ := batchOf(sendCommand{}, &shelf{})
	b.receipts = newReceipts(&cli.App{Stdout: brokenWriter{}})
	if err := b.run(t.Context(), strings.NewReader(numbered(10))); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("error %v, want %v", err, io.ErrClosedPipe)
	}
}

type brokenWriter struct{}

func (brokenWriter) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }

func TestLineReader(t *testing.T) {
	t.Parallel()
	const tooLong = "outbox: body is over 8 bytes, the limit redox.max_body"
	for name, tc := range map[string]struct {
		in   string
		want []string
	}{
		"nothing":             {"", nil},
		"no end":              {"a", []string{"a"}},
		"ends":                {"a\nb\r\n\nc", []string{"a", "b", "", "c"}},
		"the limit":           {"12345678\n12345678\r\n12345678", []string{"12345678", "12345678", "12345678"}},
		"over the limit":      {"123456789\nb\n", []string{tooLong, "b"}},
		"over at the end":     {"b\n1234567890123", []string{"b", tooLong}},
		"far over the limit":  {strings.Repeat("x", 300_000) + "\nb", []string{tooLong, "b"}},
		"white space is none": {"  \t\n  a  ", []string{"", "a"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var got []string
			for r := newLineReader(strings.NewReader(tc.in), 8, "redox.max_body"); ; {
				line, err := r.next()
				if errors.Is(err, io.EOF) {
					break
				}
				if err != nil {
					line = []byte(err.Error())
				}
				got = append(got, string(line))
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("lines (-want +got):\n%s", diff)
			}
		})
	}
}

// FuzzLineReader compares it with splitting the whole text, and looks that lines do not
// share memory.
func FuzzLineReader(f *testing.F) {
	for _, seed := range []string{"", "\n", "a\nb", "12345678901234567\nb\r\n", "\r\n\r\n", " \n12345678  \n"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		const limit = 8
		want := strings.Split(text, "\n")
		if want[len(want)-1] == "" {
			want = want[:len(want)-1]
		}
		r := newLineReader(iotest.OneByteReader(strings.NewReader(text)), limit, "redox.max_body")
		for _, w := range want {
			line, err := r.next()
			if err != nil && errors.Is(err, io.EOF) {
				t.Fatalf("ended before %q", w)
			}
			if err == nil && string(line) != strings.TrimSpace(w) {
				t.Fatalf("line %q, want %q", line, strings.TrimSpace(w))
			}
			if err != nil && len(w) <= limit {
				t.Fatalf("line %q: %v", w, err)
			}
			for i := range line { // it is ours
				line[i] = '!'
			}
		}
		if _, err := r.next(); !errors.Is(err, io.EOF) {
			t.Fatalf("goes on after the end: %v", err)
		}
	})
}

// BenchmarkBatch is the cost of a line without NATS.
func BenchmarkBatch(b *testing.B) {
	text := strings.Repeat(`{"Meta":{"DataModel":"PatientAdmin","EventType":"NewPatient"},"padding":"`+strings.Repeat("x", 900)+"\"}\n", 1000)
	b.ReportAllocs()
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		batch, _, _ := batchOf(sendCommand{}, &shelf{})
		batch.receipts = newReceipts(&cli.App{Stdout: io.Discard})
		if err := batch.run(b.Context(), strings.NewReader(text)); err != nil {
			b.Fatal(err)
		}
	}
}

// Ten thousand lines are compared with their schema, each warning in the place of its line.
func TestBatch_LintOfManyLines(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "order"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "order", "new.json"), []byte(`{"properties":{"n":{"type":"integer"}}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	const lines = 10_000
	for _, strict := range []bool{false, true} {
		var input, want strings.Builder
		for i := 1; i <= lines; i++ {
			value := strconv.Itoa(i)
			if i%100 == 0 {
				value = `"SECRET"`
				if strict {
					fmt.Fprintf(&want, "redoxworker: line %d: lint: Order New does not fit its schema: n is string and should be integer\n", i)
				} else {
					fmt.Fprintf(&want, "redoxworker: warning: line %d: lint: Order New does not fit its schema: n is string and should be integer\n", i)
				}
			}
			fmt.Fprintf(&input, `{"Meta":{"DataModel":"Order","EventType":"New"},"n":%s}`+"\n", value)
		}
		s, flags := &shelf{}, messageFlags{Kind: string(outbox.KindDataModel), Lint: dir, LintStrict: strict}
		b, _, stderr := batchOf(sendCommand{messageFlags: flags}, s)
		var err error
		if b.lint, err = flags.linting(); err != nil {
			t.Fatal(err)
		}
		if err := b.run(t.Context(), strings.NewReader(input.String())); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want.String(), stderr.String()); diff != "" {
			t.Errorf("strict %t: %s", strict, diff)
		}
		stored, unfit, failed := lines, lines/100, 0
		if strict {
			stored, unfit, failed = lines-lines/100, 0, lines/100
		}
		if b.stored != stored || b.unfit != unfit || b.failed != failed || len(s.stored) != stored {
			t.Errorf("strict %t: %d stored, %d warnings, %d failed", strict, b.stored, b.unfit, b.failed)
		}
	}
}
