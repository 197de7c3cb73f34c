package cli

import (
	"fmt"

	"github.com/alecthomas/kong"

	"github.com/redoxworker/redoxworker/worker/service/buildinfo"
)

// PrintVersion prints what was built and from what, in a line.
func (a *App) PrintVersion() {
	v := buildinfo.Read(a.Version)
	line := "redoxworker " + v.Version
	if v.Revision != "" {
		line += fmt.Sprintf(" (%.12s, %s)", v.Revision, v.Time)
	}
	a.Printf("%s %s\n", line, v.Go)
}

// versionFlag prints the version instead of running a command.
type versionFlag bool

// BeforeReset is called by kong where the flag was given.
func (versionFlag) BeforeReset(k *kong.Kong, a *App) error {
	a.PrintVersion()
	k.Exit(ExitOK)
	return nil
}
