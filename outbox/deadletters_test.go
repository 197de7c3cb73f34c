package outbox

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
)

func TestDeadLetters_ListFilters(t *testing.T) {
	t.Parallel()
	g := newGraveyard(t)
	other, nobody, request := letter("m-2", 2), letter("m-3", 3), letter("m-4", 4)
	other.Source, other.Settlement = "clinic-b", Held
	nobody.Source, nobody.Settlement, nobody.Subject = "", Poison, "redox.out.x"
	request.Settlement, request.Body = Expired, []byte(`{"Meta":{"DataModel":"PatientSearch","EventType":"Query"}}`)
	fhir := letter("m-5", 5)
	fhir.Header[HeaderKind], fhir.Body = []string{"fhir"}, []byte(`not json`)
	g.bury(letter("m-1", 1), other, nobody, request, fhir)
	for _, tt := range []struct {
		query DeadQuery
		want  string
	}{
		{DeadQuery{}, "m-1 m-2 m-3 m-4 m-5"},
		{DeadQuery{Sources: []string{"clinic-b", NoSource}}, "m-2 m-3"},
		{DeadQuery{Settlements: []Settlement{Rejected, Expired}}, "m-1 m-4 m-5"},
		{DeadQuery{Sources: []string{"clinic-a"}, Settlements: []Settlement{Held}}, ""},
		{DeadQuery{IDs: []string{"m-4", "m-9", "m-1"}}, "m-1 m-4"},
		{DeadQuery{Since: buriedAt.Add(2 * time.Second), Until: buriedAt.Add(4 * time.Second)}, "m-2 m-3"},
		{DeadQuery{DataModels: []string{"Order"}}, "m-1 m-2 m-3"},
		{DeadQuery{EventTypes: []string{"Query"}, Sources: []string{"clinic-a"}}, "m-4"},
		{DeadQuery{DataModels: []string{"Order"}, EventTypes: []string{"Query"}}, ""},
	} {
		if got := g.ids(tt.query); got != tt.want {
			t.Errorf("%+v: %q, want %q", tt.query, got, tt.want)
		}
	}
	g.left(5)
	if n := g.topologyRig.stream("REDOX_DLQ").State.Consumers; n != 0 {
		t.Errorf("%d consumers are left", n)
	}
}

