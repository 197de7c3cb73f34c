package redox

import (
	"strings"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/worker/redox/internal/jsonscan"
)

// destination is who is behind Redox for a message, where its answer is theirs; "" where Redox
// answers by itself, and where what stands there is no name of a destination: it may be anything.
func (t *targets) destination(m *outbox.Message) string {
	switch m.Kind {
	case outbox.KindFHIR:
		if ref, err := t.belowFHIR(m.Path); err == nil {
			return slug(ref)
		}
	case outbox.KindDataModel, "":
		if m.Lane != contract.LaneRequest || len(m.Body) == 0 {
			return ""
		}
		e, err := readEnvelope(contract.WithoutMark(m.Body))
		if err != nil || e.destinations != 1 {
			return ""
		}
		if id := jsonscan.Unquote(e.destinationID); isUUID(id) {
			return strings.ToLower(id)
		}
	}
	return ""
}

// mostSlug is longer than any slug.
const mostSlug = 100

// slug is the destination that a FHIR path begins with: it is followed by an environment, and has
// nothing in it but lower-case letters, digits and dashes.
func slug(ref string) string {
	name, rest, _ := strings.Cut(resourcePath(ref), "/")
	environment, _, _ := strings.Cut(rest, "/")
	if len(name) > mostSlug || strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
		return ""
	}
	for _, known := range fhirEnvironments {
		if environment == known {
			return name
		}
	}
	return ""
}
