package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jedib0t/go-pretty/v6/progress"

	"github.com/redoxworker/redoxworker/cmd/redoxworker/internal/cli"
	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/fhirpages"
)

// followFlags are the flags of a search that is read to its end.
type followFlags struct {
	Follow   bool `help:"Read a FHIR search, or a history, to its end: follow the links to further pages, each asked for with a REQUEST of its own (with --id, ID-1, ID-2 and so on), and print each resource as one line. --timeout is for a page."`
	Bundle   bool `help:"With --follow: print one Bundle with all entries instead."`
	MaxPages int  `name:"max-pages" default:"10000" placeholder:"N" help:"With --follow: end with an error when there are more pages. Default: 10,000."`
}

func (f followFlags) check(kind string, json bool) error {
	switch {
	case f.Bundle && !f.Follow:
		return cli.Usagef("--bundle: it belongs to --follow; give that too")
	case f.Bundle && json:
		return cli.Usagef("--bundle: goes without --json, which prints each page as it came")
	case f.Follow && kind != string(outbox.KindFHIR):
		return cli.Usagef("--follow: only kind fhir has pages; give --kind fhir")
	case f.MaxPages < 1:
		return cli.Usagef("--max-pages: %d is no number of pages; use 1 or more", f.MaxPages)
	}
	return nil
}

// waiting asks with a patience of its own for each page.
type waiting struct {
	*publisher
	timeout time.Duration
}

// Request is one page.
func (w waiting) Request(ctx context.Context, m outbox.Message) (outbox.Reply, error) {
	return w.await(ctx, m, w.timeout)
}

// follower prints pages as they come. It holds one at a time.
type follower struct {
	followFlags
	app     *cli.App
	out     *bufio.Writer
	bar     *cli.ProgressBar
	id      string
	durable bool

	pages, resources, without int
	flagged                   bool
	next                      string // the link behind the last page
}

// run reads all pages. What failed is told with how far it got and how to go on.
func (f *follower) run(ctx context.Context, r fhirpages.Requester, m outbox.Message) error {
	for page, err := range fhirpages.Follow(ctx, r, m, f.MaxPages) {
		switch {
		case err != nil && page.Number == 1 && page.Reply.Settlement != "" && !errors.Is(err, fhirpages.ErrNoBundle):
			return printReply(f.app, page.Reply, "")
		case err != nil:
			f.bar.End(err)
			return f.stopped(errors.Join(flagError(err, "--id"), f.out.Flush()), page.Reply.Settlement != "")
		}
		if err := f.page(page); errors.Is(err, syscall.EPIPE) {
			return nil // the reader has what it wanted, as head has
		} else if err != nil {
			f.bar.End(err)
			return f.stopped(err, false)
		}
	}
	if f.Bundle {
		_, _ = f.out.WriteString("]}\n") // Flush says so
	}
	err := f.out.Flush()
	f.bar.End(err)
	fmt.Fprintf(f.app.Stderr, "%s: %s%s\n", f.id, f.amount(), f.leftOut())
	if err == nil && f.flagged {
		return cli.ErrReported
	}
	return err
}

// page prints one page.
func (f *follower) page(p fhirpages.Page) error {
	if p.Number == 1 && !cli.IsTerminal(f.app.Stdout) {
		f.bar = cli.NewProgressBar(f.app, max(p.Total, 0), progress.UnitsDefault)
	}
	if !p.Reply.OK() {
		f.flagged = true
		_ = f.bar.Println(f.app.Stderr, settlementText(p.Reply, ""))
	}
	var err error
	switch {
	case f.app.Globals.JSON:
		err = f.line(p)
	case f.Bundle:
		err = f.entries(p)
	default:
		err = f.lines(p)
	}
	if err = errors.Join(err, f.out.Flush()); err != nil {
		return err
	}
	f.pages, f.next = p.Number, p.Next
	f.bar.Show(int64(f.resources), fmt.Sprintf("page %d", p.Number))
	return nil
}

// line prints a page as --json does any answer.
func (f *follower) line(p fhirpages.Page) error {
	for range p.Resources() {
		f.resources++
	}
	to := *f.app
	to.Stdout = f.out
	return printAnswer(&to, p.Reply, "")
}

