package main

import (
	"context"
	"errors"
)

type keysCommand struct{}

// Run is a placeholder until this subcommand's author replaces this file.
func (keysCommand) Run(_ context.Context, _ *app) error { return errors.New("placeholder") }
