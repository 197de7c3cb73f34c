package wirecmd

import (
	"iter"

	"go.yaml.in/yaml/v3"
)

// node is a part of a YAML document, whose mappings keep their order. One that is not there is empty.
type node struct{ yaml *yaml.Node }

// at follows names of mappings.
func (n node) at(names ...string) node {
	for _, name := range names {
		next := node{}
		for key, value := range n.pairs() {
			if key == name {
				next = value
			}
		}
		n = next
	}
	return n
}

// pairs are those of a mapping.
func (n node) pairs() iter.Seq2[string, node] {
	return func(yield func(string, node) bool) {
		if n.yaml == nil || n.yaml.Kind != yaml.MappingNode {
			return
		}
		for i := 0; i+1 < len(n.yaml.Content); i += 2 {
			if !yield(n.yaml.Content[i].Value, node{n.yaml.Content[i+1]}) {
				return
			}
		}
	}
}

// values are those of a mapping.
func (n node) values() (all []node) {
	for _, value := range n.pairs() {
		all = append(all, value)
	}
	return all
}

// text is a scalar.
func (n node) text() string {
	if n.yaml == nil || n.yaml.Kind != yaml.ScalarNode {
		return ""
	}
	return n.yaml.Value
}

// texts are the items of a list.
func (n node) texts() (all []string) {
	if n.yaml == nil {
		return nil
	}
	for _, item := range n.yaml.Content {
		all = append(all, item.Value)
	}
	return all
}

// meanings are the pairs of a mapping of texts.
func (n node) meanings() (all []named) {
	for name, value := range n.pairs() {
		all = append(all, named{name, value.text()})
	}
	return all
}
