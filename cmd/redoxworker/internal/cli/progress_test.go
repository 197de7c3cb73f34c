package cli

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jedib0t/go-pretty/v6/progress"

	"github.com/redoxworker/redoxworker/worker/workertest"
	"github.com/redoxworker/redoxworker/worker/workertest/bubble"
)

// A bar is drawn only when it takes a while.
func TestProgressBar_ShowsOnlyWhatTakesLong(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		total int64
		err   error
		end   string
	}{
		"all done":         {100, nil, "99 of 100 ... done!"},
		"stopped":          {100, errors.New("queue full"), "99 of 100 ... fail!"},
		"of no known size": {0, nil, "99 of 100 ... done!"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var out workertest.Output
				bar := &ProgressBar{out: &out, total: tt.total, units: progress.UnitsDefault, begun: time.Now()}
				step := func(done int, took time.Duration) {
					bar.Show(int64(done), fmt.Sprintf("%d of 100", done))
					bubble.Sleep(took)
				}
				for done := range 50 {
					step(done, progressAfter/60)
				}
				if got := out.String(); got != "" {
					t.Errorf("drawn at once: %q", got)
				}
				for done := range 50 {
					step(50+done, progressAfter/4)
				}
				if got := lastLine(out.String()); !strings.Contains(got, "99 of 100") || strings.Contains(got, "!") {
					t.Errorf("under way: %q", got)
				}
				bar.End(tt.err)
				if got := lastLine(out.String()); !strings.Contains(got, tt.end) {
					t.Errorf("at its end %q, want %q", got, tt.end)
				}
				bar.End(nil) // there is none any more
			})
		})
	}
}

func lastLine(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return lines[len(lines)-1]
}

// The bar is drawn over the line it stands in: text goes above it, and what is printed
// elsewhere goes there.
func TestProgressBar_PrintlnKeepsTheLine(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var screen, file workertest.Output
		bar := &ProgressBar{out: &screen, total: 10, begun: time.Now()}
		print := func(out *workertest.Output, line string) {
			if err := bar.Println(out, line); err != nil {
				t.Fatal(err)
			}
		}
		print(&screen, "before")
		if got := screen.String(); got != "before\n" {
			t.Errorf("without a bar: %q", got)
		}
		bubble.Sleep(progressAfter)
		bar.Show(1, "at work")
		synctest.Wait()
		print(&screen, "100% kept")
		print(&file, "a row")
		bar.End(nil)
		if got := screen.String(); !strings.Contains(got, "100% kept\n") || strings.Contains(got, "a row") {
			t.Errorf("on the screen: %q", got)
		}
		if got := file.String(); got != "a row\n" {
			t.Errorf("in the file: %q", got)
		}
		print(&screen, "after")
		if got := screen.String(); !strings.HasSuffix(got, "\nafter\n") {
			t.Errorf("after the bar: %q", got)
		}
	})
}

func TestProgressBar_NoneWithoutATerminal(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	bar := NewProgressBar(&App{Stderr: new(bytes.Buffer)}, 1, progress.UnitsBytes)
	if bar != nil {
		t.Fatal("a bar in a file")
	}
	bar.Show(1, "") // and harmless
	bar.End(nil)
	if err := bar.Println(&out, "text"); err != nil || out.String() != "text\n" {
		t.Errorf("%q, %v", out.String(), err)
	}
}
