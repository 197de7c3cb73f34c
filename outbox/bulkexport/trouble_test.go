package bulkexport

import (
	"context"
	"errors"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/topology"
	"github.com/redoxworker/redoxworker/worker"
	"github.com/redoxworker/redoxworker/worker/redoxsim"
	"github.com/redoxworker/redoxworker/worker/workertest/bubble"
)

// Trouble that passes is borne: throttled questions, answers that break off, a server that is away.
func TestRun_TroubleThatPasses(t *testing.T) {
	status, files := "FHIR.Group.export-status", "FHIR.Group.export-file"
	for name, tt := range map[string]struct {
		profile string // instead of a rule
		rule    redoxsim.Rule
		warns   bool
	}{
		"429 to questions":                     {profile: "export-throttled"},
		"503 to questions":                     {rule: redoxsim.Rule{Event: status, Count: 5, Fault: redoxsim.Fault{Status: 503, RetryAfter: "2"}}},
		"questions for 6 min":                  {rule: redoxsim.Rule{Event: status, For: 6 * time.Minute, Fault: redoxsim.Fault{Status: 503}}},
		"files for 6 min":                      {rule: redoxsim.Rule{Event: files, For: 6 * time.Minute, Fault: redoxsim.Fault{Status: 500}}},
		"files break off":                      {profile: "export-cut"},
		"files are not answered":               {rule: redoxsim.Rule{Event: files, Attempts: 1, Fault: redoxsim.Fault{Action: redoxsim.Reset}}},
		"the beginning is lost":                {profile: "export-lost", warns: true},
		"the beginning is refused for a while": {rule: redoxsim.Rule{Event: "FHIR.Group.$export", Count: 2, Fault: redoxsim.Fault{Status: 503}}, warns: true},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, simulated(redoxsim.Export{Resources: 4}), func(r *rig) {
				r.harm(tt.profile, tt.rule)
				result := r.run(nil)
				r.whole(4, usual...)
				if !result.OK() || (len(result.Warnings) > 0) != tt.warns {
					r.t.Errorf("%+v", result)
				}
			})
		})
	}
}

// A queue that is away while an export runs, as one that elects a leader, is borne too.
func TestRun_TheQueueIsAway(t *testing.T) {
	inBubble(t, simulated(redoxsim.Export{Resources: 4, Polls: 3, RetryAfter: "60", Every: time.Minute}), func(r *rig) {
		var away sync.WaitGroup
		away.Go(func() {
			bubble.Sleep(30 * time.Second)
			if err := r.JS.DeleteStream(r.t.Context(), "REDOX_OUT"); err != nil {
				r.t.Error(err)
			}
			bubble.Sleep(2 * time.Minute)
			if _, err := (topology.Topology{}).Ensure(r.t.Context(), r.JS); err != nil {
				r.t.Error(err)
			}
		})
		result := r.run(nil)
		away.Wait()
		r.whole(4, usual...)
		if !result.OK() {
			r.t.Errorf("%+v", result)
		}
	})
}

// What does not pass ends with an error that says what to do.
func TestRun_TroubleThatStays(t *testing.T) {
	for name, tt := range map[string]struct {
		profile string // instead of a rule
		rule    redoxsim.Rule
		is      error
		says    string
	}{
		"the beginning is refused": {"", redoxsim.Rule{Event: "FHIR.Group.$export", Fault: redoxsim.Fault{Status: 403}}, nil, "begin the export: rejected, status 403"},
		"not asynchronous":         {"", redoxsim.Rule{Event: "FHIR.Group.$export", Fault: redoxsim.Fault{Status: 200, Body: `{"resourceType":"Bundle"}`}}, nil, "without a Content-Location"},
		"it never answers":         {"", redoxsim.Rule{Event: "FHIR.Group.$export", Fault: redoxsim.Fault{Action: redoxsim.Reset}}, ErrUnknown, "expired"},
		"it is not known":          {"", redoxsim.Rule{Event: "FHIR.Group.export-status", Fault: redoxsim.Fault{Status: 404}}, ErrGone, "empty place"},
		"it failed":                {"export-failed", redoxsim.Rule{}, nil, "status 500"},
		"no manifest":              {"", redoxsim.Rule{Event: "FHIR.Group.export-status", Fault: redoxsim.Fault{Status: 200, Body: `{"resourceType":"Patient"}`}}, nil, "has no output"},
		"files are gone":           {"export-gone", redoxsim.Rule{}, ErrGone, "-0001.ndjson"},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, simulated(redoxsim.Export{Polls: -1}), func(r *rig) {
				r.harm(tt.profile, tt.rule)
				result, err := r.export(func(c *Config) { c.Patience = 12 * time.Minute }).Run(r.t.Context())
				if err == nil || result.Complete || tt.is != nil && !errors.Is(err, tt.is) || !strings.Contains(err.Error(), tt.says) {
					r.t.Fatalf("%+v, %v", result, err)
				}
				if strings.Contains(err.Error(), "http") || strings.Contains(err.Error(), "g-1") {
					r.t.Errorf("it quotes a link: %v", err)
				}
				r.Redox.SetRules()
				before := r.asked(http.MethodGet, "/$export")
				_, err = r.export(nil).Run(r.t.Context())
				if (err != nil) != (tt.is == ErrUnknown) || err != nil && (!errors.Is(err, ErrUnknown) || r.asked(http.MethodGet, "/$export") != before) {
					r.t.Errorf("once it works: %v", err)
				}
			})
		})
	}
}

