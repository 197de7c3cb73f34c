package main

import (
	"bytes"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/worker/redox"
)

// severalLines reports whether each line of a body that is no JSON is a message by itself, as
// far as its first two tell.
func severalLines(body []byte) bool {
	first, rest, _ := bytes.Cut(bytes.TrimSpace(body), []byte("\n"))
	second, _, _ := bytes.Cut(bytes.TrimSpace(rest), []byte("\n"))
	return redox.CheckBody(outbox.Message{Body: first}) == nil && redox.CheckBody(outbox.Message{Body: second}) == nil
}
