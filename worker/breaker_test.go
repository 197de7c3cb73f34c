package worker_test

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/worker"
	"github.com/redoxworker/redoxworker/worker/workertest/bubble"
)

// pair starts two workers with the same sources and returns them.
func (r *rig) pair(c worker.Config) (one, two *worker.Worker) {
	r.Helper()
	c.ID = "one"
	one, _ = r.launch(c)
	c.ID = "two"
	two, _ = r.launch(c)
	return one, two
}

// between counts the calls that began within a span.
func (r *rig) between(from, to time.Time) (n int) {
	for _, c := range r.far.Calls() {
		if !c.Start.Before(from) && c.Start.Before(to) {
			n++
		}
	}
	return n
}

// Redox down for a minute: a few attempts, bounded probes, one at a time in the whole
// fleet, and full rate soon after.
func TestBreaker_OutageIsSatOut(t *testing.T) {
	inBubble(t, func(r *rig) {
		start := time.Now()
		r.far.Answer = func(context.Context, outbox.Message, int) (outbox.Answer, error) {
			bubble.Sleep(50 * time.Millisecond)
			if time.Since(start) < time.Minute {
				return outbox.Answer{Status: 503}, errFar
			}
			return outbox.Answer{Status: 200}, nil
		}
		one, two := r.pair(worker.Config{Concurrency: 4})
		for i := range 400 {
			r.publish(outbox.Message{ID: fmt.Sprint("m", i)})
		}
		bubble.Sleep(1500 * time.Millisecond)
		for _, w := range []*worker.Worker{one, two} { // one source alone has traffic: pausing it does the same
			if s := w.Status(); len(s.Pauses) != 1 || s.Pauses[0].Scope != "source:"+source || s.Pauses[0].Reason == "" || s.Pauses[0].Since.Before(start) {
				t.Errorf("paused %+v a second after the host was found to be down", s.Pauses)
			}
		}
		if n := len(r.far.Calls()); n > 4*8 {
			t.Errorf("%d attempts before the host was found to be down", n)
		}
		probing := time.Now()
		bubble.Sleep(time.Until(start.Add(time.Minute)))
		probes := r.between(probing, time.Now())
		if probes < 8 || probes > 30 {
			t.Errorf("%d probes in %v", probes, time.Since(probing))
		}
		var end time.Time
		for _, c := range r.far.Calls() {
			if c.Start.After(probing) && c.Start.Before(end) {
				t.Error("two probes at one time")
			}
			end = c.End
		}
		bubble.Sleep(5 * time.Second)
		before := len(r.far.Calls())
		bubble.Sleep(time.Second)
		if n := len(r.far.Calls()) - before; n < 120 && len(r.all(worker.EventSettled)) < 395 {
			t.Errorf("%d requests in the sixth second after the outage, of 160", n)
		}
		r.until("all delivered", func() bool { return len(r.all(worker.EventSettled)) == 400 })
		for _, e := range r.all(worker.EventSettled) {
			if e.Settlement != outbox.Delivered {
				t.Errorf("%s: %s", e.MessageID, e.Settlement)
			}
		}
		if s := one.Status(); len(s.Pauses) != 0 || s.Breakers["host:far"] != "closed" {
			t.Errorf("paused %+v at the end", s.Pauses)
		}
	})
}

// A 429 pauses the whole fleet; after it one worker sends one probe, and within a second
// of its success all send at full rate.
func TestBreaker_ThrottledFleetProbesOnce(t *testing.T) {
	inBubble(t, func(r *rig) {
		start := time.Now()
		r.far.Answer = func(context.Context, outbox.Message, int) (outbox.Answer, error) {
			bubble.Sleep(50 * time.Millisecond)
			if time.Since(start) < 3*time.Second {
				return outbox.Answer{Status: 429}, throttled{worker.RetryAfter(errFar, time.Second)}
			}
			return outbox.Answer{Status: 200}, nil
		}
		r.pair(worker.Config{Concurrency: 4, Sources: []worker.Source{{Name: source, Scopes: []string{"group:default"}}}})
		for i := range 1000 {
			r.publish(outbox.Message{ID: fmt.Sprint("m", i)})
		}
		bubble.Sleep(2 * time.Second)
		if n := len(r.far.Calls()); n > 8*8 {
			t.Errorf("%d requests before the fleet had stopped", n)
		}
		paused := time.Now()
		var resumed time.Time
		r.until("requests again", func() bool { return r.between(paused, time.Now()) > 1 })
		for _, c := range r.far.Calls() {
			if c.Start.After(paused) {
				resumed = c.End
				break
			}
		}
		if after := resumed.Sub(start); after < 14*time.Second || after > 17*time.Second {
			t.Errorf("the probe was sent after %v", after)
		}
		if n := r.between(paused, resumed); n != 1 {
			t.Errorf("%d probes, want one for the fleet", n)
		}
		bubble.Sleep(time.Until(resumed.Add(time.Second)))
		from := time.Now()
		bubble.Sleep(time.Second)
		if n := r.between(from, time.Now()); n < 140 {
			t.Errorf("%d requests in the second after the first second, of 160", n)
		}
	})
}

