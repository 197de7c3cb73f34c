package contract

// Headers of the contract, see CONTRACT.md. NATS headers are case-sensitive: a client must send
// them exactly so. A header that begins with redox- in any case and is none of these makes the
// message poison. So does Nats-Msg-Id in another case.
const (
	// HeaderID is the id by which the stream recognises a repeat (see outbox.Receipt), across all
	// sources. A publisher and a gateway make it from source and message id, with the order secret
	// where there is one, so that no source suppresses the messages of another. A client that
	// publishes to the queue itself chooses it. It is the message id too, unless there is a
	// [HeaderMessageID]. The same holds for callers of the gateway.
	HeaderID = "Nats-Msg-Id"
	// HeaderKind names the Redox API; see outbox.Kind. Default data-model.
	HeaderKind = "Redox-Kind"
	// HeaderMethod is the HTTP method of a fhir or platform message.
	HeaderMethod = "Redox-Method"
	// HeaderPath is the path below the kind's base path, with its query string; of kind fhir also a
	// link of an answer, an absolute URL.
	HeaderPath = "Redox-Path"
	// HeaderContentType is the media type of the body. Default JSON.
	HeaderContentType = "Content-Type"
	// HeaderAccept is the media type the answer should have. Default JSON.
	HeaderAccept = "Accept"
	// HeaderReplyTo is the subject the reply goes to. JetStream does not store
	// a message's own reply subject, therefore a header.
	HeaderReplyTo = "Redox-Reply-To"
	// HeaderOrderToken is the order token for callers of the gateway that make it themselves. On
	// a message that is published to the queue the subject has it, and the header may repeat it;
	// without one in the subject it is poison: nobody would keep the order that it asks for.
	HeaderOrderToken = "Redox-Order-Token"
	// HeaderOrderKey is for the gateway only, which makes the token and never
	// stores the key. On a message that is published to a subject of the work queue it is
	// poison.
	HeaderOrderKey = "Redox-Order-Key"
	// HeaderDeadline is an RFC 3339 instant after which nothing is sent.
	HeaderDeadline = "Redox-Deadline"
	// HeaderBodyObject is the claim check: an object's name in REDOX_BODIES.
	HeaderBodyObject = "Redox-Body-Object"
	// HeaderSeal is the envelope of a sealed message or reply; see package seal.
	HeaderSeal = "Redox-Seal"
	// HeaderSealed holds the sealed headers of a message or reply, encrypted.
	HeaderSealed = "Redox-Sealed"
	// HeaderTraceParent and HeaderTraceState carry the W3C trace context.
	HeaderTraceParent = "traceparent"
	// HeaderTraceState belongs to HeaderTraceParent.
	HeaderTraceState = "tracestate"
	// HeaderReplayOf is the id of the message that is sent again: the first one, also
	// where a replay is replayed. The reply has it too.
	HeaderReplayOf = "Redox-Replay-Of"
	// HeaderReplayCount is the number of this replay, from 1.
	HeaderReplayCount = "Redox-Replay-Count"
	// HeaderEdited is how often an operator has replaced the body of the message. A replay sets it,
	// for operators alone.
	HeaderEdited = "Redox-Edited"
	// HeaderOrderPosition is set by a replay: the sequence under which the message was
	// stored the first time, in an ordered lane its place in the order of its token.
	HeaderOrderPosition = "Redox-Order-Position"
	// HeaderOrderBehind is set by a replay: the Redox-Dead-Behind of its dead letter.
	HeaderOrderBehind = "Redox-Order-Behind"
	// HeaderMoved is set where an operator moves a message to another subject of the queue: 32 hex
	// digits that tell the place from which it was moved from any other, so that it is moved once.
	HeaderMoved = "Redox-Moved"
)

// Headers of a reply; HeaderContentType, HeaderBodyObject and the trace
// headers appear in it too.
const (
	// HeaderMessageID is the message id, unique within its source: of the message that is
	// published, answered or dead.
	HeaderMessageID = "Redox-Message-Id"
	// HeaderSettlement is the decision; see outbox.Settlement.
	HeaderSettlement = "Redox-Settlement"
	// HeaderStatus is the HTTP status of the last answer; absent if none came.
	HeaderStatus = "Redox-Status"
	// HeaderAttempts is the number of attempts made.
	HeaderAttempts = "Redox-Attempts"
	// HeaderLogIDs is the comma list of Meta.Logs[].ID of the answer.
	HeaderLogIDs = "Redox-Log-Ids"
	// HeaderError is one safe line.
	HeaderError = "Redox-Error"
	// HeaderPossibleDuplicate is "true" when an attempt had an unknown outcome: Redox may have the
	// message more than once, or may have it although it is not reported as delivered. On a message
	// it says that its publisher may have published it before.
	HeaderPossibleDuplicate = "Redox-Possible-Duplicate"
)

const (
	// RequestHeaderPrefix begins a header of a message that goes to Redox as an HTTP header:
	// Redox-Header-Prefer as Prefer. Behind the prefix the case of letters makes no difference.
	RequestHeaderPrefix = "Redox-Header-"
	// AnswerHeaderPrefix begins a header of a reply that tells an HTTP header of the answer:
	// Redox-Answer-Location.
	AnswerHeaderPrefix = "Redox-Answer-"
)
