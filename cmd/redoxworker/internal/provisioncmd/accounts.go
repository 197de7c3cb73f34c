package provisioncmd

import (
	_ "embed"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/template"

	"github.com/redoxworker/redoxworker/cmd/redoxworker/internal/cli"
	"github.com/redoxworker/redoxworker/config"
	"github.com/redoxworker/redoxworker/outbox/contract"
)

//go:embed accounts.conf.tmpl
var accountsText string

// source is one as the accounts have it.
type source struct{ Name, Account string }

// taken are the accounts and users that are not of a source.
var taken = []string{"SYS", "REDOX", "OPERATOR", "WORKER", "GATEWAY_CLIENT", "RELAY", "CONSOLE", "CLUSTER"}

// printAccounts prints accounts.conf for the sources of the configuration and its files.
func printAccounts(a *cli.App) error {
	c, err := a.Load(config.PartKeys | config.PartOrderSecret)
	if err != nil {
		return err
	}
	return writeAccounts(a.Stdout, contract.Prefix(c.NATS.Prefix), slices.Sorted(maps.Keys(c.Sources)))
}

// writeAccounts writes them for sources that have no other name twice.
func writeAccounts(to io.Writer, prefix contract.Prefix, names []string) error {
	if len(names) == 0 {
		return cli.Usagef("--print accounts: the configuration has no sources; an account is made for each of them")
	}
	var sources []source
	for _, name := range names {
		account := strings.ToUpper(strings.ReplaceAll(name, "-", "_"))
		if slices.Contains(taken, account) {
			return cli.Usagef("--print accounts: the source %s is called as a user or an account of the worker's own is; give it another name", name)
		}
		sources = append(sources, source{name, account})
	}
	page, err := template.New("accounts").Parse(accountsText)
	if err != nil {
		return err
	}
	var text strings.Builder
	if err := page.Execute(&text, map[string]any{"Sources": sources}); err != nil {
		return err
	}
	stream, subject := strings.TrimSuffix(prefix.OutStream(), "OUT"), prefix.String()+"."
	_, err = io.WriteString(to, strings.NewReplacer(`"redox.`, `"`+subject, ".redox.", "."+subject, "REDOX_", stream).Replace(text.String()))
	if err != nil {
		return fmt.Errorf("printing accounts: %w", err)
	}
	return nil
}
