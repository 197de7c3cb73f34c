package redox

import (
	"fmt"
	"strings"
	"testing"
)

type saidByTransport string

func (s saidByTransport) Error() string { return string(s) }

func TestError_PrintsNothingOfWhatTheTransportSaid(t *testing.T) {
	t.Parallel()
	err := &Error{class: ClassNotSent, detail: "not sent", hidden: saidByTransport("Get https://x/Patient?name=SECRET")}
	for _, v := range []any{err, fmt.Errorf("it failed: %w", err), []error{err}, struct{ Err error }{err}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
			if text := fmt.Sprintf(verb, v); strings.Contains(text, "SECRET") || strings.Contains(text, "534543524554") {
				t.Errorf("%s: %s", verb, text)
			}
		}
	}
}
