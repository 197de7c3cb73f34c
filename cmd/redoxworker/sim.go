package main

import (
	"context"
	"errors"
)

type simCommand struct{}

// Run is a placeholder until this subcommand's author replaces this file.
func (simCommand) Run(_ context.Context, _ *app) error { return errors.New("placeholder") }
