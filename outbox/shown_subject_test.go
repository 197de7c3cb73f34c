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
		DeadLetter{Subject: "redox.out.clinic-a." + patient},
		Message{OrderToken: patient, Kind: Kind(patient)},
	} {
		if text := fmt.Sprintf("%+v", x); strings.Contains(text, patient) {
			t.Errorf("%T: %s", x, text)
		}
	}
	token := strings.Repeat("a1", 16)
	for _, subject := range []string{"redox.out.clinic-a.send." + token, "redox.out.clinic-a.send", "redox.out.clinic-a.request", "redox.dlq.clinic-a.held." + token, "redox.out", ""} {
		if got := SafeSubject(subject); got != subject {
			t.Errorf("%s is shown as %s", subject, got)
		}
	}
}
