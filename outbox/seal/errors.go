package seal

import "errors"

var (
	// ErrAway is returned while the ring cannot be used: its file is missing or cannot be read.
	// It may be there again at any time, so nothing should be decided meanwhile.
	ErrAway = errors.New("the ring of keys is away")
	// ErrUnknownKey is returned when the ring has no key of the id in the envelope.
	ErrUnknownKey = errors.New("sealed with a key that the ring does not have")
	// ErrShredded is returned when the key was shredded: what it sealed cannot be read any more.
	ErrShredded = errors.New("sealed with a key that was shredded")
	// ErrAltered is returned when what is sealed does not fit its key or the message that it
	// is part of: it was altered, damaged, or belongs to another message.
	ErrAltered = errors.New("sealed content is altered, or belongs to another message")
	// ErrNoKey is returned when the ring has no key that may seal yet.
	ErrNoKey = errors.New("the ring has no key that seals")
)

// Decided reports whether an error is one that no repeat mends: the key is unknown or shredded, or
// the content altered.
func Decided(err error) bool {
	return errors.Is(err, ErrUnknownKey) || errors.Is(err, ErrShredded) || errors.Is(err, ErrAltered)
}
