package cli

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"

	"github.com/alecthomas/kong"

	"github.com/redoxworker/redoxworker/config"
)

// The exit codes of the command.
const (
	ExitOK     = 0
	ExitFailed = 1
	ExitUsage  = 2 // usage or configuration
	ExitDrift  = 3 // provision --dry-run found something to do, or status --exit-code something wrong
)

// Grammar is a command line as kong reads it: a pointer to a struct that embeds Globals and
// has a field for each subcommand, with a method Run(context.Context, *App) error.
type Grammar interface{ common() *Globals }

// Execute runs one command line and returns the exit code. Errors go to stderr, one line
// each; stdout holds only what was asked for.
func Execute(ctx context.Context, a App, g Grammar) int {
	out := &resultOutput{out: a.Stdout}
	a.Stdout = out
	code := a.run(ctx, g)
	if err := out.failure(); err != nil && code == ExitOK {
		fmt.Fprintln(a.Stderr, "redoxworker: writing the result:", err)
		return ExitFailed
	}
	return code
}

func (a *App) run(ctx context.Context, g Grammar) int {
	exit := -1
	parser, err := kong.New(g,
		kong.Name("redoxworker"),
		kong.Description("Delivers Redox messages from NATS JetStream."),
		kong.UsageOnError(), kong.Writers(a.Stdout, a.Stderr), kong.Exit(func(code int) { exit = code; panic(exitPanic{}) }),
		kong.BindTo(ctx, (*context.Context)(nil)), kong.Bind(a), kong.ConfigureHelp(kong.HelpOptions{Compact: true, FlagsLast: true, WrapUpperBound: 100}))
	if err != nil {
		fmt.Fprintln(a.Stderr, "redoxworker:", err)
		return ExitFailed
	}
	command, err := parse(parser, a.Args)
	if exit >= 0 { // --help
		return exit
	}
	if err != nil {
		fmt.Fprintf(a.Stderr, "redoxworker: %s; see redoxworker --help\n", parseText(err))
		return ExitUsage
	}
	a.Globals = *g.common()
	return a.report(command.Run(a))
}

// exitPanic unwinds kong, which expects its exit function not to return.
type exitPanic struct{}

func parse(parser *kong.Kong, args []string) (command *kong.Context, err error) {
	defer func() {
		if p := recover(); p != nil {
			if _, ok := p.(exitPanic); !ok {
				panic(p)
			}
		}
	}()
	if command, err = parser.Parse(args); err == nil {
		err = checkLists(command)
	}
	return command, err
}

// parseText is what is wrong with a command line. Of a flag at its end that lacks a value
// kong says that it got "EOL".
func parseText(err error) string {
	if flag, rest, ok := strings.Cut(err.Error(), ": expected "); ok && strings.HasSuffix(rest, ` but got "EOL" (<EOL>)`) {
		return flag + ": its value is missing"
	}
	return err.Error()
}

// checkLists refuses a list that was given and is empty: an unset variable of a script must
// not select everything. Kong takes it for a flag that was left out.
func checkLists(command *kong.Context) error {
	for _, step := range command.Path {
		if f := step.Flag; f != nil && f.Target.Kind() == reflect.Slice && f.Target.Len() == 0 {
			return fmt.Errorf("--%s: it is empty; leave the flag out if there is none", f.Name)
		}
	}
	return nil
}

// report prints an error, one line for each problem, and turns it into the exit code.
func (a *App) report(err error) int {
	var problems config.Problems
	switch {
	case err == nil:
		return ExitOK
	case errors.Is(err, ErrReported):
		return ExitFailed
	case errors.Is(err, ErrDrift), errors.Is(err, ErrUnhealthy):
		return ExitDrift
	case errors.As(err, &problems):
		for _, p := range problems {
			fmt.Fprintln(a.Stderr, "redoxworker:", p)
		}
		return ExitUsage
	case errors.As(err, new(UsageError)), errors.As(err, new(config.Mistake)):
		a.printError(err)
		return ExitUsage
	default:
		a.printError(err)
		return ExitFailed
	}
}

// printError prints each line of a (possibly joined) error as a line of its own.
func (a *App) printError(err error) {
	for line := range strings.Lines(err.Error()) {
		if line = strings.TrimSpace(line); line != "" {
			fmt.Fprintln(a.Stderr, "redoxworker:", plain(line))
		}
	}
}
