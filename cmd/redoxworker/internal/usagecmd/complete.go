package usagecmd

import (
	"embed"
	"maps"
	"slices"
	"strings"

	"github.com/alecthomas/kong"

	"github.com/redoxworker/redoxworker/cmd/redoxworker/internal/cli"
	"github.com/redoxworker/redoxworker/config"
)

//go:embed completion.bash completion.zsh completion.fish
var scripts embed.FS

// files stands for the names of files, which the shell knows.
const files = ":files"

// complete answers how a command line may go on: the words that may stand in the place of the
// last, which may be empty, each with its meaning behind a tab. names answers what the
// configuration has: names of sources or keys.
func complete(root *kong.Node, words []string, names func(what string) []string) []string {
	if len(words) == 0 {
		words = []string{""}
	}
	last := words[len(words)-1]
	at := place{node: root}
	for _, word := range words[:len(words)-1] {
		at.step(word)
	}
	name, start, given := strings.Cut(last, "=")
	flag := at.flag(name)
	switch {
	case at.value != nil:
		return beginning(last, "", valuesOf(at.value, names))
	case !at.plain && given && flag != nil:
		return beginning(start, name+"=", valuesOf(flag.Value, names))
	case !at.plain && strings.HasPrefix(last, "-"):
		return beginning(last, "", at.flags())
	case len(at.node.Children) > 0:
		return beginning(last, "", commands(at.node))
	case len(at.node.Positional) > 0:
		n := min(len(at.positional), len(at.node.Positional)-1)
		switch p := at.node.Positional[n]; {
		case p.Name == "command": // that of help
			return beginning(last, "", commands(below(root, at.positional)))
		case len(at.positional) == n || p.IsCumulative():
			return beginning(last, "", valuesOf(p, names))
		}
	}
	return nil
}

// below is the command that words name; one without any where there is none.
func below(root *kong.Node, words []string) *kong.Node {
	at := place{node: root}
	for _, word := range words {
		at.step(word)
	}
	if len(at.positional) > 0 {
		return &kong.Node{}
	}
	return at.node
}

// place is where a command line is.
type place struct {
	node       *kong.Node
	value      *kong.Value // of the flag whose value comes next
	positional []string    // that were there
	plain      bool        // after --
}

func (p *place) step(word string) {
	switch {
	case p.value != nil:
		p.value = nil
	case word == "--" && !p.plain:
		p.plain = true
	case !p.plain && strings.HasPrefix(word, "-"):
		name, _, given := strings.Cut(word, "=")
		if f := p.flag(name); f != nil && !given && !f.IsBool() {
			p.value = f.Value
		}
	default:
		i := slices.IndexFunc(p.node.Children, func(n *kong.Node) bool { return n.Name == word })
		if i < 0 {
			p.positional = append(p.positional, word)
			return
		}
		p.node = p.node.Children[i]
	}
}

// flag of that name, with its dashes; nil when there is none.
func (p *place) flag(name string) *kong.Flag {
	for _, level := range p.node.AllFlags(true) {
		for _, f := range level {
			if name == "--"+f.Name || f.Short != 0 && name == "-"+string(f.Short) {
				return f
			}
		}
	}
	return nil
}

// flags of the command, its own first.
func (p *place) flags() (lines []string) {
	for _, level := range slices.Backward(p.node.AllFlags(true)) {
		for _, f := range level {
			lines = append(lines, "--"+f.Name+"\t"+f.Help)
		}
	}
	return lines
}

func commands(node *kong.Node) (lines []string) {
	for _, n := range node.Children {
		if !n.Hidden {
			lines = append(lines, n.Name+"\t"+n.Help)
		}
	}
	return lines
}

// valuesOf a flag or an argument: those of its enumeration, names of the configuration, or files.
func valuesOf(v *kong.Value, names func(string) []string) []string {
	if v.Enum != "" {
		return v.EnumSlice()
	}
	placeholder := v.Name
	if v.Flag != nil {
		placeholder = v.Flag.PlaceHolder
	}
	switch v.Name {
	case "source", "sources", "key":
		return names(v.Name)
	}
	for _, kind := range []string{"file", "dir", "path"} {
		if strings.Contains(strings.ToLower(placeholder), kind) {
			return []string{files}
		}
	}
	return nil
}

// beginning keeps the lines that begin with start, and puts prefix before them.
func beginning(start, prefix string, lines []string) (kept []string) {
	for _, line := range lines {
		if line == files {
			kept = append(kept, line)
		} else if strings.HasPrefix(line, start) {
			kept = append(kept, prefix+line)
		}
	}
	return kept
}

// configured are the names of the sources or keys of the configuration of the environment, none
// where it cannot be read.
func configured(a *cli.App, what string) []string {
	c, err := config.Load(a.Settings(cli.NATSOnly))
	if err != nil {
		return nil
	}
	if what == "key" {
		return slices.Sorted(maps.Keys(c.Keys))
	}
	return slices.Sorted(maps.Keys(c.Sources))
}
