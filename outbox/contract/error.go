package contract

// Error says which part of a message breaks the wire contract. It
// never holds the value of that part.
type Error struct {
	Part   string // header name, "subject", "body" or a field's name
	Reason string
}

// Error names the part and what is wrong with it.
func (e *Error) Error() string { return "outbox: " + e.SafeError() }

// SafeError is the text for replies and dead letters.
func (e *Error) SafeError() string { return "contract: " + e.Part + " " + e.Reason }

// Poison returns true: such a message can never be delivered.
func (e *Error) Poison() bool { return true }
