package main

import (
	"context"
	"encoding/json"

	"github.com/redoxworker/redoxworker/worker/service/buildinfo"
)

// versionCommand prints what was built and from what.
type versionCommand struct{}

// buildVersion is set by release builds: -ldflags "-X main.buildVersion=v1.2.3".
var buildVersion string

// Run prints the version.
func (versionCommand) Run(_ context.Context, a *app) error {
	v := buildinfo.Read(buildVersion)
	if a.globals.JSON {
		return json.NewEncoder(a.stdout).Encode(v)
	}
	a.printf("redoxworker %s", v.Version)
	if v.Revision != "" {
		a.printf(" (%.12s, %s)", v.Revision, v.Time)
	}
	a.printf(" %s\n", v.Go)
	return nil
}
