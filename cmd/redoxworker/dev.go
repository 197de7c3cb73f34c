package main

import (
	"context"
	"errors"
)

type devCommand struct{}

// Run is a placeholder until this subcommand's author replaces this file.
func (devCommand) Run(_ context.Context, _ *app) error { return errors.New("placeholder") }
