package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"syscall"
	"testing"

	"github.com/redoxworker/redoxworker/cmd/redoxworker/internal/cli"
	"github.com/redoxworker/redoxworker/outbox"
)

// pages answers a search of so many pages with two resources each, the last with one. What is
// at a page instead stands in at.
type pages struct {
	count int
	link  string // with %d for the number
	at    map[int]outbox.Reply
	fails map[int]error
	asked int
}

func (p *pages) Request(_ context.Context, m outbox.Message) (outbox.Reply, error) {
	p.asked++
	n := 1
	if m.Body == nil {
		if _, err := fmt.Sscanf(m.Path, p.link, &n); err != nil {
			return outbox.Reply{}, err
		}
	}
	if err := p.fails[n]; err != nil {
		return outbox.Reply{}, err
	}
	if r, ok := p.at[n]; ok {
		return r, nil
	}
	link, second := fmt.Sprintf(`"link":[{"relation":"next","url":"`+p.link+`"}],`, n+1), `,{"fullUrl":"b","resource":{"n":`+fmt.Sprint(n)+`}}`
	if n == p.count {
		link, second = "", ""
	}
	return outbox.Reply{
		MessageID: m.ID, Settlement: outbox.Delivered, Status: 200, Attempts: 1,
		Body: fmt.Appendf(nil, "{\"resourceType\":\"Bundle\",\"type\":\"searchset\",\"total\":%d,%s\"entry\":[{\"resource\":{\n  \"n\": 1.0}}%s]}", 2*p.count-1, link, second),
	}, nil
}

// followed is what following prints.
func followed(p *pages, flags followFlags, json, durable bool, out io.Writer) (stderr string, err error) {
	var errs bytes.Buffer
	a := &cli.App{Stdout: out, Stderr: &errs, Globals: cli.Globals{JSON: json}}
	if flags.MaxPages == 0 {
		flags.MaxPages = 10_000
	}
	f := follower{followFlags: flags, app: a, out: bufio.NewWriter(out), id: "s", durable: durable}
	err = f.run(context.Background(), p, outbox.Message{ID: "s", Source: "clinic-a", Path: "hospital/Development/Patient/_search", Body: []byte("x")})
	return errs.String(), err
}

const (
	plainPage  = "https://api.test/fhir/R4/hospital/Development/page/Patient/search/%d-7c9e.next"
	secretPage = "https://api.test/fhir/R4/hospital/Development/Patient?family=SECRET&page=%d"
)

func TestFollow_Prints(t *testing.T) {
	t.Parallel()
	for _, count := range []int{1, 3, 2000} {
		var lines, whole, answers bytes.Buffer
		p := &pages{count: count, link: plainPage}
		stderr, err := followed(p, followFlags{}, false, false, &lines)
		if err != nil || bytes.Count(lines.Bytes(), []byte("\n")) != 2*count-1 || !strings.HasPrefix(lines.String(), "{\"n\":1.0}\n") || p.asked != count {
			t.Errorf("%d pages: %v %.100s", count, err, lines.String())
		}
		if want := fmt.Sprintf("s: %s, %s\n", cli.Counted(count, "page"), cli.Counted(2*count-1, "resource")); stderr != want {
			t.Errorf("%q, want %q", stderr, want)
		}
		if _, err := followed(p, followFlags{Bundle: true}, false, false, &whole); err != nil {
			t.Error(err)
		}
		var bundle struct {
			ResourceType, Type string
			Total              int
			Entry              []struct{ Resource json.RawMessage }
		}
		if err := json.Unmarshal(whole.Bytes(), &bundle); err != nil || bundle.Type != "searchset" || bundle.Total != 2*count-1 || len(bundle.Entry) != 2*count-1 ||
			string(bundle.Entry[0].Resource) != "{\n  \"n\": 1.0}" {
			t.Errorf("%d pages: %v %.200s", count, err, whole.String())
		}
		if _, err := followed(p, followFlags{}, true, false, &answers); err != nil || bytes.Count(answers.Bytes(), []byte("\n")) != count {
			t.Errorf("%d pages: %v %.100s", count, err, answers.String())
		}
	}
}

