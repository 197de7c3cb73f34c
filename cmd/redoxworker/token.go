package main

import (
	"context"
	"errors"
)

type tokenCommand struct{}

// Run is a placeholder until this subcommand's author replaces this file.
func (tokenCommand) Run(_ context.Context, _ *app) error { return errors.New("placeholder") }
