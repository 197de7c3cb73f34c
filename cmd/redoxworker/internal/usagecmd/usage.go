// Package usagecmd has the commands that tell how the program is used: help, completion of command
// lines in a shell, and version. They know any grammar of kong.
package usagecmd

import (
	"context"
	"encoding/json"
	"strings"

	"github.com/alecthomas/kong"

	"github.com/redoxworker/redoxworker/cmd/redoxworker/internal/cli"
	"github.com/redoxworker/redoxworker/worker/service/buildinfo"
)

// HelpCommand shows what --help of another command shows.
type HelpCommand struct {
	Command []string `arg:"" optional:"" help:"Command to tell about, such as dlq replay. Default: the whole program."`
}

// Run prints the text.
func (h HelpCommand) Run(k *kong.Kong, _ *cli.App) error {
	of, err := kong.Trace(k, h.Command)
	if err != nil {
		return err
	}
	if of.Error != nil {
		return cli.Usagef("%w; see redoxworker --help", of.Error)
	}
	return of.PrintUsage(false)
}

// VersionCommand prints what was built and from what.
type VersionCommand struct{}

// Run prints the version.
func (VersionCommand) Run(_ context.Context, a *cli.App) error {
	if a.Globals.JSON {
		return json.NewEncoder(a.Stdout).Encode(buildinfo.Read(a.Version))
	}
	a.PrintVersion()
	return nil
}

// CompletionCommand prints what a shell needs to complete command lines.
type CompletionCommand struct {
	Shell string `arg:"" enum:"bash,zsh,fish" help:"One of ${enum}."`
}

// Help tells how it is used.
func (CompletionCommand) Help() string {
	return strings.Join([]string{
		`In ~/.bashrc: eval "$$(redoxworker completion bash)".`,
		`In ~/.zshrc, after compinit: eval "$$(redoxworker completion zsh)".`,
		`In fish: redoxworker completion fish > ~/.config/fish/completions/redoxworker.fish.`,
	}, "\n\n")
}

// Run prints the script of a shell.
func (c CompletionCommand) Run(_ context.Context, a *cli.App) error {
	text, err := scripts.ReadFile("completion." + c.Shell)
	if err != nil {
		return err
	}
	return a.PrintText(text)
}

// CompleteCommand is what those scripts ask: how a command line may go on.
type CompleteCommand struct {
	Words []string `arg:"" optional:"" passthrough:""`
}

// Run prints a line for each word that may stand in the place of the last, with its meaning
// behind a tab; :files stands for the names of files.
func (c CompleteCommand) Run(k *kong.Kong, a *cli.App) error {
	words := c.Words
	if len(words) > 0 && words[0] == "--" {
		words = words[1:]
	}
	for _, line := range complete(k.Model.Node, words, func(what string) []string { return configured(a, what) }) {
		a.Printf("%s\n", line)
	}
	return nil
}
