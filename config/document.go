package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Bounds on what a file may hold, so that aliases cannot blow it up.
const (
	maxNodes    = 100_000
	maxProblems = 100
)

// layer is the settings of one place: the file, the environment, the flags.
type layer struct {
	values   map[string]any    // dotted key: string or []string
	entries  []string          // keys.<name> and sources.<name>, even when nothing is below them
	where    map[string]string // dotted key or section: the place, for problems
	problems []Problem
	broken   bool // nothing could be read: what is missing says nothing
}

func newLayer() *layer {
	return &layer{values: map[string]any{}, where: map[string]string{}}
}

func (l *layer) problem(key, where, text, mend string) {
	if len(l.problems) < maxProblems {
		l.problems = append(l.problems, Problem{Key: key, Text: text, Mend: mend, Where: where})
	}
}

// document walks the YAML file along the table of fields.
type document struct {
	*layer
	file  string
	nodes int
}

// readDocument reads the text of a YAML file. What is wrong is in the layer.
func readDocument(file string, text []byte) *layer {
	d := &document{layer: newLayer(), file: file}
	dec := yaml.NewDecoder(bytes.NewReader(text))
	var root yaml.Node
	if err := dec.Decode(&root); err != nil {
		if !errors.Is(err, io.EOF) {
			d.syntax(err)
		}
		return d.layer
	}
	var second yaml.Node
	switch err := dec.Decode(&second); {
	case err == nil:
		d.problem("config", d.at(&second), "holds a second YAML document", "keep one, without --- between parts")
	case !errors.Is(err, io.EOF):
		d.syntax(err)
	}
	switch top := root.Content[0]; {
	case isNull(top):
	case top.Kind != yaml.MappingNode:
		d.broken = true
		d.problem("config", d.at(top), "is "+describe(top)+", not settings", "write key: value lines; `redoxworker config print` shows the form")
	default:
		d.mapping("", top)
	}
	return d.layer
}

func (d *document) at(n *yaml.Node) string { return d.file + ":" + strconv.Itoa(n.Line) }

var (
	syntaxLine = regexp.MustCompile(`line (\d+): `)
	anchorName = regexp.MustCompile(`anchor '.*'`) // may be a secret that begins with *
)

func (d *document) syntax(err error) {
	text := strings.TrimPrefix(err.Error(), "yaml: ")
	where := d.file
	if m := syntaxLine.FindStringSubmatch(text); m != nil {
		where += ":" + m[1]
		text = strings.Replace(text, m[0], "", 1)
	}
	text = anchorName.ReplaceAllString(text, "anchor")
	d.broken = true
	d.problem("config", where, "not valid YAML: "+text, "check indentation and quotes near that line")
}

// enter counts a node, and reports whether it may still be read.
func (d *document) enter(n *yaml.Node, key string) bool {
	d.nodes++
	if d.nodes == maxNodes {
		d.problem(key, d.at(n), "the file is too large or refers to itself", "write less, and without nested aliases")
	}
	return d.nodes < maxNodes
}

// mapping reads one section. prefix is its dotted key, "" for the whole file.
func (d *document) mapping(prefix string, n *yaml.Node) {
	n = resolve(n)
	if !d.enter(n, prefix) {
		return
	}
	if n.Kind != yaml.MappingNode {
		d.problem(prefix, d.at(n), "must be a section with keys below it, not "+describe(n),
			"write its keys on lines of their own, indented")
		return
	}
	lines := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		name, value := n.Content[i], n.Content[i+1]
		if isMerge(name) {
			continue
		}
		if resolve(name).Kind != yaml.ScalarNode {
			d.problem(prefix, d.at(name), "has a key that is not plain text", "write key: value")
			continue
		}
		text := resolve(name).Value
		if line, again := lines[text]; again {
			d.problem(join(prefix, text), d.at(name), fmt.Sprintf("is set twice, first on line %d", line), "keep one")
			continue
		}
		lines[text] = name.Line
		d.entry(prefix, name, value)
	}
	d.merges(prefix, n, lines)
}

// merges reads the keys that come in by <<, as far as the section has none of its own.
func (d *document) merges(prefix string, n *yaml.Node, lines map[string]int) {
	for i := 0; i+1 < len(n.Content); i += 2 {
		if !isMerge(n.Content[i]) {
			continue
		}
		base := resolve(n.Content[i+1])
		if base.Kind != yaml.MappingNode || !d.enter(base, prefix) {
			d.problem(prefix, d.at(n.Content[i]), "<< must name one other section", "write <<: *anchor")
			continue
		}
		for j := 0; j+1 < len(base.Content); j += 2 {
			name := resolve(base.Content[j])
			if _, own := lines[name.Value]; own || name.Kind != yaml.ScalarNode || isMerge(name) {
				continue
			}
			lines[name.Value] = name.Line
			d.entry(prefix, name, base.Content[j+1])
		}
		d.merges(prefix, base, lines) // what that section takes from others in its turn
	}
}

// entry reads one key of a section.
func (d *document) entry(prefix string, name, value *yaml.Node) {
	text := resolve(name).Value
	key := join(prefix, text)
	where := d.at(name)
	if isMap(prefix) && checkName(text) != nil {
		d.problem(key, where, shown(text)+" is not a name", nameMend)
		return
	}
	if _, known := fieldOf(key); strings.Contains(text, ".") || (!known && !isSection(key)) {
		d.problem(key, where, "unknown key", didYouMean(prefix, text))
		return
	}
	d.where[key] = where
	value = resolve(value)
	switch {
	case !isSection(key):
		d.leaf(key, value)
	case isNull(value):
	default:
		d.mapping(key, value)
	}
	if isMap(prefix) {
		d.entries = append(d.entries, key)
	}
}

// leaf reads the value of one field.
func (d *document) leaf(key string, n *yaml.Node) {
	f, _ := fieldOf(key)
	if !d.enter(n, key) || isNull(n) {
		return
	}
	if n.Kind == yaml.ScalarNode && plain(n) {
		d.values[key] = n.Value
		return
	}
	if f.kind != kindList || n.Kind != yaml.SequenceNode {
		d.problem(key, d.at(n), "must be "+f.kind.article()+", not "+describe(n), f.kind.example())
		return
	}
	list := make([]string, 0, len(n.Content))
	for _, item := range n.Content {
		item = resolve(item)
		if !d.enter(item, key) {
			return
		}
		if item.Kind != yaml.ScalarNode || !plain(item) || isNull(item) {
			d.problem(key, d.at(item), "must be a list of texts, and one of them is "+describe(item), f.kind.example())
			return
		}
		list = append(list, item.Value)
	}
	d.values[key] = list
}

// resolve follows aliases. The parser has checked that each leads somewhere.
func resolve(n *yaml.Node) *yaml.Node {
	for n.Kind == yaml.AliasNode && n.Alias != nil {
		n = n.Alias
	}
	return n
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" }

func isMerge(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!merge" }

// plain reports whether a scalar is what it looks like: no tag that changes it.
func plain(n *yaml.Node) bool {
	switch n.ShortTag() {
	case "!!str", "!!int", "!!float", "!!bool", "!!null", "!!timestamp":
		return true
	}
	return false
}

func describe(n *yaml.Node) string {
	switch {
	case n.Kind == yaml.MappingNode:
		return "a section"
	case n.Kind == yaml.SequenceNode:
		return "a list"
	case isNull(n):
		return "nothing"
	case !plain(n):
		return "a value with a tag"
	default:
		return "a plain value"
	}
}
