package main

import (
	"context"

	"github.com/redoxworker/redoxworker/cmd/redoxworker/internal/cli"
	"github.com/redoxworker/redoxworker/config"
)

// configCommand shows the configuration.
type configCommand struct {
	Print  configPrintCommand  `cmd:"" help:"Print the effective settings, defaults included, secrets redacted."`
	Schema configSchemaCommand `cmd:"" help:"Print the JSON Schema of the file, for editors and CI."`
}

type configPrintCommand struct{}

// Run prints what run would work with. It demands what run demands.
func (configPrintCommand) Run(_ context.Context, a *cli.App) error {
	c, err := a.Load(0)
	if err != nil {
		return err
	}
	text := c.YAML()
	if a.Globals.JSON {
		text = c.JSON()
	}
	return a.PrintText(text)
}

type configSchemaCommand struct{}

// Run prints the schema, which depends on no file.
func (configSchemaCommand) Run(_ context.Context, a *cli.App) error {
	return a.PrintText(config.Schema())
}
