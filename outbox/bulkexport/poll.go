package bulkexport

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/redoxworker/redoxworker/outbox"
)

// Between two questions how far the export is. What the server asks for goes before the first two.
const (
	firstPause   = 2 * time.Second
	longestPause = time.Minute
	leastPause   = 100 * time.Millisecond
	// mostAfter is the longest Retry-After that is believed.
	mostAfter = time.Hour
)

// poll asks until the export is ready.
func (e *Export) poll(ctx context.Context, s *state) error {
	trouble := patience{limit: e.config.Patience}
	for {
		if err := pause(ctx, time.Until(s.After)); err != nil {
			return err
		}
		m, err := e.question(ctx, s)
		switch {
		case err != nil && !trouble.bears(ctx, err):
			return fmt.Errorf("bulkexport: ask how far the export is: %w", err)
		case err == nil:
			trouble = patience{limit: e.config.Patience}
		}
		if m != nil {
			if err := s.take(m); err != nil {
				return err
			}
		}
		if err := e.save(ctx, s); err != nil || m != nil {
			return err
		}
	}
}

// question asks once. It returns the manifest when the export is ready, and says in the state when to
// ask again when it is not.
func (e *Export) question(ctx context.Context, s *state) (*manifest, error) {
	s.Polls++
	r, err := e.ask(ctx, fmt.Sprintf("%s-s%d", s.run, s.Polls), time.Now().Add(e.config.Wait), outbox.Message{Method: http.MethodGet, Path: s.Status, Accept: asJSON})
	if err != nil {
		s.After = time.Now().Add(between(s.Polls))
		return nil, err
	}
	after, given := retryAfter(r.Header.Get("Retry-After"), time.Now())
	if !given {
		after = between(s.Polls)
	}
	s.After = time.Now().Add(after).UTC()
	switch {
	case r.Settlement == outbox.Delivered && r.Status == http.StatusAccepted:
		e.progress.waits(r.Header.Get("X-Progress"))
		return nil, nil
	case r.Settlement == outbox.Delivered && r.Status == http.StatusOK && r.Error == "":
		s.Expires = r.Header.Get("Expires")
		return e.manifest(ctx, r)
	case r.Status == http.StatusNotFound || r.Status == http.StatusGone:
		return nil, fmt.Errorf("%w (status %d)", ErrGone, r.Status)
	case r.Settlement == outbox.Expired || r.Settlement == outbox.Exhausted:
		return nil, passing{refused("no answer that says how far it is", r)}
	}
	return nil, refused("the server refuses to say", r)
}

// manifest reads that of a ready export, and keeps it.
func (e *Export) manifest(ctx context.Context, r outbox.Reply) (*manifest, error) {
	text, err := e.readAll(ctx, r, maxManifest)
	if err != nil {
		return nil, err
	}
	m, err := parseManifest(text)
	if err != nil {
		return nil, err
	}
	if err := e.config.Store.save(ctx, manifestName, bytes.TrimSpace(text)); err != nil {
		return nil, err
	}
	return &m, nil
}

// between is the pause after the n-th question where the server asks for none: doubled up to
// longestPause, a fifth of it by chance.
func between(n int) time.Duration {
	d := longestPause
	if n < 6 {
		d = min(firstPause<<max(n-1, 0), longestPause)
	}
	return d - rand.N(d/5)
}

// retryAfter reads the header, in seconds, also with a fraction, or as a date.
func retryAfter(value string, now time.Time) (after time.Duration, given bool) {
	value = strings.TrimSpace(value)
	if value == "" {
		return 0, false
	}
	if seconds, err := strconv.ParseFloat(value, 64); err == nil {
		if !(seconds >= 0) {
			return 0, false
		}
		return bounded(time.Duration(min(seconds, mostAfter.Seconds()) * float64(time.Second))), true
	}
	at, err := http.ParseTime(value)
	if err != nil {
		return 0, false
	}
	return bounded(at.Sub(now)), true
}

func bounded(d time.Duration) time.Duration { return min(max(d, leastPause), mostAfter) }

// pause waits, or until ctx ends.
func pause(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return context.Cause(ctx)
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// patience bears trouble that may pass for so long.
type patience struct {
	limit time.Duration
	since time.Time // of the trouble; zero: there is none
	times int
}

// bears reports whether to try again after an error.
func (p *patience) bears(ctx context.Context, err error) bool {
	if ctx.Err() != nil || !isPassing(err) {
		return false
	}
	if p.since.IsZero() {
		p.since = time.Now()
	}
	p.times++
	return time.Since(p.since) < p.limit
}
