package main

import (
	"context"
	"encoding/json"

	"github.com/redoxworker/redoxworker/cmd/redoxworker/internal/cli"
	"github.com/redoxworker/redoxworker/worker/service/buildinfo"
)

// versionCommand prints what was built and from what.
type versionCommand struct{}

// buildVersion is set by release builds: -ldflags "-X main.buildVersion=v1.2.3".
var buildVersion string

// Run prints the version.
func (versionCommand) Run(_ context.Context, a *cli.App) error {
	v := buildinfo.Read(a.Version)
	if a.Globals.JSON {
		return json.NewEncoder(a.Stdout).Encode(v)
	}
	a.Printf("redoxworker %s", v.Version)
	if v.Revision != "" {
		a.Printf(" (%.12s, %s)", v.Revision, v.Time)
	}
	a.Printf(" %s\n", v.Go)
	return nil
}
