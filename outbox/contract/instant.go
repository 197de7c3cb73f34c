package contract

import (
	"strings"
	"time"
)

// ParseInstant reads an instant as [HeaderDeadline] has it: RFC 3339, in which t and z may
// be lower-case (section 5.6). The error is a *[Error].
func ParseInstant(s string) (time.Time, error) {
	t, err := time.Parse(time.RFC3339, strings.ToUpper(s))
	if err != nil || t.IsZero() {
		return time.Time{}, &Error{Part: HeaderDeadline, Reason: "is not an RFC 3339 instant"}
	}
	return t, nil
}
