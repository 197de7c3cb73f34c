package service

import (
	"context"
	"log/slog"
	"slices"
	"testing"

	"github.com/redoxworker/redoxworker/outbox/logsample"
	"github.com/redoxworker/redoxworker/outbox/topology"
	"github.com/redoxworker/redoxworker/worker"
)

// A worker that still binds the consumers of many sources is not stuck; one that binds no more
// of them is, at the second look.
func TestUpkeep_BindingManyConsumersIsNoTrouble(t *testing.T) {
	t.Parallel()
	var u upkeep
	for i, look := range []struct {
		bound int
		stuck bool
	}{{0, false}, {3000, false}, {6000, false}, {9000, false}, {10_000, false}, {9999, false}, {9999, true}, {9999, true}, {10_000, false}} {
		if stuck := u.stuck(worker.Status{Started: true, Connected: true, Queue: true, Consumers: 10_000, Bound: look.bound}); stuck != look.stuck {
			t.Errorf("look %d, %d bound: %v", i, look.bound, stuck)
		}
	}
}

// each calls a function with every line of the log.
type each struct {
	slog.Handler
	line func(slog.Record)
}

func (e each) Handle(_ context.Context, r slog.Record) error {
	e.line(r)
	return nil
}

func (e each) WithAttrs([]slog.Attr) slog.Handler { return e }

// Who reads in the log that a stream is missing, or is there again, is told the same by /readyz.
func TestUpkeep_WhatIsFoundIsThereWhenTheLogIs(t *testing.T) {
	t.Parallel()
	var u upkeep
	u.failed = make(map[string]bool)
	lines, gone := 0, topology.Fault{Kind: "stream", Name: "REDOX_OUT", Missing: true, Detail: "it is gone"}
	u.trouble = logsample.NewTrouble(slog.New(each{slog.NewJSONHandler(t.Output(), nil), func(r slog.Record) {
		lines++
		if found, missing := slices.Contains(u.found(), gone.Detail), r.Level > slog.LevelInfo; found != missing {
			t.Errorf("%s: found %v", r.Message, found)
		}
	}}), "all is there")
	u.note([]topology.Fault{gone})
	u.note(nil)
	if lines != 2 {
		t.Errorf("%d lines, want 2", lines)
	}
}