// lines prints the resources of a page.
func (f *follower) lines(p fhirpages.Page) error {
	entries, before := 0, f.resources
	for range p.Entries() {
		entries++
	}
	for r := range p.Resources() {
		if bytes.ContainsAny(r, "\r\n") {
			var line bytes.Buffer
			if err := json.Compact(&line, r); err != nil {
				return errors.New("a resource is no JSON that can be written in one line; see it with --bundle")
			}
			r = line.Bytes()
		}
		if _, err := f.out.Write(r); err != nil {
			return err
		}
		if err := f.out.WriteByte('\n'); err != nil {
			return err
		}
		f.resources++
	}
	f.without += entries - (f.resources - before)
	return nil
}

// entries prints those of a page into the one Bundle, which ends when all went well: one that
// is not whole does not look as if it were.
func (f *follower) entries(p fhirpages.Page) error {
	if p.Number == 1 {
		begin := `{"resourceType":"Bundle",`
		if p.Type != "" {
			kind, _ := json.Marshal(p.Type) // a text
			begin += `"type":` + string(kind) + ","
		}
		if p.Total >= 0 {
			begin += `"total":` + strconv.FormatInt(p.Total, 10) + ","
		}
		if _, err := f.out.WriteString(begin + `"entry":[`); err != nil {
			return err
		}
	}
	for e := range p.Entries() {
		if f.resources > 0 {
			if err := f.out.WriteByte(','); err != nil {
				return err
			}
		}
		if _, err := f.out.Write(e); err != nil {
			return err
		}
		f.resources++
	}
	return nil
}

// amount is how much was printed.
func (f *follower) amount() string {
	what := "resource"
	if f.Bundle {
		what = "entry"
		if f.resources != 1 {
			return fmt.Sprintf("%s, %d entries", cli.Counted(f.pages, "page"), f.resources)
		}
	}
	return cli.Counted(f.pages, "page") + ", " + cli.Counted(f.resources, what)
}

func (f *follower) leftOut() string {
	switch f.without {
	case 0:
		return ""
	case 1:
		return "; 1 entry without a resource is left out, --bundle has it"
	}
	return fmt.Sprintf("; %d entries without a resource are left out, --bundle has them", f.without)
}

// plainLink is one of Redox's, which holds nothing but what Redox made up: no query string, and
// no name.
var plainLink = regexp.MustCompile(`^https?://[A-Za-z0-9.:\[\]-]+(/[A-Za-z0-9._-]+)*/page/[A-Za-z]+/search/[0-9a-fA-F-]*[0-9][0-9a-fA-F-]*\.[a-z]+$`)

// stopped says how far it got, and how to go on; answered says that the page that failed was
// answered. A link that may hold what was searched for is not shown.
func (f *follower) stopped(err error, answered bool) error {
	if f.pages == 0 {
		if errors.Is(err, fhirpages.ErrNoBundle) {
			return fmt.Errorf("%w; leave --follow out to see it", err)
		}
		return err
	}
	goOn := "To go on"
	err = fmt.Errorf("%w; %s printed", err, f.amount())
	switch {
	case errors.Is(err, fhirpages.ErrLoop) || !strings.Contains(f.next, "://"):
		return err
	case errors.Is(err, fhirpages.ErrMaxPages):
		goOn = "Raise --max-pages; or to go on"
	}
	switch {
	case f.durable && !answered:
		return fmt.Errorf("%w. %s, give the same command with --id %s within 24 hours: it reads these pages again, and asks for the others", err, goOn, f.id)
	case plainLink.MatchString(f.next):
		return fmt.Errorf("%w. %s, request --follow --method GET --path %s", err, goOn, f.next)
	}
	return fmt.Errorf("%w. %s, request --follow --method GET --path LINK with the link next of the last page, which --json prints; it may hold patient data and is not shown here", err, goOn)
}

// follow prints all pages of a search.
func (q requestCommand) follow(ctx context.Context, a *cli.App, p *publisher, m outbox.Message) error {
	f := follower{followFlags: q.followFlags, app: a, out: bufio.NewWriterSize(a.Stdout, 64<<10), id: m.ID, durable: q.Durable}
	return f.run(ctx, waiting{p, q.Timeout}, m)
}
