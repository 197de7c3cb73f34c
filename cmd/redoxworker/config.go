package main

import (
	"context"

	"github.com/redoxworker/redoxworker/config"
)

// configCommand shows the configuration.
type configCommand struct {
	Print  configPrintCommand  `cmd:"" help:"Print the effective settings, defaults included, secrets redacted."`
	Schema configSchemaCommand `cmd:"" help:"Print the JSON Schema of the file, for editors and CI."`
}

type configPrintCommand struct{}

// Run prints what run would work with. It demands what run demands.
func (configPrintCommand) Run(_ context.Context, a *app) error {
	c, err := a.load(0)
	if err != nil {
		return err
	}
	text := c.YAML()
	if a.globals.JSON {
		text = c.JSON()
	}
	return a.write(text)
}

type configSchemaCommand struct{}

// Run prints the schema, which depends on no file.
func (configSchemaCommand) Run(_ context.Context, a *app) error { return a.write(config.Schema()) }

// write prints a text that ends in one line end, whatever it had.
func (a *app) write(text []byte) error {
	if n := len(text); n == 0 || text[n-1] != '\n' {
		text = append(text[:n:n], '\n')
	}
	_, err := a.stdout.Write(text)
	return err
}
