package main

import (
	"context"
	"errors"
)

type demoCommand struct{}

// Run is a placeholder until this subcommand's author replaces this file.
func (demoCommand) Run(_ context.Context, _ *app) error { return errors.New("placeholder") }
