// Package asyncapi has the wire contract as an AsyncAPI 3 document, for tools that make documents, clients
// or mocks of it. It is the same as CONTRACT.md of package outbox, and compared with the code.
package asyncapi

import (
	_ "embed"
	"regexp"

	"github.com/redoxworker/redoxworker/outbox/contract"
)

//go:embed asyncapi.yaml
var document string

// What a prefix changes: the first token of a subject, and the names of streams and buckets.
var (
	subjects = regexp.MustCompile(`\bredox\.(out|gateway|reply|dlq|wake|turn|audit|event|reconcile|worker)\b`)
	streams  = regexp.MustCompile(`\bREDOX_(OUT|DLQ|REPLIES|BODIES)\b`)
)

// Document returns the document as YAML, with the subjects and streams of a prefix.
func Document(p contract.Prefix) []byte {
	text := subjects.ReplaceAllString(document, p.String()+".$1")
	return []byte(streams.ReplaceAllStringFunc(text, func(name string) string {
		switch name {
		case contract.Prefix("").OutStream():
			return p.OutStream()
		case contract.Prefix("").DeadStream():
			return p.DeadStream()
		case contract.Prefix("").ReplyStream():
			return p.ReplyStream()
		}
		return p.BodyBucket()
	}))
}