func TestDeadLetters_ListShows(t *testing.T) {
	t.Parallel()
	g := newGraveyard(t)
	g.bury(goldenDeadLetter(), letter("m-2", 2))
	for _, models := range []bool{false, true} {
		var all []StoredDeadLetter
		for l, err := range g.List(g.ctx(), DeadQuery{Models: models}) {
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, l)
		}
		want := goldenDeadLetter()
		want.Body = nil
		if diff := cmp.Diff(want, all[0].DeadLetter); diff != "" {
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
	g.mustPublish("redox.dlq.clinic-a.rejected.x")
	g.mustPublish("redox.dlq.what")
	g.bury(letter("last", 9))
	var got []string
	for l, err := range g.List(g.ctx(), DeadQuery{}) {
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
	if s := g.selected(DeadQuery{}); s.Len() != 2 || s.Unreadable != 2 {
		t.Errorf("selected %d, %d unreadable", s.Len(), s.Unreadable)
	}
	if got, err := g.Get(g.ctx(), "", "last"); err != nil || len(got) != 1 {
		t.Errorf("%d, %v", len(got), err)
	}
	if counts, unreadable, err := g.Counts(g.ctx(), DeadQuery{}); err != nil || unreadable != 2 || counts[0].Messages != 2 {
		t.Errorf("%+v, %d, %v", counts, unreadable, err)
	}
}

// The end is what was the end at the beginning, whatever comes and goes meanwhile.
func TestDeadLetters_ListEnds(t *testing.T) {
	t.Parallel()
	g := newGraveyard(t)
	g.buryMany(30)
	seen := 0
	for _, err := range g.List(g.ctx(), DeadQuery{}) {
		if err != nil {
			t.Fatal(err)
		}
		if seen++; seen == 1 {
			g.bury(letter("later", 99))
			dead, err := g.deadStream(g.ctx())
			must(g.topologyRig, err)
			must(g.topologyRig, dead.DeleteMsg(g.ctx(), 30))
		}
	}
	if seen < 29 || seen > 30 { // 30 when the last one was on its way already
		t.Errorf("%d were listed, want 29 or 30", seen)
	}
	for range g.List(g.ctx(), DeadQuery{}) {
		break
	}
	for _, err := range g.List(cancelled(), DeadQuery{}) {
		if err == nil {
			t.Error("a listing without a context yields a dead letter")
		}
	}
}

func TestDeadLetters_Refuses(t *testing.T) {
	t.Parallel()
	g := newGraveyard(t)
	for _, q := range []DeadQuery{
		{Sources: []string{"*"}}, {Settlements: []Settlement{">"}}, {Settlements: []Settlement{Delivered}},
		{Since: buriedAt, Until: buriedAt},
	} {
		for _, err := range g.List(g.ctx(), q) {
			if err == nil {
				t.Errorf("%+v is listed", q)
			}
		}
		if _, err := g.Select(g.ctx(), q); err == nil {
			t.Errorf("%+v is selected", q)
		}
	}
	for _, err := range g.Replay(g.ctx(), Selection{}, ReplayOptions{AtOnce: 257}) {
		if err == nil {
			t.Error("257 at once")
		}
	}
	if _, err := NewDeadLetters(nil, DeadLettersConfig{}); err == nil {
		t.Error("no JetStream")
	}
	if _, err := NewDeadLetters(g.topologyRig.js, DeadLettersConfig{Prefix: "A.b"}); err == nil {
		t.Error("bad prefix")
	}
}

func TestDeadLetters_NotProvisioned(t *testing.T) {
	t.Parallel()
	r := newTopologyRig(t)
	d := r.deadLetters()
	if _, err := d.Select(r.ctx(), DeadQuery{}); !errors.Is(err, ErrNoStream) || !strings.Contains(err.Error(), "redoxworker provision") {
		t.Errorf("%v", err)
	}
	if _, err := d.ledger(r.ctx()); !errors.Is(err, ErrNoStream) {
		t.Errorf("%v", err)
	}
}

func TestDeadLetters_GetAndBody(t *testing.T) {
	t.Parallel()
	g := newGraveyard(t)
	claimed := letter("big", 3)
	claimed.Body = nil
	claimed.Header[HeaderBodyObject] = []string{"clinic-a/o-1"}
	g.put(g.bodies, "clinic-a/o-1", []byte(`{"Meta":{"DataModel":"Media","EventType":"New"}}`))
	g.bury(letter("twice", 1), letter("twice", 2), claimed)
	got, err := g.Get(g.ctx(), "", "twice")
	if err != nil || len(got) != 2 || got[1].Sequence != 2 || got[1].DataModel != "Order" || !bytes.Equal(got[0].Body, letter("twice", 1).Body) {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := g.Get(g.ctx(), "", "none"); !errors.Is(err, ErrNoDeadLetter) {
		t.Errorf("%v", err)
	}
	for l, err := range g.List(g.ctx(), DeadQuery{Models: true}) {
		if err != nil {
			t.Fatal(err)
		}
		body, err := g.Body(g.ctx(), l)
		if err != nil || len(body) == 0 {
			t.Errorf("%s: body %q, %v", l.MessageID, body, err)
		}
		if l.MessageID == "big" && (l.DataModel != "" || l.Object() != "clinic-a/o-1" || l.Size != 0) {
			t.Errorf("a body in the object store was read without need: %+v", l)
		}
	}
	wanted := []string{"none", "twice", "big"}
	if missing := g.selected(DeadQuery{IDs: wanted}).Missing(wanted); len(missing) != 1 || missing[0] != "none" {
		t.Errorf("missing %v", missing)
	}
	if ids := g.ids(DeadQuery{DataModels: []string{"Media"}}); ids != "big" {
		t.Errorf("%q", ids)
	}
	must(g.topologyRig, g.bodies.Delete(g.ctx(), "clinic-a/o-1"))
	if ids := g.ids(DeadQuery{EventTypes: []string{"New"}}); ids != "twice twice" {
		t.Errorf("with a body that is lost: %q", ids)
	}
}

func TestDeadLetters_Counts(t *testing.T) {
	t.Parallel()
	g := newGraveyard(t)
	held := letter("h", 9)
	held.Settlement, held.Error = Held, "the outcome is unknown"
	g.bury(held)
	g.buryMany(3)
	counts, _, err := g.Counts(g.ctx(), DeadQuery{})
	if err != nil {
		t.Fatal(err)
	}
	want := []DeadCount{
		{Source: "clinic-a", Settlement: Rejected, Reason: "status 400", Messages: 3, Oldest: buriedAt.Add(time.Second), Newest: buriedAt.Add(3 * time.Second)},
		{Source: "clinic-a", Settlement: Held, Reason: "the outcome is unknown", Messages: 1, Oldest: held.At, Newest: held.At},
	}
	if diff := cmp.Diff(want, counts); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestReadModel(t *testing.T) {
	t.Parallel()
	deep := strings.Repeat(`{"a":[`, 20000)
	for body, want := range map[string]string{
		`{"Meta":{"DataModel":"Order","EventType":"New"}}`:                                                         "Order.New",
		`{"a":{"Meta":{"DataModel":"X"}},"b":[1,{"c":2}],"Meta":{"x":[{}],"EventType":"New","DataModel":"Order"}}`: "Order.New",
		`{"Meta":{"DataModel":"Clinical Summary","EventType":"PatientQuery"},broken`:                               "Clinical Summary.PatientQuery",
		`{"Meta":{"DataModel":"Order"`:                                                                             "Order.",
		`{"Meta":{"DataModel":"Order","DataModel":"Other","EventType":"New"}}`:                                     "Order.New",
		`{"Meta":{"DataModel":7,"EventType":null}}`:                                                                ".",
		`{"Meta":{"DataModel":"Timothy\nBixby","EventType":"` + strings.Repeat("x", 65) + `"}}`:                    "(not a word).(not a word)",
		`{"Meta":[],"DataModel":"Order"}`:                                                                          ".",
		``:                                                                                                         ".",
		"\ufeff" + `{"Meta":{"DataModel":"Order","EventType":"New"}}`:                                              "Order.New",
		`[]`:       ".",
		`"Meta"`:   ".",
		"\xff\xfe": ".",
		deep:       ".",
		`{"x":` + deep + `,"Meta":{"DataModel":"Order"}}`: ".",
	} {
		model, event := readModel([]byte(body))
		if got := model + "." + event; got != want {
			t.Errorf("%.60s: %q, want %q", body, got, want)
		}
	}
}

func FuzzReadModel(f *testing.F) {
	f.Add([]byte(`{"Meta":{"DataModel":"Order","EventType":"New"}}`))
	f.Add([]byte(`{"a":[{}],"Meta":{"DataModel":7`))
	f.Fuzz(func(t *testing.T, body []byte) {
		model, event := readModel(body)
		for _, s := range []string{model, event} {
			if s != SafeName(s) && s != NoName {
				t.Fatalf("%q", s)
			}
		}
	})
}

// Nothing of a body is in what is listed or in errors.
func TestDeadLetters_ShowNoBody(t *testing.T) {
	t.Parallel()
	g := newGraveyard(t)
	l := letter("m-1", 1)
	l.Body = []byte(`{"Meta":{"DataModel":"Order","EventType":"New"},"Patient":"SECRET-NAME"}`)
	bad := letter("m-2", 2)
	bad.Body, bad.Header = []byte(`SECRET-NAME`), nats.Header{HeaderPath: {"/SECRET-NAME"}}
	g.bury(l, bad)
	var text strings.Builder
	for l, err := range g.List(g.ctx(), DeadQuery{Models: true}) {
		fmt.Fprintf(&text, "%+v %v\n", l.Body, err)
	}
	for h, err := range g.Replay(g.ctx(), g.selected(DeadQuery{}), ReplayOptions{}) {
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
		if got, err := DeadBefore(g.ctx(), g.topologyRig.js, "", subject, at); got != want || err != nil {
			t.Errorf("%v %v, want %v", got, err, want)
		}
	}
	look(time.Now(), false)
	g.bury(l)
	look(time.Now().Add(-time.Hour), false)
	look(time.Now().Add(time.Hour), true)
}
