package main

import (
	"context"
	"errors"
)

type configCommand struct{}

// Run is a placeholder until this subcommand's author replaces this file.
func (configCommand) Run(_ context.Context, _ *app) error { return errors.New("placeholder") }
