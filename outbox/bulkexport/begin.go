package bulkexport

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/redoxworker/redoxworker/outbox"
)

const (
	// repliesKept is below the time for which the reply to the message that begins an export is kept.
	repliesKept = 23 * time.Hour
	// lookFor is how long a reply is looked for whose time has passed.
	lookFor = 10 * time.Second
)

// begin has the server begin the export, or finds out what came of that.
func (e *Export) begin(ctx context.Context, s *state) error {
	if s.Phase == fresh {
		s.Phase, s.Asked = asked, time.Now().UTC()
		s.Until = s.Asked.Add(e.config.Wait)
		if err := e.save(ctx, s); err != nil {
			return err
		}
	}
	old := !time.Now().Before(s.Until)
	r, err := e.firstReply(ctx, s)
	if errors.Is(err, outbox.ErrNoReply) && ctx.Err() == nil && time.Since(s.Until) > repliesKept {
		s.Phase = unknown
		return errors.Join(s.ended(), e.save(ctx, s))
	}
	if err != nil {
		return fmt.Errorf("bulkexport: begin the export: %w", err)
	}
	return e.begun(ctx, s, r, old)
}

// firstReply is that to the message which begins the export. Before its deadline the message is
// published, if it was not; the queue drops it if it was.
func (e *Export) firstReply(ctx context.Context, s *state) (outbox.Reply, error) {
	m, err := e.config.Request.message()
	if err != nil {
		return outbox.Reply{}, err
	}
	m.ReplyTo = e.replyTo(s.ID)
	if time.Now().Before(s.Until) {
		return e.ask(ctx, s.ID, s.Until, m)
	}
	looking, cancel := context.WithTimeoutCause(ctx, lookFor, errLate)
	defer cancel()
	return e.publisher.Await(looking, m.ReplyTo)
}

// begun reads the reply to the message that begins the export. If it is old, and the message was never
// sent, the export is begun anew.
func (e *Export) begun(ctx context.Context, s *state, r outbox.Reply, old bool) error {
	address := r.Header.Get("Content-Location")
	s.Attempts = r.Attempts
	var failed error
	switch {
	case r.Settlement == outbox.Delivered && r.Status < 300 && isAbsolute(address):
		s.Phase, s.Status = running, address
		if after, given := retryAfter(r.Header.Get("Retry-After"), time.Now()); given {
			s.After = time.Now().Add(after).UTC()
		}
	case r.Settlement == outbox.Delivered && address != "":
		s.Phase, failed = fresh, errors.New("bulkexport: begin the export: the server answered with a Content-Location that is no absolute URL: only the server knows to what it is relative")
	case r.Settlement == outbox.Delivered:
		// Nothing can be asked about, so that it counts as not begun.
		s.Phase, failed = fresh, fmt.Errorf("bulkexport: begin the export: the server answered %d without a Content-Location: it does not export asynchronously", r.Status)
	case r.Attempts > 0 && (r.Status == 0 || r.Status >= http.StatusInternalServerError || r.Settlement == outbox.Held):
		s.Phase, failed = unknown, refused("begin the export", r)
		failed = errors.Join(failed, fmt.Errorf("bulkexport: %w", ErrUnknown))
	case old && r.Attempts == 0 && r.Settlement == outbox.Expired:
		s.Phase = fresh
	default: // refused, or never sent
		s.Phase, failed = fresh, refused("begin the export", r)
	}
	if s.Phase == fresh {
		s.ID = outbox.NewID()
	}
	return errors.Join(failed, e.save(ctx, s))
}
