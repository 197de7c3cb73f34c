package redox

import (
	"strings"
	"testing"

	"github.com/redoxworker/redoxworker/outbox/contract"
)

// The charset of an answer is read by its label and its mark, and the body stays as it is.
func TestDeliver_AnswersInOtherCharsets(t *testing.T) {
	t.Parallel()
	wide := "\xff\xfe" + strings.Join(strings.Split(accepted, ""), "\x00") + "\x00"
	for _, tt := range []struct{ contentType, body string }{
		{"application/json", "\ufeff" + accepted},
		{"application/json; charset=utf-16", wide},
		{"application/json; charset=utf-16le", wide[2:]},
		{"application/json; charset=iso-8859-1", strings.Replace(accepted, `{"Meta"`, "{\"a\":\"M\xfcller\",\"Meta\"", 1)},
	} {
		far := serve(t, respond(200, tt.body, "Content-Type", tt.contentType))
		a, err := client(t, far.URL, &keyring{}).Deliver(t.Context(), message(contract.LaneRequest, event))
		if err != nil || a.Flag != "" || len(a.LogIDs) != 1 || string(a.Body) != tt.body {
			t.Errorf("%s: flag %q, %v, %v", tt.contentType, a.Flag, a.LogIDs, err)
		}
	}
}
