package dlq

import (
	"strings"
	"testing"

	"github.com/redoxworker/redoxworker/outbox/contract"
)

// A patient's number in the place of a name is nowhere in what is listed, and such dead
// letters can still be selected.
func TestDeadLetters_NamesThatAreNoWordsAreNotShown(t *testing.T) {
	t.Parallel()
	g := newGraveyard(t)
	named := letter("named", 1)
	for i, meta := range []string{`"DataModel":"MRN7843627","EventType":"New"`, `"DataModel":"Order","EventType":"7843627"`} {
		l := letter([]string{"number", "event"}[i], uint64(i+2))
		l.Body = []byte(`{"Meta":{` + meta + `}}`)
		g.bury(l)
	}
	g.bury(named)
	for l, err := range g.List(g.Ctx(), Query{Models: true}) {
		if g.Must(err); strings.Contains(l.DataModel+l.EventType, "7843627") {
			t.Errorf("%s: %q %q", l.MessageID, l.DataModel, l.EventType)
		}
	}
	for want, q := range map[string]Query{
		"number":      {DataModels: []string{contract.NoName}},
		"event":       {EventTypes: []string{contract.NoName}},
		"":            {DataModels: []string{"MRN7843627"}},
		"event named": {DataModels: []string{"Order"}},
		"named":       {DataModels: []string{"Order"}, EventTypes: []string{"New"}},
	} {
		if got := g.ids(q); got != want {
			t.Errorf("%+v: %q, want %q", q, got, want)
		}
	}
}
