package dlq

import (
	"fmt"
	"strings"
	"testing"

	"github.com/redoxworker/redoxworker/outbox"
)

// Where a client has put the id of a patient into a subject, token or kind, it is not printed.
func TestShown_NoPatientInSubjectTokenAndKind(t *testing.T) {
	t.Parallel()
	const patient = "MRN-4711"
	for _, x := range []any{
		outbox.Stored{Subject: "redox.out.clinic-a.send." + patient},
		Letter{Subject: "redox.out.clinic-a.send." + patient + ".more"},
		Letter{Subject: "redox.out.clinic-a." + patient},
		outbox.Message{OrderToken: patient, Kind: outbox.Kind(patient)},
	} {
		if text := fmt.Sprintf("%+v", x); strings.Contains(text, patient) {
			t.Errorf("%T: %s", x, text)
		}
	}
	token := strings.Repeat("a1", 16)
	for _, subject := range []string{"redox.out.clinic-a.send." + token, "redox.out.clinic-a.send", "redox.out.clinic-a.request", "redox.dlq.clinic-a.held." + token, "redox.out", ""} {
		if got := outbox.SafeSubject(subject); got != subject {
			t.Errorf("%s is shown as %s", subject, got)
		}
	}
}
