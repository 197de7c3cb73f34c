package outbox

import (
	"fmt"
	"strings"
	"testing"
)

// Where a client has put the id of a patient into a subject, token or kind, it is not printed.
func TestShown_NoPatientInSubjectTokenAndKind(t *testing.T) {
	t.Parallel()
	const patient = "MRN-4711"
	for _, x := range []any{
		Stored{Subject: "redox.out.clinic-a.send." + patient},
		DeadLetter{Subject: "redox.out.clinic-a.send." + patient + ".more"},
		Message{OrderToken: patient, Kind: Kind(patient)},
	} {
		if text := fmt.Sprintf("%+v", x); strings.Contains(text, patient) {
			t.Errorf("%T: %s", x, text)
		}
	}
	token := strings.Repeat("a1", 16)
	if got := shownSubject("redox.out.clinic-a.send." + token); got != "redox.out.clinic-a.send."+token {
		t.Error(got)
	}
}
