package main

import (
	"context"

	"github.com/redoxworker/redoxworker/cmd/redoxworker/internal/bench"
	"github.com/redoxworker/redoxworker/cmd/redoxworker/internal/checkcmd"
	"github.com/redoxworker/redoxworker/cmd/redoxworker/internal/cli"
	"github.com/redoxworker/redoxworker/cmd/redoxworker/internal/consolecmd"
	"github.com/redoxworker/redoxworker/cmd/redoxworker/internal/daemon"
	"github.com/redoxworker/redoxworker/cmd/redoxworker/internal/devstack"
	"github.com/redoxworker/redoxworker/cmd/redoxworker/internal/dlqcmd"
	"github.com/redoxworker/redoxworker/cmd/redoxworker/internal/opscmd"
	"github.com/redoxworker/redoxworker/cmd/redoxworker/internal/provisioncmd"
	"github.com/redoxworker/redoxworker/cmd/redoxworker/internal/sealcmd"
	"github.com/redoxworker/redoxworker/cmd/redoxworker/internal/signincmd"
	"github.com/redoxworker/redoxworker/cmd/redoxworker/internal/sqlcmd"
	"github.com/redoxworker/redoxworker/cmd/redoxworker/internal/statuscmd"
	"github.com/redoxworker/redoxworker/cmd/redoxworker/internal/usagecmd"
	"github.com/redoxworker/redoxworker/cmd/redoxworker/internal/wirecmd"
)

// rootCommand is what can be typed. Each subcommand is a struct with its flags and a method
// Run(context.Context, *cli.App) error, in a file of its own.
type rootCommand struct {
	cli.Globals

	Demo       devstack.DemoCommand      `cmd:"" help:"Watch messages go through NATS, a worker and a simulated Redox. Needs nothing."`
	Dev        devstack.DevCommand       `cmd:"" help:"The same, left running, to develop against."`
	Run        runCommand                `cmd:"" help:"Run the worker."`
	Ready      daemon.ReadyCommand       `cmd:"" help:"Ask the worker beside it whether it is ready: a health check."`
	Status     statuscmd.Status          `cmd:"" help:"What waits and why, and what needs a person: queue, workers, quota, keys, dead letters, time to drain."`
	Workers    statuscmd.Workers         `cmd:"" help:"Who runs: id, version, since, sources, in flight, keys."`
	Pause      opscmd.PauseCommand       `cmd:"" help:"Have no worker pull messages of a source, or of all."`
	Resume     opscmd.ResumeCommand      `cmd:"" help:"End such a pause."`
	Provision  provisioncmd.Command      `cmd:"" help:"Create or update streams and buckets."`
	Order      opscmd.OrderCommand       `cmd:"" help:"What ordered messages wait behind, and why."`
	Astray     opscmd.AstrayCommand      `cmd:"" help:"Messages that no worker reads: list them, move them, make dead letters of them."`
	Find       opscmd.FindCommand        `cmd:"" help:"Where one message is, and what happened to it."`
	Audit      opscmd.AuditCommand       `cmd:"" help:"The audit trail: what operators did, and why."`
	Sim        devstack.SimCommand       `cmd:"" help:"Run the simulator of Redox."`
	Send       sendCommand               `cmd:"" help:"Publish a message, or a file of them, to be sent."`
	Request    requestCommand            `cmd:"" help:"Publish a query and print its answer."`
	Export     exportCommand             `cmd:"" help:"Get a FHIR bulk export: begin it, wait for it, download its files; or go on with it."`
	Log        logCommand                `cmd:"" help:"Ask Redox what became of a message that it took, by the id of its log."`
	DLQ        dlqcmd.Commands           `cmd:"" name:"dlq" help:"Dead letters: browse, send again, discard."`
	Outbox     sqlcmd.Commands           `cmd:"" help:"The SQL outbox: make its tables, relay its messages, look at it."`
	Sources    sourcesCommand            `cmd:"" help:"Sources of the configuration and of the registry, which is changed without a restart."`
	Seal       sealcmd.Commands          `cmd:"" help:"The ring of keys that messages are sealed with: make, rotate, shred."`
	Keys       keysCommand               `cmd:"" help:"Key pairs and their public set."`
	Token      tokenCommand              `cmd:"" help:"Ask for a token and say what came of it."`
	Config     configCommand             `cmd:"" help:"Print the effective settings or their schema."`
	OrderToken wirecmd.OrderTokenCommand `cmd:"" help:"Print the tokens of order keys, for clients that publish by themselves."`
	Wire       wirecmd.WireCommand       `cmd:"" help:"Print the wire contract: subjects, headers, streams; or as an AsyncAPI document."`
	Bench      bench.Commands            `cmd:"" help:"What the worker costs on this machine, and what its sources feel of each other."`

	Console      consolecmd.Command     `cmd:"" help:"Serve the web console: see what goes on and act on it in a browser."`
	ConsoleToken signincmd.TokenCommand `cmd:"" help:"Make a token with which somebody signs in to the web console."`

	Check     checkcmd.CheckCommand     `cmd:"" help:"Try everything that a worker depends on, and say how to mend what is wrong. Changes nothing."`
	RetryPlan checkcmd.RetryPlanCommand `cmd:"" help:"When a message is tried again, until when, and what ends it."`

	Help       usagecmd.HelpCommand       `cmd:"" help:"Tell how a command is used."`
	Completion usagecmd.CompletionCommand `cmd:"" help:"Print what a shell needs to complete command lines."`
	Complete   usagecmd.CompleteCommand   `cmd:"" name:"__complete" hidden:"" help:"How a command line may go on."`
	Version    usagecmd.VersionCommand    `cmd:"" help:"Print the version."`
}

// buildVersion is set by release builds: -ldflags "-X main.buildVersion=v1.2.3".
var buildVersion string

// run executes one command line and returns the exit code.
func run(ctx context.Context, a cli.App) int { return cli.Execute(ctx, a, new(rootCommand)) }
