package dlq

import (
	"fmt"
	"slices"
	"testing"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/contract"
)

// bulk stores dead letters of many sources, from m-<from> on: of every fifth the status is 503.
func (g graveyard) bulk(t *testing.T, from, n, sources int) {
	t.Helper()
	for i := from; i < from+n; i++ {
		l := letter(fmt.Sprint("m-", i), uint64(i+1))
		l.Source = fmt.Sprintf("clinic-%d", i%sources)
		l.Subject = "redox.out." + l.Source + ".send"
		if i%5 == 0 {
			l.Status, l.Error, l.Settlement = 503, "status 503", outbox.Exhausted
		}
		if _, err := g.JS.PublishMsgAsync(l.Encode("")); err != nil {
			t.Fatal(err)
		}
	}
	<-g.JS.PublishAsyncComplete()
}

// Pages come one after the other, the newest first, with nothing twice and nothing left out, and
// of the newest ones the number of dead letters does not matter.
func TestPage_NewestFirst(t *testing.T) {
	t.Parallel()
	g := newGraveyard(t)
	if p, err := g.Page(g.Ctx(), Query{}, PageOptions{}); err != nil || len(p.Letters) != 0 || p.Next != 0 {
		t.Errorf("of none: %+v, %v", p, err)
	}
	const n = 3000
	for from := 0; from < n; from += 1000 {
		g.bulk(t, from, 1000, 10)
	}
	before := g.Store.js.Conn().Stats().OutMsgs
	p, err := g.Page(g.Ctx(), Query{}, PageOptions{Limit: 50})
	g.Must(err)
	if requests := g.Store.js.Conn().Stats().OutMsgs - before; requests > 8 || p.Scanned > 512 || len(p.Letters) != 50 || p.Letters[0].MessageID != "m-2999" {
		t.Errorf("%d requests, %d looked at, %d found", requests, p.Scanned, len(p.Letters))
	}
	for name, q := range map[string]Query{"all": {}, "one source": {Sources: []string{"clinic-3"}}, "errors": {Errors: []string{"Status 503"}, Statuses: []string{"5xx"}}, "settlement": {Settlements: []outbox.Settlement{outbox.Exhausted}}} {
		var want, got []uint64
		for l, err := range g.List(g.Ctx(), q) {
			g.Must(err)
			want = append(want, l.DeadSequence)
		}
		slices.Reverse(want)
		for o := (PageOptions{Limit: 70}); ; {
			p, err := g.Page(g.Ctx(), q, o)
			g.Must(err)
			for _, l := range p.Letters {
				got = append(got, l.DeadSequence)
			}
			if o.Before = p.Next; p.Next == 0 {
				break
			}
		}
		if !slices.Equal(got, want) || len(want) == 0 {
			t.Errorf("%s: %d of %d", name, len(got), len(want))
		}
	}
	if p, err := g.Page(g.Ctx(), Query{IDs: []string{"m-1"}}, PageOptions{Scan: 100}); err != nil || len(p.Letters) != 0 || p.Next == 0 || p.Scanned > 1000 {
		t.Errorf("%d found after %d, next %d, %v", len(p.Letters), p.Scanned, p.Next, err)
	}
	if err := (PageOptions{Limit: -1}).Validate(); err == nil {
		t.Error("a page of -1")
	}
}

func TestQuery_WhatTheHeadersSay(t *testing.T) {
	t.Parallel()
	l := Stored{Letter: letter("m:r2", 7)}
	l.Header[contract.HeaderReplayOf], l.Header[contract.HeaderReplayCount] = []string{"m"}, []string{"2"}
	l.Subject = "redox.out.clinic-a.send." + goldenToken
	for text, q := range map[string]Query{
		"status=400": {Statuses: []string{"400"}}, "status=4xx": {Statuses: []string{"4xx"}}, "status=none": {Statuses: []string{"none"}}, "status=5XX": {Statuses: []string{"5XX"}},
		"error=TATUS 4": {Errors: []string{"TATUS 4"}}, "error=401": {Errors: []string{"401"}}, "kind=data-model": {Kinds: []outbox.Kind{outbox.KindDataModel}}, "kind=fhir": {Kinds: []outbox.Kind{outbox.KindFHIR}},
		"replays=2": {Replays: 2}, "replays=3": {Replays: 3}, "order-token=" + goldenToken: {OrderTokens: []string{goldenToken}}, "all": {},
	} {
		want := !slices.Contains([]string{"status=none", "status=5XX", "error=401", "kind=fhir", "replays=3"}, text)
		if q.Validate() != nil || q.matches(&l) != want || q.String() != text {
			t.Errorf("%q: %v, %v", q.String(), q.matches(&l), q.Validate())
		}
	}
	many := Query{IDs: make([]string, 100)}.indexed()
	if many.names("m") || !many.names("") || !(Query{IDs: []string{"m"}, WithReplays: true}).matches(&l) {
		t.Error("ids")
	}
	for _, q := range []Query{{Statuses: []string{"40"}}, {Statuses: []string{"0xx"}}, {Kinds: []outbox.Kind{"x"}}, {OrderTokens: []string{"x"}}, {Errors: []string{" "}}, {Replays: -1}} {
		if q.Validate() == nil {
			t.Errorf("%+v is taken", q)
		}
	}
}
