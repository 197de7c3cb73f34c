// Package httpanswer reads the labels of HTTP answers, as far as net/http leaves that to
// its callers: Content-Encoding, charset and byte order mark, Retry-After, Date. The clients
// of token endpoints and of Redox read them by it, so that one label means one thing.
package httpanswer

import (
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Date is when an answer was made, by the clock of the other side; the zero time when it
// does not say, or comes out of a cache: then its Date is that of another moment.
func Date(h http.Header) time.Time {
	at, err := http.ParseTime(h.Get("Date"))
	if age := h.Get("Age"); err != nil || age != "" && age != "0" {
		return time.Time{}
	}
	return at
}

// RetryAfter reads the header of that name (RFC 9110, 10.2.3): seconds, with decimals as
// some gateways write them, or a date in one of HTTP's three forms, which counts from the
// answer's own Date, and from now where there is none. Anything else, and a date that has
// passed, is 0; more than longest, also by any number of digits, is longest.
func RetryAfter(h http.Header, now time.Time, longest time.Duration) time.Duration {
	value := strings.TrimSpace(h.Get("Retry-After"))
	if value == "" {
		return 0
	}
	if isDecimal(value) {
		seconds, err := strconv.ParseFloat(value, 64)
		if err != nil || seconds >= longest.Seconds() || math.IsInf(seconds, 0) {
			return longest
		}
		return time.Duration(seconds * float64(time.Second))
	}
	at, err := http.ParseTime(value)
	if err != nil {
		return 0
	}
	if made := Date(h); !made.IsZero() {
		now = made
	}
	return min(max(0, at.Sub(now)), longest)
}

// isDecimal reports whether s is made of digits, with a point between two of them or
// without.
func isDecimal(s string) bool {
	whole, part, pointed := strings.Cut(s, ".")
	return isDigits(whole) && (!pointed || isDigits(part))
}

func isDigits(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == ""
}
