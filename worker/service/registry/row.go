package registry

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/redoxworker/redoxworker/config"
	"github.com/redoxworker/redoxworker/outbox/contract"
)

// Row is a source of a configuration or of the registry, as it is shown to people and programs.
type Row struct {
	Source string `json:"source"`
	// From is the bucket, or where the configuration has it.
	From        string     `json:"from"`
	ID          string     `json:"id,omitempty"`
	Key         string     `json:"key,omitempty"`
	Environment string     `json:"environment,omitempty"`
	SlugGuard   string     `json:"slug_guard,omitempty"`
	OnUnknown   string     `json:"on_unknown,omitempty"`
	Hold        []string   `json:"hold,omitempty"`
	Revision    uint64     `json:"revision,omitempty"`
	Changed     *time.Time `json:"changed,omitempty"`
	// Problem is why workers with the configuration do not serve it as it is; "" for no reason.
	Problem string `json:"problem,omitempty"`
}

func newRow(name, from string, s config.Source) Row {
	return Row{Source: name, From: from, ID: s.ID, Key: s.Key, Environment: s.Environment, SlugGuard: s.SlugGuard, OnUnknown: s.OnUnknown, Hold: s.Hold}
}

// Rows returns the sources of the configuration and of the registry, by name.
func Rows(c *config.Config, p contract.Prefix, entries []Entry) []Row {
	rows := make([]Row, 0, len(entries)+len(c.Sources))
	for _, name := range slices.Sorted(maps.Keys(c.Sources)) {
		row := newRow(name, InFile(c, name), c.Sources[name])
		row.Problem = unknownKey(c, row.Key)
		rows = append(rows, row)
	}
	for _, e := range entries {
		row := newRow(e.Name, p.SourcesBucket(), e.Source())
		if row.Problem = trouble(c, e); e.Revision > 0 {
			row.Revision, row.Changed = e.Revision, &e.Changed
		}
		rows = append(rows, row)
	}
	slices.SortStableFunc(rows, func(a, b Row) int { return strings.Compare(a.Source, b.Source) })
	return rows
}

// InFile returns where the configuration has a source; "" if it does not.
func InFile(c *config.Config, name string) string {
	if _, there := c.Sources[name]; !there {
		return ""
	}
	if where := c.Origin("sources." + name); where != "default" {
		return where
	}
	return "the environment"
}

// trouble says why workers do not serve an entry as it is; "" for no reason.
func trouble(c *config.Config, e Entry) string {
	switch file := InFile(c, e.Name); {
	case len(e.Part.Problems) > 0:
		return e.Part.Problems[0].Text + "; " + e.Part.Problems[0].Mend
	case file != "":
		return "is also in " + file + ", which wins"
	case !c.Registry:
		return "registry is false in this configuration: its workers do not serve it"
	}
	return unknownKey(c, e.Source().Key)
}

// unknownKey says that the configuration at hand has keys, and not this one.
func unknownKey(c *config.Config, key string) string {
	if _, known := c.Keys[key]; len(c.Keys) == 0 || known {
		return ""
	}
	return fmt.Sprintf("no key is called %q in this configuration", key)
}

// Entries returns those of a snapshot, by name, without their revisions.
func (s Snapshot) Entries() []Entry {
	all := make([]Entry, 0, len(s.Parts))
	for _, part := range s.Parts {
		_, name, _ := strings.Cut(part.Name, keyPrefix)
		all = append(all, Entry{Name: name, Part: part})
	}
	return all
}
