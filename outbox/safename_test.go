package outbox

import (
	"strings"
	"testing"
)

func TestSafeName(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"": "", "Order": "Order", "PatientAdmin": "PatientAdmin", "Clinical Summary": "Clinical Summary", "SSO": "SSO",
		"AvailableSlotsResponse": "AvailableSlotsResponse", strings.Repeat("x", 40): strings.Repeat("x", 40),
		"7843627": NoName, "MRN7843627": NoName, "1985-03-12": NoName, "Order-7843627": NoName, "Order_New": NoName,
		" ": NoName, " Order": NoName, "Order ": NoName, "Clinical  Summary": NoName, "Order\nNew": NoName,
		"Bixby, Timothy": NoName, "Ördér": NoName, "Order\u00a0New": NoName, "\x1b[2J": NoName, "@Order": NoName, "[Order]": NoName,
		strings.Repeat("x", 41): NoName, NoName: NoName,
	} {
		if got := SafeName(name); got != want {
			t.Errorf("%q is shown as %q, want %q", name, got, want)
		}
	}
}

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
	for l, err := range g.List(g.ctx(), DeadQuery{Models: true}) {
		if must(g.topologyRig, err); strings.Contains(l.DataModel+l.EventType, "7843627") {
			t.Errorf("%s: %q %q", l.MessageID, l.DataModel, l.EventType)
		}
	}
	for want, q := range map[string]DeadQuery{
		"number":      {DataModels: []string{NoName}},
		"event":       {EventTypes: []string{NoName}},
		"":            {DataModels: []string{"MRN7843627"}},
		"event named": {DataModels: []string{"Order"}},
		"named":       {DataModels: []string{"Order"}, EventTypes: []string{"New"}},
	} {
		if got := g.ids(q); got != want {
			t.Errorf("%+v: %q, want %q", q, got, want)
		}
	}
}
