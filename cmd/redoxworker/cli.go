package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"

	"github.com/alecthomas/kong"
	"golang.org/x/term"

	"github.com/redoxworker/redoxworker/config"
	"github.com/redoxworker/redoxworker/worker/service/access"
)

// Exit codes.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2 // usage or configuration
	exitDrift  = 3 // provision --dry-run found something to do
)

// cli is the command line. Each subcommand is a struct with its flags and a method
// Run(context.Context, *app) error, in a file of its own.
type cli struct {
	globals

	Demo      demoCommand      `cmd:"" help:"Watch messages go through NATS, a worker and a simulated Redox. Needs nothing."`
	Dev       devCommand       `cmd:"" help:"The same, left running, to develop against."`
	Run       runCommand       `cmd:"" help:"Run the worker."`
	Status    statusCommand    `cmd:"" help:"What waits and why: backlog, quota, pauses, breakers, tokens, time to drain."`
	Pause     pauseCommand     `cmd:"" help:"Have no worker pull messages of a source, or of all."`
	Resume    resumeCommand    `cmd:"" help:"End such a pause."`
	Provision provisionCommand `cmd:"" help:"Create or update streams and buckets."`
	Order     orderCommand     `cmd:"" help:"What ordered messages wait behind, and why."`
	Sim       simCommand       `cmd:"" help:"Run the simulator of Redox."`
	Send      sendCommand      `cmd:"" help:"Publish a message, or a file of them, to be sent."`
	Request   requestCommand   `cmd:"" help:"Publish a query and print its answer."`
	Log       logCommand       `cmd:"" help:"Ask Redox what became of a message that it took, by the id of its log."`
	DLQ       dlqCommand       `cmd:"" name:"dlq" help:"Dead letters: browse, send again, discard."`
	Sources   sourcesCommand   `cmd:"" help:"Sources of the configuration and of the registry, which is changed without a restart."`
	Keys      keysCommand      `cmd:"" help:"Key pairs and their public set."`
	Token     tokenCommand     `cmd:"" help:"Ask for a token and say what came of it."`
	Config    configCommand    `cmd:"" help:"Print the effective settings or their schema."`
	Bench     benchCommands    `cmd:"" help:"What the worker costs on this machine, and what its sources feel of each other."`
	Version   versionCommand   `cmd:"" help:"Print the version."`
}

// globals are the flags of every subcommand. The NATS flags are those of the nats CLI.
type globals struct {
	ConfigFile string            `name:"config" short:"c" placeholder:"FILE" help:"Configuration file ($$REDOXWORKER_CONFIG)."`
	Server     string            `short:"s" placeholder:"URL" help:"NATS server URLs, comma separated."`
	Creds      string            `placeholder:"FILE" help:"NATS credentials file."`
	Nkey       string            `placeholder:"FILE" help:"NATS NKEY seed file."`
	User       string            `placeholder:"NAME" help:"NATS user name."`
	Context    string            `placeholder:"NAME" help:"Context of the nats CLI."`
	TLSCA      string            `name:"tlsca" placeholder:"FILE" help:"CA of the NATS server."`
	TLSCert    string            `name:"tlscert" placeholder:"FILE" help:"Client certificate for NATS."`
	TLSKey     string            `name:"tlskey" placeholder:"FILE" help:"Key of the client certificate."`
	LogLevel   string            `name:"log-level" placeholder:"LEVEL" help:"debug, info, warn or error."`
	LogFormat  string            `name:"log-format" placeholder:"FORMAT" help:"auto, tint or json."`
	Set        map[string]string `placeholder:"KEY=VALUE" mapsep:"none" help:"Any other setting by its dotted key."`
	JSON       bool              `name:"json" help:"Print data as JSON."`
}

// settings are the flags as configuration keys; those not given are left out.
func (g globals) settings() map[string]any {
	flags := map[string]any{}
	for key, value := range g.Set {
		flags[key] = value
	}
	for key, value := range map[string]string{
		"nats.url": g.Server, "nats.creds_file": g.Creds, "nats.nkey_file": g.Nkey, "nats.user": g.User, "nats.context": g.Context,
		"nats.tls.ca_file": g.TLSCA, "nats.tls.cert_file": g.TLSCert, "nats.tls.key_file": g.TLSKey,
		"log.level": g.LogLevel, "log.format": g.LogFormat,
	} {
		if value != "" {
			flags[key] = value
		}
	}
	return flags
}

