package dlq

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/outbox/internal/outboxtest"
)

func TestDeadLetters_ListFilters(t *testing.T) {
	t.Parallel()
	g := newGraveyard(t)
	other, nobody, request := letter("m-2", 2), letter("m-3", 3), letter("m-4", 4)
	other.Source, other.Settlement = "clinic-b", outbox.Held
	nobody.Source, nobody.Settlement, nobody.Subject = "", outbox.Poison, "redox.out.x"
	request.Settlement, request.Body = outbox.Expired, []byte(`{"Meta":{"DataModel":"PatientSearch","EventType":"Query"}}`)
	fhir := letter("m-5", 5)
	fhir.Header[contract.HeaderKind], fhir.Body = []string{"fhir"}, []byte(`not json`)
	g.bury(letter("m-1", 1), other, nobody, request, fhir)
	for _, tt := range []struct {
		query Query
		want  string
	}{
		{Query{}, "m-1 m-2 m-3 m-4 m-5"},
		{Query{Sources: []string{"clinic-b", contract.NoSource}}, "m-2 m-3"},
		{Query{Settlements: []outbox.Settlement{outbox.Rejected, outbox.Expired}}, "m-1 m-4 m-5"},
		{Query{Sources: []string{"clinic-a"}, Settlements: []outbox.Settlement{outbox.Held}}, ""},
		{Query{IDs: []string{"m-4", "m-9", "m-1"}}, "m-1 m-4"},
		{Query{Since: buriedAt.Add(2 * time.Second), Until: buriedAt.Add(4 * time.Second)}, "m-2 m-3"},
		{Query{DataModels: []string{"Order"}}, "m-1 m-2 m-3"},
		{Query{EventTypes: []string{"Query"}, Sources: []string{"clinic-a"}}, "m-4"},
		{Query{DataModels: []string{"Order"}, EventTypes: []string{"Query"}}, ""},
	} {
		if got := g.ids(tt.query); got != tt.want {
			t.Errorf("%+v: %q, want %q", tt.query, got, tt.want)
		}
	}
	g.left(5)
	if n := g.Rig.Stream("REDOX_DLQ").State.Consumers; n != 0 {
		t.Errorf("%d consumers are left", n)
	}
}

func TestDeadLetters_ListShows(t *testing.T) {
	t.Parallel()
	g := newGraveyard(t)
	g.bury(goldenDeadLetter(), letter("m-2", 2))
	for _, models := range []bool{false, true} {
		var all []Stored
		for l, err := range g.List(g.Ctx(), Query{Models: models}) {
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, l)
		}
		want := goldenDeadLetter()
		want.Body = nil
		if diff := cmp.Diff(want, all[0].Letter); diff != "" {
			t.Errorf("(-want +got)\n%s", diff)
		}
		if all[0].DeadSequence != 1 || all[0].DeadSubject != want.Encode("").Subject || all[0].Stored.IsZero() || all[0].Size != 4 {
			t.Errorf("place: %+v", all[0])
		}
		if got := all[1].DataModel + "." + all[1].EventType; models != (got == "Order.New") || all[1].Size != len(letter("m-2", 2).Body) {
			t.Errorf("models %v: %q, %d bytes", models, got, all[1].Size)
		}
	}
}

// What is no dead letter is reported, and does not end the listing.
func TestDeadLetters_ListUnreadable(t *testing.T) {
	t.Parallel()
	g := newGraveyard(t)
	g.buryMany(1)
	g.MustPublish("redox.dlq.clinic-a.rejected.x")
	g.MustPublish("redox.dlq.what")
	g.bury(letter("last", 9))
	var got []string
	for l, err := range g.List(g.Ctx(), Query{}) {
		unreadable := (*UnreadableError)(nil)
		if err != nil && !errors.As(err, &unreadable) {
			t.Fatal(err)
		}
		if unreadable != nil {
			got = append(got, fmt.Sprint(unreadable.Sequence))
			continue
		}
		got = append(got, l.MessageID)
	}
	if want := "m-000 2 3 last"; strings.Join(got, " ") != want {
		t.Errorf("%v, want %s", got, want)
	}
	if s := g.selected(Query{}); s.Len() != 2 || s.Unreadable != 2 {
		t.Errorf("selected %d, %d unreadable", s.Len(), s.Unreadable)
	}
	if got, err := g.Get(g.Ctx(), "", "last"); err != nil || len(got) != 1 {
		t.Errorf("%d, %v", len(got), err)
	}
	if counts, unreadable, err := g.Counts(g.Ctx(), Query{}, Grouping{}); err != nil || unreadable != 2 || counts[0].Messages != 2 {
		t.Errorf("%+v, %d, %v", counts, unreadable, err)
	}
}

