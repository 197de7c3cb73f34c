package devstack

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"time"

	"github.com/redoxworker/redoxworker/cmd/redoxworker/internal/cli"
	"github.com/redoxworker/redoxworker/worker"
)

// DevCommand runs NATS, a simulated Redox, a worker and the gateway to develop against.
type DevCommand struct {
	NATSListen    string `name:"nats-listen" default:"127.0.0.1:4222" placeholder:"HOST:PORT" help:"Address of NATS; port 0 takes a free one."`
	SimListen     string `name:"sim-listen" default:"127.0.0.1:8467" placeholder:"HOST:PORT" help:"Address of the simulated Redox."`
	AdminListen   string `name:"admin-listen" default:"127.0.0.1:8466" placeholder:"HOST:PORT" help:"Address of the admin listener; off for none."`
	ConsoleListen string `name:"console-listen" default:"127.0.0.1:8468" placeholder:"HOST:PORT" help:"Address of the web console, to whoever is on this machine; off for none."`
	Dir           string `placeholder:"DIR" help:"Where to keep data, key and samples. A temporary directory by default."`
	Profile       string `default:"none" placeholder:"NAME" help:"Faults of the simulated Redox; see sim --help."`
	simLimits
	WriteConfig string `name:"write-config" placeholder:"FILE" help:"Where to write the configuration that works against it. In the directory by default."`
}

// Run until a signal, then drain.
func (c DevCommand) Run(ctx context.Context, a *cli.App) error {
	if err := standsAlone(a, "dev"); err != nil {
		return err
	}
	redox, err := c.server()
	if err != nil {
		return err
	}
	view := newLines(a, 36) // a UUID
	defer view.close()
	s, err := newStack(ctx, a, stackOptions{
		dir: c.Dir, natsListen: c.NATSListen, simListen: c.SimListen, adminListen: c.AdminListen, webListen: c.ConsoleListen, writeConfig: c.WriteConfig,
		profile: c.Profile, platform: true, logLevel: "warn", flags: a.Globals.Settings(), redox: redox,
		observe: func(e worker.Event) {
			if h, ok := happened(e); ok {
				if e.MessageID != "" { // a pause is of a scope
					h.Detail += fmt.Sprintf(" (%s, %s)", e.Source, e.Lane)
				}
				view.show(h)
			}
		},
	})
	if err != nil {
		return err
	}
	defer s.close()
	c.print(a, s)
	ended := make(chan error, 1)
	go func() { ended <- s.run(ctx) }()
	if s.awaitReady(ctx, ended) {
		devLine(a, "ready", "ready")
	}
	err = <-ended
	if err == nil {
		devLine(a, "stopped", "stopped")
	}
	return err
}

// devLine tells people what dev or demo itself does; programs read the lines of JSON around it.
func devLine(a *cli.App, event, text string) {
	if a.Globals.JSON {
		a.Printf("{\"event\":%q}\n", event)
		return
	}
	a.Printf("%s\n", text)
}

// awaitReady waits until the worker takes messages; false when it will not.
func (s *stack) awaitReady(ctx context.Context, ended chan error) bool {
	poll := time.NewTicker(10 * time.Millisecond)
	defer poll.Stop()
	for {
		if s.service.Status().Worker.Ready() {
			return true
		}
		select {
		case <-poll.C:
		case err := <-ended:
			ended <- err
			return false
		case <-ctx.Done():
			return false
		}
	}
}

// print says where everything is, and commands that work against it.
func (c DevCommand) print(a *cli.App, s *stack) {
	nats, admin := s.config.NATS.URL.String(), s.config.Admin.Listen
	if a.Globals.JSON {
		_ = json.NewEncoder(a.Stdout).Encode(map[string]any{ // a closed pipe is the reader's wish
			"event": "listening", "nats": nats, "redox": s.sim.url(), "organization": devOrganization, "admin": admin, "console": s.web(), "config": s.files.config, "dir": s.files.dir})
		return
	}
	kept := "kept"
	if s.temporary {
		kept = "removed at the end"
	}
	if admin != "" {
		admin = fmt.Sprintf("http://%s  (/readyz, /metrics)", cli.Reachable(admin))
	}
	a.Printf("redoxworker dev: NATS, a simulated Redox (faults: %s), a worker and the gateway.\n\n", c.Profile)
	for _, row := range [][2]string{
		{"NATS", nats}, {"Redox", s.sim.url() + "  (API, FHIR, files, platform; /_sim/stats, /_sim/arrivals, /_sim/logs, /_sim/fault)"}, {"admin", admin}, {"console", s.web()},
		{"config", s.files.config}, {"data", s.files.dir + "  (" + kept + ")"}, {"sources", "clinic-a, clinic-b, and platform for the Platform API"},
	} {
		if row[1] != "" {
			a.Printf("  %-8s %s\n", row[0], row[1])
		}
	}
	a.Printf("\nIn another terminal:\n\n")
	c.printCommands(a, s, nats)
	a.Printf("\nBelow, a line for each message that is settled or tried again. Stop with Ctrl-C.\n\n")
}

// web is the address of the console; "" where there is none.
func (s *stack) web() string {
	if s.console == nil {
		return ""
	}
	return s.console.Address()
}

func (c DevCommand) printCommands(a *cli.App, s *stack, nats string) {
	program := programName()
	configFile := shellWord(s.files.config)
	file := func(name string) string { return shellWord(filepath.Join(s.files.samples, name)) }
	sample := func(name string) string { return file(name + ".json") }
	a.Printf("  %s send --server %s --source clinic-a %s\n", program, nats, sample("new-patient"))
	a.Printf("  %s send --config %s --source clinic-b --order-key patient-1 %s\n", program, configFile, sample("registration"))
	a.Printf("  %s request --server %s --source clinic-a %s\n", program, nats, sample("patient-search"))
	a.Printf("  %s request --config %s --source clinic-a --kind fhir --method GET --path hospital/Development/Patient/1\n", program, configFile)
	a.Printf("  %s send --config %s --source clinic-a --kind file --wait %s\n", program, configFile, file("report.pdf"))
	a.Printf("  nats --server %s pub redox.out.clinic-a.send \"$(cat %s)\"\n", nats, sample("result"))
	a.Printf("  nats --server %s request redox.gateway.clinic-a.request \"$(cat %s)\"\n", nats, sample("free-slots"))
	a.Printf("  curl -d '{\"profile\":\"flaky\"}' %s/_sim/fault\n", s.sim.url())
	a.Printf("\nWhat became of a message, by a log id that request and send --wait print:\n\n")
	a.Printf("  %s log --config %s LOG-ID\n", program, configFile)
}