// app is what a subcommand has of the world.
type app struct {
	args    []string
	environ []string
	stdin   io.Reader
	stdout  io.Writer
	stderr  io.Writer
	globals globals
	hangup  *hangup // nil in tests
}

// usageError is an error in what the user typed or configured: exit code 2.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// usagef makes a usage error.
func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// errReported ends a command with exit code 1 when it has said why already.
var errReported = errors.New("reported")

// errDrift ends a command with exit code 3.
var errDrift = errors.New("drift")

// run executes one command line and returns the exit code. Errors go to stderr, one line
// each; stdout holds only what was asked for.
func run(ctx context.Context, a app) int {
	out := &resultOutput{out: a.stdout}
	a.stdout = out
	code := a.run(ctx)
	if err := out.failure(); err != nil && code == exitOK {
		fmt.Fprintln(a.stderr, "redoxworker: writing the result:", err)
		return exitFailed
	}
	return code
}

func (a *app) run(ctx context.Context) int {
	var c cli
	exit := -1
	parser, err := kong.New(&c,
		kong.Name("redoxworker"),
		kong.Description("Delivers Redox messages from NATS JetStream."),
		kong.UsageOnError(), kong.Writers(a.stdout, a.stderr), kong.Exit(func(code int) { exit = code; panic(exitPanic{}) }),
		kong.BindTo(ctx, (*context.Context)(nil)), kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: 100}))
	if err != nil {
		fmt.Fprintln(a.stderr, "redoxworker:", err)
		return exitFailed
	}
	command, err := parse(parser, a.args)
	if exit >= 0 { // --help
		return exit
	}
	if err != nil {
		fmt.Fprintf(a.stderr, "redoxworker: %s; see redoxworker --help\n", parseText(err))
		return exitUsage
	}
	a.globals = c.globals
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
func (a *app) report(err error) int {
	var problems config.Problems
	switch {
	case err == nil:
		return exitOK
	case errors.Is(err, errReported):
		return exitFailed
	case errors.Is(err, errDrift):
		return exitDrift
	case errors.As(err, &problems):
		for _, p := range problems {
			fmt.Fprintln(a.stderr, "redoxworker:", p)
		}
		return exitUsage
	case errors.As(err, new(usageError)), errors.As(err, new(config.Mistake)):
		a.printError(err)
		return exitUsage
	default:
		a.printError(err)
		return exitFailed
	}
}

// printError prints each line of a (possibly joined) error as a line of its own.
func (a *app) printError(err error) {
	for line := range strings.Lines(err.Error()) {
		if line = strings.TrimSpace(line); line != "" {
			fmt.Fprintln(a.stderr, "redoxworker:", line)
		}
	}
}

// settings say where the configuration is read from.
func (a *app) settings(skip config.Parts) config.Options {
	return config.Options{File: a.globals.ConfigFile, Environ: a.environ, Flags: a.globals.settings(), Skip: skip}
}

// load reads the configuration and the files of sources_dir, without the parts the command does
// not need, and warns about what is allowed and yet unwise, and of files that cannot be used.
func (a *app) load(skip config.Parts) (*config.Config, error) {
	options := a.settings(skip)
	c, err := config.Load(options)
	if err != nil {
		return nil, err
	}
	unusable := access.Unusable
	if skip != 0 {
		unusable = nil // the command needs no keys, or says itself what is wrong with one
	}
	set := config.Combine(c, config.ReadDir(c, options, nil).Parts, nil, unusable)
	for _, w := range set.Warnings {
		fmt.Fprintln(a.stderr, "redoxworker: warning:", w)
	}
	for _, r := range set.Refused {
		for _, p := range r.Problems {
			fmt.Fprintln(a.stderr, "redoxworker: warning: left out:", p)
		}
	}
	return set.Config, nil
}

// isTerminal reports whether a stream is a terminal that wants more than plain lines.
func isTerminal(stream any) bool {
	f := fileOf(stream)
	return f != nil && term.IsTerminal(int(f.Fd()))
}

// env is a variable of the environment the command was started with.
func (a *app) env(name string) string {
	for i := len(a.environ) - 1; i >= 0; i-- {
		if value, ok := strings.CutPrefix(a.environ[i], name+"="); ok {
			return value
		}
	}
	return ""
}
