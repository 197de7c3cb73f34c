package main

import (
	"context"
	"errors"
)

type sendCommand struct{}

// Run is a placeholder until this subcommand's author replaces this file.
func (sendCommand) Run(_ context.Context, _ *app) error { return errors.New("placeholder") }
