package contract

// Lane is the way a message takes through the queue: it decides the stored
// subject and therefore the consumer.
type Lane string

const (
	// LaneSend holds SENDs whose order does not matter. It is the default.
	LaneSend Lane = "send"
	// LaneOrdered holds SENDs that stay in the order of their order token.
	LaneOrdered Lane = "ordered"
	// LaneRequest holds REQUESTs: queries that Redox answers in the HTTP response.
	LaneRequest Lane = "request"
)
