package logsample

import (
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redoxworker/redoxworker/worker/workertest/bubble"
)

// sampled runs f in fake time.
func sampled(t *testing.T, f func(t *testing.T, log *slog.Logger, out *lines)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		out := &lines{}
		f(t, Wrap(out.logger()), out)
	})
}

func TestHandler_AFloodIsABurstAndOneLineAMinute(t *testing.T) {
	t.Parallel()
	sampled(t, func(t *testing.T, log *slog.Logger, out *lines) {
		log.Warn("it failed", "message", "m0")
		if n := len(out.take(t)); n != 1 {
			t.Fatalf("the first line: %d", n)
		}
		for i := range 6000 { // ten minutes
			bubble.Sleep(101 * time.Millisecond)
			log.Warn("it failed", "message", fmt.Sprint("m", i+1), "source", fmt.Sprint("s", i%30))
		}
		got := out.take(t)
		if len(got) != burst-1+9 && len(got) != burst-1+10 {
			t.Errorf("%d lines of 6,000", len(got))
		}
		last := got[len(got)-1]
		if last["suppressed"].(float64) < 590 || len(last["messages"].([]any)) != maxNames+1 || len(last["sources"].([]any)) != maxNames+1 {
			t.Errorf("a reminder: %v", last)
		}
		bubble.Sleep(interval)
		if got = out.take(t); len(got) != 1 || got[0]["message"] != "m6000" {
			t.Errorf("the last of all is not shown: %v", got)
		}
		bubble.Sleep(interval)
		log.Warn("it failed")
		log.Warn("it failed")
		if n := len(out.take(t)); n != 2 {
			t.Errorf("after a quiet minute %d of 2 lines pass", n)
		}
	})
}

func TestHandler_NothingIsLostWhileFewFail(t *testing.T) {
	t.Parallel()
	sampled(t, func(t *testing.T, log *slog.Logger, out *lines) {
		for range 200 {
			bubble.Sleep(7 * time.Second)
			log.Warn("it failed")
		}
		if n := len(out.take(t)); n != 200 {
			t.Errorf("%d of 200 lines, nine in a minute", n)
		}
	})
}

func TestHandler_WhatHasAnotherMeaningIsNotMerged(t *testing.T) {
	t.Parallel()
	sampled(t, func(t *testing.T, log *slog.Logger, out *lines) {
		for range 1000 {
			log.Warn("it failed", "error", errors.New("status 503"))
		}
		log.Warn("it failed", "error", errors.New("timeout"))
		log.Error("it failed", "error", errors.New("status 503"))
		log.Warn("another")
		log.With("worker", "w").WithGroup("g").Warn("it failed", "error", "status 503")
		if n := len(out.take(t)); n != burst+3 {
			t.Errorf("%d lines, want the burst and one for each of three others", n)
		}
		for i := range 1000 {
			log.Warn("it failed", "error", fmt.Sprint(i))
		}
		if n := len(out.take(t)); n > maxVariants {
			t.Errorf("%d lines of errors that all differ", n)
		}
		for range 50 {
			log.Debug("detail")
		}
		if n := len(out.take(t)); n != 50 {
			t.Errorf("%d of 50 debug lines", n)
		}
	})
}

func TestHandler_ItsMemoryIsBounded(t *testing.T) {
	t.Parallel()
	sampled(t, func(t *testing.T, log *slog.Logger, out *lines) {
		h := log.Handler().(*Handler)
		for i := range 5 * maxKinds {
			log.Warn(fmt.Sprint("text ", i))
		}
		if n := len(h.kinds.of); n > maxKinds+1 {
			t.Errorf("%d kinds are remembered", n)
		}
		bubble.Sleep(2 * interval)
		log.Warn("a new one")
		if n := len(h.kinds.of); n > 2 {
			t.Errorf("%d kinds are remembered after quiet minutes", n)
		}
	})
}

func TestHandler_FlushTellsWhatWasHeld(t *testing.T) {
	t.Parallel()
	sampled(t, func(t *testing.T, log *slog.Logger, out *lines) {
		for range 30 {
			log.Warn("it failed")
		}
		out.take(t)
		Flush(log)
		if got := out.take(t); len(got) != 1 || got[0]["suppressed"] != float64(30-burst-1) {
			t.Errorf("%v", got)
		}
		Flush(log)
		Flush(slog.New(slog.DiscardHandler))
		if n := len(out.take(t)); n > 0 {
			t.Errorf("%d lines more", n)
		}
	})
}

func TestHandler_CountsEveryRecordOfManyGoroutines(t *testing.T) {
	t.Parallel()
	sampled(t, func(t *testing.T, log *slog.Logger, out *lines) {
		var all sync.WaitGroup
		for g := range 20 {
			all.Go(func() {
				for range 500 {
					log.Warn("it failed", "source", fmt.Sprint("s", g))
					bubble.Sleep(time.Second)
				}
			})
		}
		all.Wait()
		bubble.Sleep(2 * interval)
		total := 0.0
		for _, line := range out.take(t) {
			total++
			if n, ok := line["suppressed"].(float64); ok {
				total += n
			}
		}
		if total != 20*500 {
			t.Errorf("the lines stand for %v of %d records", total, 20*500)
		}
	})
}

func TestWrap_DoesNotSampleTwice(t *testing.T) {
	t.Parallel()
	log := Wrap(slog.New(slog.DiscardHandler))
	if Wrap(log) != log {
		t.Error("wrapped again")
	}
	if with := log.With("a", 1); Wrap(with) != with {
		t.Error("a logger with attributes is wrapped again")
	}
}
