package main

import (
	"context"
	"errors"
)

type requestCommand struct{}

// Run is a placeholder until this subcommand's author replaces this file.
func (requestCommand) Run(_ context.Context, _ *app) error { return errors.New("placeholder") }