// What goes wrong on the way says how far it got and how to go on, and shows no link that may
// hold what was searched for.
func TestFollow_SaysHowFarItGot(t *testing.T) {
	t.Parallel()
	gone := outbox.Reply{MessageID: "s-3", Settlement: outbox.Rejected, Status: 410, Error: "status 410"}
	for name, tc := range map[string]struct {
		pages   pages
		flags   followFlags
		durable bool
		want    string
	}{
		"gone": {
			pages: pages{link: plainPage, at: map[int]outbox.Reply{3: gone}},
			want:  "page 3: it was rejected: status 410; 2 pages, 4 resources printed. To go on, request --follow --method GET --path " + fmt.Sprintf(plainPage, 3),
		},
		"gone, a link with a query": {
			pages: pages{link: secretPage, at: map[int]outbox.Reply{3: gone}},
			want:  "page 3: it was rejected: status 410; 2 pages, 4 resources printed. To go on, request --follow --method GET --path LINK with the link next of the last page, which --json prints; it may hold patient data and is not shown here",
		},
		"gone, durable": {
			pages: pages{link: plainPage, at: map[int]outbox.Reply{3: gone}}, durable: true,
			want: "page 3: it was rejected: status 410; 2 pages, 4 resources printed. To go on, request --follow --method GET --path " + fmt.Sprintf(plainPage, 3),
		},
		"no answer, durable": {
			pages: pages{link: secretPage, fails: map[int]error{3: outbox.ErrNoReply}}, durable: true,
			want: "page 3: " + outbox.ErrNoReply.Error() + "; 2 pages, 4 resources printed. To go on, give the same command with --id s within 24 hours: it reads these pages again, and asks for the others",
		},
		"too many": {
			pages: pages{link: plainPage}, flags: followFlags{MaxPages: 2, Bundle: true},
			want: "page 3: there are more pages; 2 pages, 4 entries printed. Raise --max-pages; or to go on, request --follow --method GET --path " + fmt.Sprintf(plainPage, 3),
		},
		"a loop": {
			pages: pages{link: plainPage, at: map[int]outbox.Reply{2: {Settlement: outbox.Delivered, Body: fmt.Appendf(nil, `{"resourceType":"Bundle","link":[{"relation":"next","url":"`+plainPage+`"}]}`, 2)}}},
			want:  "page 3: the link to the next page leads back to one before it; 2 pages, 2 resources printed",
		},
		"no Bundle": {
			pages: pages{link: plainPage, at: map[int]outbox.Reply{1: {Settlement: outbox.Delivered, Body: []byte(`{"resourceType":"Patient","id":"SECRET"}`)}}},
			want:  "page 1: the answer is not a FHIR Bundle; leave --follow out to see it",
		},
	} {
		tc.pages.count = 9
		var out bytes.Buffer
		stderr, err := followed(&tc.pages, tc.flags, false, tc.durable, &out)
		if err == nil || strings.Contains(stderr+err.Error(), "SECRET") {
			t.Errorf("%s: %q %v", name, stderr, err)
			continue
		}
		if err.Error() != tc.want {
			t.Errorf("%s:\n%v\nwant\n%s", name, err, tc.want)
		}
		if tc.flags.Bundle && json.Valid(out.Bytes()) {
			t.Errorf("%s: what is not whole looks as if it were: %s", name, out.String())
		}
	}
}

func TestFollow_OddAnswers(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	refused := &pages{count: 2, link: plainPage, at: map[int]outbox.Reply{1: {MessageID: "s-1", Settlement: outbox.Rejected, Status: 403, Error: "status 403", Body: []byte(`{"why":1}`)}}}
	if stderr, err := followed(refused, followFlags{}, false, false, &out); !errors.Is(err, cli.ErrReported) || out.String() != `{"why":1}` || stderr != "s-1: rejected, status 403, 0 attempts: status 403\n" {
		t.Errorf("refused at once: %v %q %q", err, stderr, out.String())
	}
	out.Reset()
	flagged := &pages{count: 2, link: plainPage, at: map[int]outbox.Reply{2: {MessageID: "s-2", Settlement: outbox.Delivered, Status: 200, Error: "issues", Body: []byte(`{"resourceType":"Bundle","entry":[{"fullUrl":"x"},{"resource":{}}]}`)}}}
	stderr, err := followed(flagged, followFlags{}, false, false, &out)
	if !errors.Is(err, cli.ErrReported) || strings.Count(out.String(), "\n") != 3 ||
		stderr != "s-2: delivered, status 200, 0 attempts: issues\ns: 2 pages, 3 resources; 1 entry without a resource is left out, --bundle has it\n" {
		t.Errorf("flagged: %v %q %q", err, stderr, out.String())
	}
	many := &pages{count: 9, link: plainPage}
	if _, err := followed(many, followFlags{}, false, false, closedPipe{}); err != nil || many.asked != 1 {
		t.Errorf("a reader that went away: %v, %d requests", err, many.asked)
	}
	if _, err := followed(many, followFlags{}, false, false, brokenWriter{}); err == nil || many.asked != 2 {
		t.Errorf("a full disk: %v, %d requests", err, many.asked)
	}
}

type closedPipe struct{}

func (closedPipe) Write([]byte) (int, error) { return 0, syscall.EPIPE }

// Links that say nothing of a patient, and others.
func TestFollow_PlainLinks(t *testing.T) {
	t.Parallel()
	const base = "https://api.redoxengine.com/fhir/R4/redox-fhir-sandbox/Development/"
	for link, plain := range map[string]bool{
		base + "page/Patient/search/7c9e6679-7425-40de-944b-e07fc1f90ae7.next": true,
		"http://127.0.0.1:80/fhir/R4/s/Staging/page/Patient/search/0-10.next":  true,
		"http://[::1]:80/fhir/R4/s/Staging/page/Patient/search/0-10.next":      true,
		base + "page/Patient/search/7c9e.next?x=1":                             false,
		base + "page/Patient/search/Smith.next":                                false,
		base + "page/Patient/search/abe.next":                                  false,
		base + "page/Patient/search/7c9e.next\nX":                              false,
		base + "Patient/123/$everything":                                       false,
		base + "Patient?page=2":                                                false,
		"https://user@api/page/Patient/search/1.next":                          false,
		"page/Patient/search/1.next":                                           false,
	} {
		if plainLink.MatchString(link) != plain {
			t.Errorf("%q: %t", link, !plain)
		}
	}
}

// Bytes that are no text do not come to a terminal; elsewhere all are as they are.
func TestPrintReply_BytesThatAreNoText(t *testing.T) {
	t.Parallel()
	for body, text := range map[string]bool{"": true, "{}": true, "grüß": true, "<a>\r\n\t</a>": true, "%PDF\xff": false, "a\x00b": false, "<a>\x1b]0;owned\a</a>": false, "a\bb": false, "a\x7f": false, "\u009b31mred": false, "a\u0085b": true} {
		if got, err := shownOn(false, []byte(body)); err != nil || string(got) != body {
			t.Errorf("%q elsewhere: %q %v", body, got, err)
		}
		got, err := shownOn(true, []byte(body))
		if (err == nil) != text || text && body != "" && string(got) != body+"\n" || !text && (len(got) > 0 || !strings.Contains(err.Error(), "> FILE")) {
			t.Errorf("%q on a terminal: %q %v", body, got, err)
		}
	}
}
