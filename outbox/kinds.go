package outbox

// Kind is the Redox API that a message is for.
type Kind string

const (
	// KindDataModel is the Redox Data Model API (JSON to /endpoint). It is the default.
	KindDataModel Kind = "data-model"
	// KindFHIR is the FHIR API; method and path are part of the message.
	KindFHIR Kind = "fhir"
	// KindFile is a file upload to the blob host.
	KindFile Kind = "file"
	// KindPlatform is the Platform API; method and path are part of the message.
	KindPlatform Kind = "platform"
)

func (k Kind) valid() bool {
	switch k {
	case KindDataModel, KindFHIR, KindFile, KindPlatform:
		return true
	}
	return false
}

// routed reports whether messages of this kind carry a method and a path.
func (k Kind) routed() bool { return k == KindFHIR || k == KindPlatform }

// Settlement is the one final decision on a message.
type Settlement string

const (
	// Delivered: Redox took it.
	Delivered Settlement = "delivered"
	// Rejected: Redox, or a guard on the content, refused it for good.
	Rejected Settlement = "rejected"
	// Expired: its deadline or the longest age passed first.
	Expired Settlement = "expired"
	// Exhausted: the allowed number of attempts was used up.
	Exhausted Settlement = "exhausted"
	// Held: the outcome is unknown or a predecessor failed; a person must decide.
	Held Settlement = "held"
	// Poison: it breaks the contract, or it kills the workers that take it.
	Poison Settlement = "poison"
)

// Valid reports whether s is one of the six settlements.
func (s Settlement) Valid() bool {
	switch s {
	case Delivered, Rejected, Expired, Exhausted, Held, Poison:
		return true
	}
	return false
}
