package fhirpages

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"iter"
	"maps"
	"net/http"
	"strconv"
	"strings"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/contract"
)

// Requester publishes a REQUEST and waits for its reply; an [*outbox.Publisher] does, for as
// long as its PublisherConfig.Wait for each page.
type Requester interface {
	Request(ctx context.Context, m outbox.Message) (outbox.Reply, error)
}

// DefaultMaxPages is the number of pages at which [Follow] stops by default.
const DefaultMaxPages = 10_000

// Reasons for which [Follow] ends before the last page.
var (
	// ErrMaxPages says that there are more pages than are wanted.
	ErrMaxPages = errors.New("there are more pages")
	// ErrLoop says that a link leads back to a page that was there before.
	ErrLoop = errors.New("the link to the next page leads back to one before it")
	// ErrNoBundle says that what was answered is no FHIR Bundle, and so no page.
	ErrNoBundle = errors.New("the answer is not a FHIR Bundle")
)

var errRelative = errors.New("the link to it is not absolute, and only the server knows to what it is relative")

// Follow asks p for the first page and for all that its links lead to, at most maxPages, 0
// meaning [DefaultMaxPages]. Requests are made as the sequence is read, one at a time; whoever
// stops reading asks for no more.
//
// first is the search. Page n has the id of first, or one that is made here, with "-n" behind
// it, and so its reply subject: with a durable one, the same call within a day reads the pages
// that were answered again, and asks for the rest only. Its source, Accept, HTTP headers (but for
// conditions, If-…), deadline and trace context are those of first, the rest is the link's.
//
// The sequence ends with the last page or with the first error, whose page has the Number that
// was asked for and the Reply, if one came: a page that was not delivered, ErrNoBundle, ErrLoop,
// ErrMaxPages, or an error of p. A page whose reply has an Error and yet a Bundle is one like any
// other: look at [outbox.Reply.OK]. To go on behind a page, follow its Next with GET and another
// id. It is safe for concurrent use as far as p is.
func Follow(ctx context.Context, p Requester, first outbox.Message, maxPages int) iter.Seq2[Page, error] {
	if maxPages == 0 {
		maxPages = DefaultMaxPages
	}
	if first.ID == "" {
		first.ID = outbox.NewID()
	}
	first.Kind, first.Lane = outbox.KindFHIR, contract.LaneRequest
	return func(yield func(Page, error) bool) {
		m, seen := first, map[[sha256.Size]byte]bool{sha256.Sum256([]byte(first.Path)): true}
		for n := 1; ; n++ {
			page, err := ask(ctx, p, m, first, n)
			if err != nil {
				yield(page, fmt.Errorf("page %d: %w", n, err))
				return
			}
			if !yield(page, nil) || page.Next == "" {
				return
			}
			at := sha256.Sum256([]byte(page.Next))
			switch {
			case !strings.Contains(page.Next, "://"):
				err = errRelative
			case seen[at]:
				err = ErrLoop
			case n >= maxPages:
				err = ErrMaxPages
			}
			if err != nil {
				yield(Page{Number: n + 1}, fmt.Errorf("page %d: %w", n+1, err))
				return
			}
			seen[at] = true
			m = next(first, page.Next)
		}
	}
}

// ask makes the request for page n.
func ask(ctx context.Context, p Requester, m, first outbox.Message, n int) (Page, error) {
	m.ID = first.ID + "-" + strconv.Itoa(n)
	if m.ReplyTo = first.ReplyTo; m.ReplyTo != "" {
		m.ReplyTo += "-" + strconv.Itoa(n)
	}
	r, err := p.Request(ctx, m)
	page := Page{Number: n, Reply: r, Total: -1}
	switch {
	case err != nil:
		return page, err
	case r.Settlement != outbox.Delivered:
		return page, errors.New(describe(r))
	case r.Status == http.StatusNotModified: // as a condition of the first page wants it
		return page, nil
	}
	return page, page.read()
}

// describe is what became of a page that there is none of.
func describe(r outbox.Reply) string {
	parts := []string{"it was " + string(r.Settlement)}
	if r.Settlement == outbox.Expired {
		parts[0] = "it expired"
	}
	if r.Error != "" {
		parts = append(parts, r.Error)
	} else if r.Status > 0 {
		parts = append(parts, fmt.Sprintf("status %d", r.Status))
	}
	return strings.Join(parts, ": ")
}

// next is the request for the page that a link leads to.
func next(first outbox.Message, link string) outbox.Message {
	m := outbox.Message{
		Source: first.Source, Lane: first.Lane, Kind: first.Kind, Method: http.MethodGet, Path: link, Accept: first.Accept,
		Header: maps.Clone(first.Header), Deadline: first.Deadline, TraceParent: first.TraceParent, TraceState: first.TraceState,
	}
	for name := range m.Header {
		if strings.HasPrefix(http.CanonicalHeaderKey(name), "If-") {
			delete(m.Header, name)
		}
	}
	return m
}
