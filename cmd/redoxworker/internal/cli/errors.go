package cli

import (
	"errors"
	"fmt"
)

// UsageError is a mistake in what the user typed or configured: exit code 2.
type UsageError struct{ error }

// Unwrap serves errors.Is and errors.As.
func (e UsageError) Unwrap() error { return e.error }

// Usagef makes a UsageError; it takes %w.
func Usagef(format string, args ...any) error { return UsageError{fmt.Errorf(format, args...)} }

// ErrReported ends a command with exit code 1 when it has said why already.
var ErrReported = errors.New("reported")

// ErrDrift ends a command with exit code 3.
var ErrDrift = errors.New("drift")

// ErrUnhealthy ends status --exit-code with exit code 3 when something is wrong.
var ErrUnhealthy = errors.New("unhealthy")

// ErrLocked is returned by LockFile when another process has the file.
var ErrLocked = errors.New("locked by another process")
