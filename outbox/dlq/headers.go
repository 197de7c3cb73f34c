package dlq

// Headers that a dead letter adds to the original ones.
const (
	// HeaderDeadSettlement is the decision; see [outbox.Settlement].
	HeaderDeadSettlement = "Redox-Dead-Settlement"
	// HeaderDeadError is one safe line.
	HeaderDeadError = "Redox-Dead-Error"
	// HeaderDeadStatus is the HTTP status of the last answer; absent if none came.
	HeaderDeadStatus = "Redox-Dead-Status"
	// HeaderDeadAttempts is the number of attempts made.
	HeaderDeadAttempts = "Redox-Dead-Attempts"
	// HeaderDeadAt is the RFC 3339 instant of the decision.
	HeaderDeadAt = "Redox-Dead-At"
	// HeaderDeadSubject is the stored subject of the message in the work queue.
	HeaderDeadSubject = "Redox-Dead-Subject"
	// HeaderDeadSequence is its sequence in the work queue.
	HeaderDeadSequence = "Redox-Dead-Sequence"
	// HeaderDeadWorker names the worker that settled it.
	HeaderDeadWorker = "Redox-Dead-Worker"
	// HeaderDeadBehind is the position of the message before this one in the order of its
	// token, with order.after_dead_letter hold; absent on the first that is held.
	HeaderDeadBehind = "Redox-Dead-Behind"
)