// The end is what was the end at the beginning, whatever comes and goes meanwhile.
func TestDeadLetters_ListEnds(t *testing.T) {
	t.Parallel()
	g := newGraveyard(t)
	g.buryMany(30)
	seen := 0
	for _, err := range g.List(g.Ctx(), Query{}) {
		if err != nil {
			t.Fatal(err)
		}
		if seen++; seen == 1 {
			g.bury(letter("later", 99))
			dead, err := g.deadStream(g.Ctx())
			g.Must(err)
			g.Must(dead.DeleteMsg(g.Ctx(), 30))
		}
	}
	if seen < 29 || seen > 30 { // 30 when the last one was on its way already
		t.Errorf("%d were listed, want 29 or 30", seen)
	}
	for range g.List(g.Ctx(), Query{}) {
		break
	}
	for _, err := range g.List(cancelled(), Query{}) {
		if err == nil {
			t.Error("a listing without a context yields a dead letter")
		}
	}
}

func TestDeadLetters_Refuses(t *testing.T) {
	t.Parallel()
	g := newGraveyard(t)
	for _, q := range []Query{
		{Sources: []string{"*"}}, {Settlements: []outbox.Settlement{">"}}, {Settlements: []outbox.Settlement{outbox.Delivered}},
		{Since: buriedAt, Until: buriedAt},
	} {
		for _, err := range g.List(g.Ctx(), q) {
			if err == nil {
				t.Errorf("%+v is listed", q)
			}
		}
		if _, err := g.Select(g.Ctx(), q); err == nil {
			t.Errorf("%+v is selected", q)
		}
	}
	for _, err := range g.Replay(g.Ctx(), Selection{}, ReplayOptions{AtOnce: 257}) {
		if err == nil {
			t.Error("257 at once")
		}
	}
	if _, err := New(nil, Config{}); err == nil {
		t.Error("no JetStream")
	}
	if _, err := New(g.JS, Config{Prefix: "A.b"}); err == nil {
		t.Error("bad prefix")
	}
}

// Who cannot read the event of a body is told so, rather than shown that nothing matches.
func TestDeadLetters_EventsNeedAReader(t *testing.T) {
	t.Parallel()
	g := newGraveyard(t)
	g.bury(letter("m-1", 1))
	blind, err := New(g.JS, Config{})
	g.Must(err)
	for _, q := range []Query{{Models: true}, {DataModels: []string{"Order"}}, {EventTypes: []string{"New"}}} {
		_, selected := blind.Select(g.Ctx(), q)
		_, paged := blind.Page(g.Ctx(), q, PageOptions{})
		_, _, counted := blind.Counts(g.Ctx(), q, Grouping{})
		for what, err := range map[string]error{"Select": selected, "Page": paged} {
			if err == nil || !strings.Contains(err.Error(), "set dlq.Config.ReadEvent") {
				t.Errorf("%s %+v: %v", what, q, err)
			}
		}
		if wants := !q.Models; wants != (counted != nil) { // counting does not ask for what it does not group by
			t.Errorf("Counts %+v: %v", q, counted)
		}
	}
	if s, err := g.Select(g.Ctx(), Query{DataModels: []string{"Order"}}); err != nil || s.Len() != 1 { // as the error says to
		t.Errorf("with a reader: %v, %v", s, err)
	}
	whole, err := blind.Get(g.Ctx(), "clinic-a", "m-1")
	if err != nil || len(whole) != 1 || len(whole[0].Body) == 0 || whole[0].DataModel != "" {
		t.Errorf("%+v, %v", whole, err)
	}
}

func TestDeadLetters_NotProvisioned(t *testing.T) {
	t.Parallel()
	r := outboxtest.New(t)
	d := lettersOf(r)
	if _, err := d.Select(r.Ctx(), Query{}); !errors.Is(err, outbox.ErrNoStream) || !strings.Contains(err.Error(), "redoxworker provision") {
		t.Errorf("%v", err)
	}
	if _, err := d.ledger(r.Ctx()); !errors.Is(err, outbox.ErrNoStream) {
		t.Errorf("%v", err)
	}
}

