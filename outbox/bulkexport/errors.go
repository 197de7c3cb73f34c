package bulkexport

import (
	"errors"
	"fmt"

	"github.com/redoxworker/redoxworker/outbox"
)

var (
	// ErrOther is returned when the store holds another export: another source, path or
	// parameters. Use a store of its own.
	ErrOther = errors.New("the store holds another export")
	// ErrUnknown is returned when the request that begins the export was sent and no answer told
	// whether it was taken: the server may run one of which nobody knows the address. A new one
	// needs a store of its own.
	ErrUnknown = errors.New("the request that begins the export was sent, and no answer came: the server may run it or not; begin another in an empty place")
	// ErrGone is returned when the server does not know the export, or one of its files, any
	// more. A new one needs a store of its own.
	ErrGone = errors.New("the server does not have it any more: it has expired or was cancelled; begin another in an empty place")
	// ErrCancelled is returned for an export that [Export.Cancel] has ended.
	ErrCancelled = errors.New("the export was cancelled; begin another in an empty place")
	// ErrNotBegun is returned by Cancel when there is nothing to cancel.
	ErrNotBegun = errors.New("no export of this kind was begun here")
)

// refused is the error of a REQUEST that came to an end without the answer that was asked for. Its
// text is safe: that of the reply is.
func refused(what string, r outbox.Reply) error {
	text := fmt.Sprintf("bulkexport: %s: %s", what, r.Settlement)
	if r.Status != 0 {
		text += fmt.Sprintf(", status %d", r.Status)
	}
	if r.Error != "" {
		text += ": " + r.Error
	}
	return errors.New(text)
}

// passing is an error that may go away by itself.
type passing struct{ error }

// Unwrap serves errors.Is and errors.As.
func (p passing) Unwrap() error { return p.error }
