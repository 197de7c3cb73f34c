package wire

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/nats-io/nats.go"
)

// First is the first value of a header, "" when there is none.
func First(h nats.Header, name string) string {
	if v := h[name]; len(v) > 0 {
		return v[0]
	}
	return ""
}

// Count reads a header that is a decimal from 0 to limit; absent is 0.
func Count(h nats.Header, name string, limit int) (int, error) {
	s := First(h, name)
	if s == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 0 || n > limit {
		return 0, fmt.Errorf("outbox: header %s is not a number from 0 to %d", name, limit)
	}
	return n, nil
}

// HasPrefixFold is [strings.HasPrefix] without regard to case.
func HasPrefixFold(s, prefix string) bool {
	return len(s) >= len(prefix) && strings.EqualFold(s[:len(prefix)], prefix)
}

// Size is what the server counts against max_payload: the header block and
// the body (NATS client protocol, HPUB).
func Size(msg *nats.Msg) int64 {
	n := len(msg.Data)
	if len(msg.Header) > 0 {
		n += len("NATS/1.0\r\n") + len("\r\n")
	}
	for name, values := range msg.Header {
		for _, v := range values {
			n += len(name) + len(": ") + len(v) + len("\r\n")
		}
	}
	return int64(n)
}

// TooLong says that a value is longer than a limit, in bytes.
func TooLong(limit int) string { return fmt.Sprintf("is longer than %d bytes", limit) }
