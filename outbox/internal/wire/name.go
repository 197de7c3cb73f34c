package wire

import (
	"strings"
	"time"
)

// IsName reports whether s is made of a-z, 0-9 and -, and has 1 to limit of them.
func IsName(s string, limit int) bool {
	if s == "" || len(s) > limit {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return false
		}
	}
	return true
}

// IsOrderToken reports whether s is 32 lower-case hex digits.
func IsOrderToken(s string) bool {
	if len(s) != TokenDigits {
		return false
	}
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

// SubjectFault says what keeps s from being a literal NATS subject of visible ASCII; "" when it
// is one.
func SubjectFault(s string) string {
	switch {
	case s == "":
		return "is empty"
	case len(s) > MaxSubject:
		return TooLong(MaxSubject)
	case !Visible(s):
		return "holds a space or a character outside visible ASCII"
	case strings.ContainsAny(s, "*>"):
		return "holds a wildcard"
	case s[0] == '.' || s[len(s)-1] == '.' || strings.Contains(s, ".."):
		return "has an empty token"
	}
	return ""
}

// Untimed is an id without the time that a dead letter has behind it where two messages have the id, and whether
// there was one.
func Untimed(id string) (first string, timed bool) {
	if at := strings.LastIndexByte(id, '@'); at > 0 {
		if _, err := time.Parse(time.RFC3339Nano, id[at+1:]); err == nil {
			return id[:at], true
		}
	}
	return id, false
}