// Nobody serves the source: the export says so, and begins once somebody does. It begins once.
func TestRun_NoWorker(t *testing.T) {
	o := simulated(redoxsim.Export{})
	o.NoWorker = true
	inBubble(t, o, func(r *rig) {
		_, err := r.export(nil).Run(r.t.Context())
		if !errors.Is(err, outbox.ErrNoReply) || !strings.Contains(err.Error(), "redoxworker status") {
			r.t.Error(err)
		}
		if _, err := r.export(nil).Run(r.t.Context()); !errors.Is(err, outbox.ErrNoReply) {
			r.t.Error(err)
		}
		queue, err := r.JS.Stream(r.t.Context(), "REDOX_OUT")
		if err != nil || queue.CachedInfo().State.Msgs != 1 {
			r.t.Errorf("%v", err)
		}
		// A worker comes too late; and a day after another one nobody knows what came of it.
		e := r.export(nil)
		s, err := e.load(r.t.Context())
		if err != nil || s.Phase != asked {
			r.t.Fatalf("%+v, %v", s, err)
		}
		expired := outbox.Reply{MessageID: s.ID, Settlement: outbox.Expired}
		if _, err := r.JS.PublishMsg(r.t.Context(), expired.Encode(e.replyTo(s.ID))); err != nil {
			r.t.Fatal(err)
		}
		if _, err := r.export(nil).Run(r.t.Context()); !errors.Is(err, outbox.ErrNoReply) { // it was never sent: another
			r.t.Error(err)
		}
		first := s.ID
		if s, err = e.load(r.t.Context()); err != nil || s.Phase != asked || s.ID == first {
			r.t.Fatalf("%+v, %v", s, err)
		}
		s.Until = s.Until.Add(-24 * time.Hour)
		if err := e.save(r.t.Context(), s); err != nil {
			r.t.Fatal(err)
		}
		if _, err := r.export(nil).Run(r.t.Context()); !errors.Is(err, ErrUnknown) {
			r.t.Error(err)
		}
	})
}

// One that was cancelled is gone at the server and cannot go on; one that is complete stays here.
func TestCancel(t *testing.T) {
	inBubble(t, simulated(redoxsim.Export{Polls: 3, RetryAfter: "60"}), func(r *rig) {
		if err := r.export(nil).Cancel(r.t.Context()); !errors.Is(err, ErrNotBegun) {
			r.t.Error(err)
		}
		ctx, kill := context.WithTimeoutCause(r.t.Context(), 10*time.Second, errKilled)
		defer kill()
		if _, err := r.export(nil).Run(ctx); !errors.Is(err, errKilled) {
			r.t.Fatal(err)
		}
		for range 2 { // the second time it is not known
			if err := r.export(nil).Cancel(r.t.Context()); err != nil && !errors.Is(err, ErrNotBegun) {
				r.t.Error(err)
			}
		}
		if _, err := r.export(nil).Run(r.t.Context()); !errors.Is(err, ErrCancelled) {
			r.t.Error(err)
		}
		r.dir = filepath.Join(r.dir, "another")
		r.run(nil)
		if err := r.export(nil).Cancel(r.t.Context()); err != nil {
			r.t.Error(err)
		}
		if result := r.run(nil); !result.OK() {
			r.t.Errorf("%+v", result)
		}
		if n := r.asked(http.MethodDelete, ""); n != 2 {
			r.t.Errorf("%d were cancelled", n)
		}
	})
}

// An export that is killed between the answer to its beginning and the note of it can be cancelled.
func TestCancel_WhatWasJustBegun(t *testing.T) {
	inBubble(t, simulated(redoxsim.Export{}), func(r *rig) {
		ctx, kill := context.WithCancelCause(r.t.Context())
		defer kill(nil)
		made := 0
		if _, err := r.export(func(c *Config) { c.Store = killing{Store: c.Store, kill: kill, at: 2, made: &made} }).Run(ctx); !errors.Is(err, errKilled) {
			r.t.Fatal(err)
		}
		if err := r.export(nil).Cancel(r.t.Context()); err != nil || r.asked(http.MethodDelete, "") != 1 || r.asked(http.MethodGet, "/$export") != 1 {
			r.t.Error(err)
		}
	})
}

// An answer that a message cannot hold is read from the object store, and removed when it is here. Of the
// replies, that which says where the export is is kept, and no file.
func TestRun_LargeAnswersLeaveNothingBehind(t *testing.T) {
	o := simulated(redoxsim.Export{Resources: 3000, LineBytes: 1000})
	o.Worker = func(c *worker.Config) { c.MaxClaimMemory = 4 << 20 }
	inBubble(t, o, func(r *rig) {
		r.run(nil)
		r.whole(3000, usual...)
		bodies, err := r.JS.Stream(r.t.Context(), "OBJ_REDOX_BODIES")
		if err != nil || bodies.CachedInfo().State.Msgs != 0 {
			r.t.Errorf("%+v, %v", bodies.CachedInfo().State, err)
		}
		replies, err := r.JS.Stream(r.t.Context(), "REDOX_REPLIES")
		if err != nil || replies.CachedInfo().State.Msgs != 1 {
			r.t.Errorf("%+v, %v", replies.CachedInfo().State, err)
		}
	})
}
