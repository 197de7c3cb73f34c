package auth

import (
	"errors"
	"fmt"
)

// A transport may keep a request for a token from being made, such as one that waits for its
// part of a limit. Its error says so by a method NotAsked() bool: then neither the endpoint
// nor the key is to blame.

// unasked returns the part of an error that says that no token was asked for; nil when one
// was.
func unasked(err error) error {
	var e interface {
		error
		NotAsked() bool
	}
	if errors.As(err, &e) && e.NotAsked() {
		return e
	}
	return nil
}

// unaskedError is such an error without the endpoint's name.
func unaskedError(err error) error {
	return fmt.Errorf("auth: no token was asked for: %w", err)
}