// throttled pauses the egress group.
type throttled struct{ error }

func (throttled) Pauses() string    { return "group:default" }
func (e throttled) Unwrap() error   { return e.error }
func (throttled) SafeError() string { return "too many requests" }

// One of two hosts is down: messages for the other flow, those for this one wait and are
// not counted.
func TestBreaker_TheOtherHostKeepsFlowing(t *testing.T) {
	inBubble(t, func(r *rig) {
		var up atomic.Bool
		r.far.Answer = func(_ context.Context, m outbox.Message, _ int) (outbox.Answer, error) {
			if m.Kind == outbox.KindFile && !up.Load() {
				return outbox.Answer{}, worker.NotAttempted(errFar, "host:blob")
			}
			return outbox.Answer{Status: 200}, nil
		}
		w, _ := r.launch(worker.Config{Sources: []worker.Source{{Name: source, Scopes: []string{"host:far"},
			MessageScopes: func(m outbox.Message) []string {
				if m.Kind == outbox.KindFile {
					return []string{"host:blob"}
				}
				return nil
			}}}})
		for i := range 200 {
			kind := outbox.KindDataModel
			if i%10 == 0 {
				kind = outbox.KindFile
			}
			r.publish(outbox.Message{ID: fmt.Sprint("m", i), Kind: kind})
		}
		bubble.Sleep(3 * time.Second)
		if n := len(r.all(worker.EventSettled)); n != 180 {
			t.Errorf("%d messages settled, want the 180 of the host that works", n)
		}
		if s := w.Status(); s.Breakers["host:blob"] == "closed" || s.Breakers["host:far"] != "closed" {
			t.Errorf("breakers %v", s.Breakers)
		}
		bubble.Sleep(time.Minute)
		files := 0
		for _, c := range r.far.Calls() {
			if c.Err != nil {
				files++
			}
		}
		if files > 20+30 {
			t.Errorf("%d tries at a host that is down", files)
		}
		up.Store(true)
		back := time.Now()
		r.until("all settled", func() bool { return len(r.all(worker.EventSettled)) == 200 })
		if took := time.Since(back); took > 10*time.Second {
			t.Errorf("the files were delivered %v after their host was back", took)
		}
		for _, e := range r.all(worker.EventSettled) {
			if e.Settlement != outbox.Delivered || e.Attempt != 1 {
				t.Errorf("%s: %s with %d attempts", e.MessageID, e.Settlement, e.Attempt)
			}
		}
	})
}

