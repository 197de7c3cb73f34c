package contract

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
