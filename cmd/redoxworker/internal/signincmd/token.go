// Package signincmd has the commands about who signs in to the web console, which ask nobody.
package signincmd

import (
	"context"
	"encoding/json"
	"regexp"

	"github.com/redoxworker/redoxworker/cmd/redoxworker/internal/cli"
	"github.com/redoxworker/redoxworker/worker/console/access"
)

// TokenCommand makes a token with which somebody signs in to the web console.
type TokenCommand struct {
	Name string `arg:"" help:"Who is to have it, as the audit trail will call them."`
}

// namePattern is what a name in console.tokens may be.
var namePattern = regexp.MustCompile(`^[^=\s]{1,128}$`)

// Run prints the token, which is kept nowhere, and what to write into the configuration.
func (c TokenCommand) Run(_ context.Context, a *cli.App) error {
	if !namePattern.MatchString(c.Name) {
		return cli.Usagef("NAME: give one word without =")
	}
	token, hash := access.NewToken()
	if a.Globals.JSON {
		return json.NewEncoder(a.Stdout).Encode(map[string]string{"name": c.Name, "token": token, "entry": c.Name + "=" + hash})
	}
	a.Printf("token, for %s alone; it is kept nowhere:\n  %s\n\nfor the configuration, which cannot be turned back into it:\n  console:\n    tokens: [%q]\n", c.Name, token, c.Name+"="+hash)
	return nil
}
