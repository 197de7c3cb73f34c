package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"

	"github.com/redoxworker/redoxworker/cmd/redoxworker/internal/cli"
	"github.com/redoxworker/redoxworker/outbox/natsdev"
)

// fleetAims are what a figure should not exceed, wherever it is measured.
var fleetAims = map[string]float64{
	fleetReady: 5, fleetServerRSS: 300, fleetConsumers: 700, fleetStop: 10, fleetRestart: 5,
	fleetServerCPU: 1, fleetWorkerCPU: 1, fleetMessages: 30, fleetLoss: 20, fleetChange: 2,
}

const (
	fleetReady     = "worker started until ready"
	fleetChange    = "a source added until its first message is answered"
	fleetServerRSS = "server memory, peak"
	fleetWorkerRSS = "worker memory, peak"
	fleetServerCPU = "quiet: server, of a core"
	fleetWorkerCPU = "quiet: worker, of a core"
	fleetMessages  = "quiet: NATS messages in and out"
	fleetConsumers = "consumers"
	fleetLoss      = "rate lost by the number of sources"
	fleetStop      = "server stopped"
	fleetRestart   = "server started until ready"
)

// fleet measures and prints, also what it had when it failed.
func (b *loopCommand) fleet(ctx context.Context, a *cli.App) error {
	figures, err := b.measureFleet(ctx, a)
	if ctx.Err() != nil {
		err = errors.New("interrupted")
	}
	switch {
	case len(figures) == 0:
	case a.Globals.JSON:
		err = errors.Join(err, json.NewEncoder(a.Stdout).Encode(figures))
	default:
		a.Printf("%s\n", fleetTable(figures))
	}
	return err
}

func (b *loopCommand) measureFleet(ctx context.Context, a *cli.App) (figures []fleetFigure, err error) {
	f := &fleetRun{bench: b}
	if f.rig, err = newRig(a, sharedKey); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.close()) }()
	progress := newLoopProgress(a, 1)
	defer progress.end()
	for _, step := range []struct {
		name string
		run  func(context.Context) error
	}{
		{"starting", f.start},
		{"sources in the registry", f.inRegistry},
		{"sources in sources_dir", f.inDirectory},
		{"sources in the main file", f.inMainFile},
		{"messages", f.busy},
		{"quiet", func(ctx context.Context) error { return f.quiet(ctx, "after messages") }},
		{"server stopped and started", f.restarted},
	} {
		progress.show("%s", step.name)
		if err := step.run(ctx); err != nil {
			return f.figures, fmt.Errorf("bench: %s: %w", step.name, err)
		}
	}
	return f.figures, nil
}

// server is the role of the built-in server: it runs until ctx ends.
func (b *loopCommand) server(ctx context.Context, a *cli.App) error {
	server, err := natsdev.Start(natsdev.Options{ConfigFile: a.Globals.ConfigFile, Port: b.Port})
	if err != nil {
		return err
	}
	<-ctx.Done()
	return server.Shutdown()
}

// fleetTable shows figures to a person.
func fleetTable(figures []fleetFigure) string {
	t := newTable()
	t.AppendHeader(table.Row{"", "figure", "value", "unit", "at most"})
	t.SetColumnConfigs([]table.ColumnConfig{{Number: 1, AutoMerge: true}, {Number: 3, Align: text.AlignRight}, {Number: 5, Align: text.AlignRight}})
	for _, f := range figures {
		aim := ""
		if f.Aim > 0 {
			aim = fmt.Sprintf("%g", f.Aim)
			if f.Value > f.Aim {
				aim += " missed"
			}
		}
		t.AppendRow(table.Row{f.Where, f.What, fmt.Sprintf("%.4g", f.Value), f.Unit, aim})
	}
	return t.Render()
}
