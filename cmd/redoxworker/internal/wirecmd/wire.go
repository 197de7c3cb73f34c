package wirecmd

import (
	"context"
	"encoding/json"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"
	"go.yaml.in/yaml/v3"

	"github.com/redoxworker/redoxworker/cmd/redoxworker/internal/cli"
	"github.com/redoxworker/redoxworker/config"
	"github.com/redoxworker/redoxworker/outbox/asyncapi"
	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/worker/service"
)

// WireCommand prints the wire contract for the configured prefix.
type WireCommand struct {
	AsyncAPI bool `name:"asyncapi" help:"As an AsyncAPI 3 document, in YAML; with --json in JSON."`
}

// Run prints subjects, headers, words and streams; it asks nobody.
func (c WireCommand) Run(_ context.Context, a *cli.App) error {
	settings, err := a.Load(cli.NATSOnly)
	if err != nil {
		return err
	}
	document := asyncapi.Document(contract.Prefix(settings.NATS.Prefix))
	switch {
	case c.AsyncAPI && a.Globals.JSON:
		return printJSON(a, document)
	case c.AsyncAPI:
		return a.PrintText(document)
	}
	w, err := readWire(document, settings)
	if err != nil {
		return err
	}
	if a.Globals.JSON {
		return encode(a, w)
	}
	w.print(a)
	return nil
}

func printJSON(a *cli.App, document []byte) error {
	var parsed map[string]any
	if err := yaml.Unmarshal(document, &parsed); err != nil {
		return err
	}
	return encode(a, parsed)
}

// encode leaves <source> as it is.
func encode(a *cli.App, value any) error {
	e := json.NewEncoder(a.Stdout)
	e.SetEscapeHTML(false)
	return e.Encode(value)
}

// wire is the contract in short, as the document has it.
type wire struct {
	Prefix      string    `json:"prefix"`
	Subjects    []subject `json:"subjects"`
	Kinds       []string  `json:"kinds"`
	Lanes       []string  `json:"lanes"`
	Settlements []named   `json:"settlements"`
	Headers     headers   `json:"headers"`
	Streams     []stream  `json:"streams"`
}

type subject struct {
	Subject   string `json:"subject"`
	Publisher string `json:"publisher"`
	Meaning   string `json:"meaning"`
}

type named struct {
	Name    string `json:"name"`
	Meaning string `json:"meaning"`
}

// headers are those of each side.
type headers struct {
	Message    []named `json:"message"`
	Gateway    []named `json:"gateway"`
	Reply      []named `json:"reply"`
	DeadLetter []named `json:"dead_letter"`
}

// stream is one that the configuration makes. MaxAge is in seconds; 0 keeps messages for ever.
type stream struct {
	Name     string   `json:"name"`
	Subjects []string `json:"subjects"`
	MaxAge   float64  `json:"max_age_seconds"`
}

// readWire takes from the document, in its order, what people look up.
func readWire(document []byte, c *config.Config) (*wire, error) {
	var root yaml.Node
	if err := yaml.Unmarshal(document, &root); err != nil {
		return nil, err
	}
	doc := node{root.Content[0]}
	schemas := doc.at("components", "schemas")
	w := &wire{Prefix: contract.Prefix(c.NATS.Prefix).String(), Kinds: schemas.at("kind", "enum").texts(), Lanes: schemas.at("lane", "enum").texts(),
		Settlements: schemas.at("settlement", "x-meanings").meanings()}
	for _, channel := range doc.at("channels").values() {
		if name := channel.at("x-subject").text(); name != "" {
			w.Subjects = append(w.Subjects, subject{name, channel.at("x-publisher").text(), channel.at("summary").text()})
		}
	}
	list := func(schema string) (all []named) {
		for name, property := range schemas.at(schema, "properties").pairs() {
			if ref := property.at("$ref").text(); ref != "" {
				property = doc.at(strings.Split(strings.TrimPrefix(ref, "#/"), "/")...)
				if again := property.at("$ref").text(); again != "" {
					property = doc.at(strings.Split(strings.TrimPrefix(again, "#/"), "/")...)
				}
			}
			all = append(all, named{name, property.at("description").text()})
		}
		return all
	}
	w.Headers = headers{Message: list("messageHeaders"), Gateway: list("gatewayHeaders"), Reply: list("replyHeaders"), DeadLetter: list("deadLetterHeaders")}
	any := named{contract.RequestHeaderPrefix + "<Name>", schemas.at("Redox-Header", "description").text()}
	w.Headers.Message, w.Headers.Gateway = append(w.Headers.Message, any), append(w.Headers.Gateway, any)
	for _, s := range service.Topology(c).Streams() {
		w.Streams = append(w.Streams, stream{s.Name, s.Subjects, s.MaxAge.Seconds()})
	}
	return w, nil
}

// print shows all in tables.
func (w *wire) print(a *cli.App) {
	show := func(title string, header table.Row, rows []table.Row) {
		t := a.NewTable()
		t.AppendHeader(header)
		t.AppendRows(rows)
		a.Printf("%s\n\n%s\n\n", title, a.Fitted(t, len(header)))
	}
	a.Printf("The wire contract of redoxworker, with the prefix %s. In full: outbox/CONTRACT.md; for tools: redoxworker wire --asyncapi\n\n", w.Prefix)
	rows := func(list []named) (rows []table.Row) {
		for _, n := range list {
			rows = append(rows, table.Row{n.Name, n.Meaning})
		}
		return rows
	}
	var subjects, streams []table.Row
	for _, s := range w.Subjects {
		subjects = append(subjects, table.Row{s.Subject, s.Publisher, s.Meaning})
	}
	for _, s := range w.Streams {
		streams = append(streams, table.Row{s.Name, strings.Join(s.Subjects, " ")})
	}
	show("Subjects", table.Row{"subject", "who publishes", "meaning"}, subjects)
	show("Settlements", table.Row{"settlement", "meaning"}, rows(w.Settlements))
	a.Printf("Kinds: %s. Lanes: %s.\n\n", strings.Join(w.Kinds, ", "), strings.Join(w.Lanes, ", "))
	show("Headers of a message, for the gateway also "+contract.HeaderOrderKey, table.Row{"header", "meaning"}, rows(w.Headers.Message))
	show("Headers of a reply", table.Row{"header", "meaning"}, rows(w.Headers.Reply))
	show("Headers of a dead letter, beside those of the message", table.Row{"header", "meaning"}, rows(w.Headers.DeadLetter))
	t := a.NewTable()
	t.AppendHeader(table.Row{"stream", "subjects"})
	t.AppendRows(streams)
	a.Printf("Streams, as configured\n\n%s\n", a.Fitted(t, 2))
}
