// Package wire has the rules of single values on the wire: which characters a name, an id and a
// subject may have and how long they may be, how a header is read, and how a text that comes
// from elsewhere is made safe to show.
package wire

// Limits, in bytes where they are of a text.
const (
	// MaxSource is that of the name of a source.
	MaxSource = 64
	// MaxID is that of a message id that is read; one that is published is shorter.
	MaxID = 256
	// MaxDedupID is that of a Nats-Msg-Id beside a message id of its own.
	MaxDedupID = 512
	// MaxSubject is that of a subject.
	MaxSubject = 512
	// MaxPath is that of a path with its query string.
	MaxPath = 8192
	// MaxLine is that of a safe text.
	MaxLine = 512
	// MaxReplays is the highest number of a replay.
	MaxReplays = 1_000_000
	// MinSecret is the least length of a secret.
	MinSecret = 16
	// TokenDigits is the length of an order token.
	TokenDigits = 32
)
