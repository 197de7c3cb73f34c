package logsample

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redoxworker/redoxworker/worker/workertest/bubble"
)

func TestTrouble_OneLineAtAChangeAndOneAMinute(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		out := &lines{}
		tr := NewTrouble(out.logger(), "all work again")
		tr.Worked("c0")
		gone, away := errors.New("gone"), errors.New("away")
		for range 121 { // an hour
			for i := range 500 {
				tr.Failed(fmt.Sprintf("c%03d", i), "no stream", gone, "consumer", i)
			}
			bubble.Sleep(29999 * time.Millisecond)
		}
		got := out.take(t)
		if len(got) < 30 || len(got) > 60 || got[0]["msg"] != "no stream" || got[0]["error"] != "gone" || got[0]["consumer"] != float64(0) {
			t.Fatalf("%d lines, the first %v", len(got), got[0])
		}
		if r := got[len(got)-1]; r["affected"] != float64(500) || !strings.HasSuffix(r["among"].(string), "c009 and 490 more") || r["for"].(float64) < float64(58*time.Minute) {
			t.Errorf("a reminder: %v", r)
		}
		tr.Failed("c000", "no connection", away)
		if got = out.take(t); len(got) != 1 || got[0]["msg"] != "no connection" {
			t.Errorf("another way to fail: %v", got)
		}
		tr.Failed("c000", "no stream", gone)
		tr.Failed("c000", "no connection", away)
		for i := range 499 {
			tr.Worked(fmt.Sprintf("c%03d", i))
		}
		if got = out.take(t); len(got) != 0 {
			t.Errorf("said although nothing has changed: %v", got)
		}
		tr.Worked("c499")
		tr.Worked("c499")
		if got = out.take(t); len(got) != 1 || got[0]["msg"] != "all work again" || got[0]["failures"] != float64(121*500+3) || got[0]["affected"] != float64(500) {
			t.Errorf("the end: %v", got)
		}
		tr.Failed("c1", "no stream", gone)
		if got = out.take(t); len(got) != 1 || got[0]["for"] != nil {
			t.Errorf("the beginning of the next: %v", got)
		}
	})
}

func TestTrouble_OneThatIsGoneDoesNotEndIt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		out := &lines{}
		tr := NewTrouble(out.logger(), "over")
		tr.Failed("a", "no", errors.New("x"))
		tr.Gone("a")
		tr.Gone("b")
		if n := len(out.take(t)); n != 1 {
			t.Errorf("%d lines", n)
		}
		bubble.Sleep(time.Second)
		tr.Worked("b")
		if got := out.take(t); len(got) != 1 || got[0]["msg"] != "over" {
			t.Errorf("%v", got)
		}
	})
}

func TestTrouble_WhatTheLogKnowsIsNotSaidTwice(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		out := &lines{}
		tr := NewTrouble(out.logger(), "over")
		tr.Began("a", "still")
		for range 119 {
			bubble.Sleep(time.Second)
			tr.Failed("a", "still", nil)
		}
		if got := out.take(t); len(got) != 1 || got[0]["for"] != float64(time.Minute) || got[0]["error"] != nil {
			t.Errorf("%v", got)
		}
	})
}