func TestDeadLetters_GetAndBody(t *testing.T) {
	t.Parallel()
	g := newGraveyard(t)
	claimed := letter("big", 3)
	claimed.Body = nil
	claimed.Header[contract.HeaderBodyObject] = []string{"clinic-a/o-1"}
	g.put("clinic-a/o-1", []byte(`{"Meta":{"DataModel":"Media","EventType":"New"}}`))
	g.bury(letter("twice", 1), letter("twice", 2), claimed)
	got, err := g.Get(g.Ctx(), "", "twice")
	if err != nil || len(got) != 2 || got[1].Sequence != 2 || got[1].DataModel != "Order" || !bytes.Equal(got[0].Body, letter("twice", 1).Body) {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := g.Get(g.Ctx(), "", "none"); !errors.Is(err, ErrNotFound) {
		t.Errorf("%v", err)
	}
	for l, err := range g.List(g.Ctx(), Query{Models: true}) {
		if err != nil {
			t.Fatal(err)
		}
		body, err := g.Body(g.Ctx(), l)
		if err != nil || len(body) == 0 {
			t.Errorf("%s: body %q, %v", l.MessageID, body, err)
		}
		if l.MessageID == "big" && (l.DataModel != "" || l.Object() != "clinic-a/o-1" || l.Size != 0) {
			t.Errorf("a body in the object store was read without need: %+v", l)
		}
	}
	wanted := []string{"none", "twice", "big"}
	if missing := g.selected(Query{IDs: wanted}).Missing(wanted); len(missing) != 1 || missing[0] != "none" {
		t.Errorf("missing %v", missing)
	}
	if ids := g.ids(Query{DataModels: []string{"Media"}}); ids != "big" {
		t.Errorf("%q", ids)
	}
	g.Must(g.bodies.Delete(g.Ctx(), "clinic-a/o-1"))
	if ids := g.ids(Query{EventTypes: []string{"New"}}); ids != "twice twice" {
		t.Errorf("with a body that is lost: %q", ids)
	}
}

func TestDeadLetters_Counts(t *testing.T) {
	t.Parallel()
	g := newGraveyard(t)
	held := letter("h", 9)
	held.Settlement, held.Error = outbox.Held, "the outcome is unknown"
	g.bury(held)
	g.buryMany(3)
	counts, _, err := g.Counts(g.Ctx(), Query{}, Grouping{})
	if err != nil {
		t.Fatal(err)
	}
	want := []Count{
		{Source: "clinic-a", Settlement: outbox.Rejected, Reason: "status 400", Messages: 3, Oldest: buriedAt.Add(time.Second), Newest: buriedAt.Add(3 * time.Second)},
		{Source: "clinic-a", Settlement: outbox.Held, Reason: "the outcome is unknown", Messages: 1, Oldest: held.At, Newest: held.At},
	}
	if diff := cmp.Diff(want, counts); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// Nothing of a body is in what is listed or in errors.
func TestDeadLetters_ShowNoBody(t *testing.T) {
	t.Parallel()
	g := newGraveyard(t)
	l := letter("m-1", 1)
	l.Body = []byte(`{"Meta":{"DataModel":"Order","EventType":"New"},"Patient":"SECRET-NAME"}`)
	bad := letter("m-2", 2)
	bad.Body, bad.Header = []byte(`SECRET-NAME`), nats.Header{contract.HeaderPath: {"/SECRET-NAME"}}
	g.bury(l, bad)
	var text strings.Builder
	for l, err := range g.List(g.Ctx(), Query{Models: true}) {
		fmt.Fprintf(&text, "%+v %v\n", l.Body, err)
	}
	for h, err := range g.Replay(g.Ctx(), g.selected(Query{}), ReplayOptions{}) {
		fmt.Fprintf(&text, "%+v %v\n", h, err)
	}
	if strings.Contains(text.String(), "SECRET") {
		t.Errorf("%s", text.String())
	}
}

// A dead letter is another's where it is older than the message; one that is gone, as
// replayed since, was this message's.
func TestDeadBefore(t *testing.T) {
	t.Parallel()
	g := newGraveyard(t)
	l := letter("m-1", 1)
	subject := l.Encode("").Subject
	look := func(at time.Time, want bool) {
		t.Helper()
		if got, err := StoredBefore(g.Ctx(), g.JS, "", subject, at); got != want || err != nil {
			t.Errorf("%v %v, want %v", got, err, want)
		}
	}
	look(time.Now(), false)
	g.bury(l)
	look(time.Now().Add(-time.Hour), false)
	look(time.Now().Add(time.Hour), true)
}