// A source that an operator pauses is left alone by all workers within a second, for as
// long as was asked or until it is resumed.
func TestPauses_SeenByAllWithinASecond(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.pair(worker.Config{Sources: []worker.Source{{Name: source}, {Name: "clinic-b"}}})
		p := worker.NewPauses(r.js, "", "test")
		sent := func(what string, want ...string) {
			t.Helper()
			id := strings.ReplaceAll(what, " ", "-")
			r.publish(outbox.Message{ID: id + ".a"})
			r.publish(outbox.Message{ID: id + ".b", Source: "clinic-b"})
			bubble.Sleep(time.Second)
			for _, s := range []string{"a", "b"} {
				is, should := len(r.far.Of(id+"."+s)) > 0, strings.Contains(strings.Join(want, " "), s)
				if is != should {
					t.Errorf("%s: source %s sends: %v, want %v", what, s, is, should)
				}
			}
		}
		pause := func(source string, d time.Duration) {
			t.Helper()
			if err := p.Pause(r.Context(), source, d, ""); err != nil {
				t.Fatal(err)
			}
			bubble.Sleep(time.Second)
		}
		resume := func(source string) {
			t.Helper()
			if found, err := p.Resume(r.Context(), source); err != nil || !found {
				t.Fatal(found, err)
			}
			bubble.Sleep(time.Second)
		}
		sent("at first", "a", "b")
		pause(source, 0)
		sent("one source paused", "b")
		pause("", 0)
		sent("all paused")
		list, err := p.List(r.Context())
		if err != nil || len(list) != 2 || list[0].Scope != "all" || list[1].Scope != "source:clinic-a" || list[0].Left != -1 || !list[0].Operator || list[0].By != "test" {
			t.Errorf("%+v %v", list, err)
		}
		resume("")
		sent("all resumed", "b")
		// A worker that starts later knows as well.
		r.start(worker.Config{ID: "three", Sources: []worker.Source{{Name: source}}})
		sent("another worker", "b")
		resume(source)
		sent("resumed", "a", "b")
		pause("", 10*time.Second)
		sent("for a while")
		bubble.Sleep(8 * time.Second)
		sent("after a while", "a", "b")
		if found, err := p.Resume(r.Context(), ""); found || err != nil {
			t.Errorf("resuming what is not paused: %v %v", found, err)
		}
		bubble.Sleep(time.Second)
		for _, c := range r.far.Calls() {
			if c.N > 1 {
				t.Errorf("%s was sent %d times", c.ID, c.N)
			}
		}
		r.until("all settled", func() bool { return r.stored("REDOX_OUT") == 0 })
	})
}

// Without the bucket each worker is on its own, as before.
func TestBreaker_WithoutTheBucketEachProbesAlone(t *testing.T) {
	inBubble(t, func(r *rig) {
		if err := r.js.DeleteKeyValue(r.Context(), "REDOX_STATE"); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		r.far.Answer = func(context.Context, outbox.Message, int) (outbox.Answer, error) {
			if time.Since(start) < 10*time.Second {
				return outbox.Answer{}, worker.NotAttempted(errFar, "host:far")
			}
			return outbox.Answer{Status: 200}, nil
		}
		r.start(worker.Config{})
		id := r.publish(outbox.Message{})
		if e := r.awaitSettled(id); e.Settlement != outbox.Delivered || time.Since(start) > 20*time.Second {
			t.Errorf("%+v after %v", e, time.Since(start))
		}
	})
}

// A pause that could not be shared while it lasted is not shared once it is over.
func TestBreaker_APauseThatIsOverIsNotShared(t *testing.T) {
	inBubble(t, func(r *rig) {
		stream, err := r.js.Stream(r.Context(), "KV_REDOX_STATE")
		if err != nil {
			t.Fatal(err)
		}
		cfg := stream.CachedInfo().Config
		full := func(is bool) {
			if cfg.MaxBytes = -1; is {
				cfg.MaxBytes = 1
			}
			if _, err := r.js.UpdateStream(r.Context(), cfg); err != nil {
				t.Fatal(err)
			}
		}
		var limited atomic.Bool
		r.far.Answer = func(context.Context, outbox.Message, int) (outbox.Answer, error) {
			if limited.Load() {
				return outbox.Answer{}, worker.NotAttempted(errFar, "group:default")
			}
			return outbox.Answer{Status: 200}, nil
		}
		r.start(worker.Config{Sources: []worker.Source{{Name: source, Scopes: []string{"group:default"}}}})
		episode := func() {
			limited.Store(true)
			id := r.publish(outbox.Message{})
			bubble.Sleep(5 * time.Second)
			limited.Store(false)
			r.awaitSettled(id)
			bubble.Sleep(time.Minute)
		}
		episode()
		full(true)
		episode()
		bubble.Sleep(time.Hour)
		before := len(r.all(worker.EventPaused))
		full(false)
		bubble.Sleep(time.Minute)
		if n := len(r.all(worker.EventPaused)); before != 2 || n != 2 {
			t.Errorf("%d pauses before the board could be written again, and %d after, want 2", before, n)
		}
	})
}
