package config

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// YAML returns the effective settings, defaults included and secrets redacted, in
// the order of Reference. A secret that a file holds is printed as its path: so,
// without secrets given by value, Load reads the text back to an equal Config. A key that
// nothing uses has a comment that says so.
func (c *Config) YAML() []byte { return encode(c.tree()) }

func encode(tree *yaml.Node) []byte {
	var b bytes.Buffer
	enc := yaml.NewEncoder(&b)
	enc.SetIndent(2)
	_ = enc.Encode(tree) // of maps and scalars, into memory
	_ = enc.Close()
	return b.Bytes()
}

// SourcesYAML returns sources as a file of sources_dir has them.
func SourcesYAML(sources map[string]Source) []byte {
	root := mappingNode()
	add(root, "sources", mappingNode())
	for _, name := range slices.Sorted(maps.Keys(sources)) {
		s := sources[name]
		putEntry(root, "sources", name, &s, "")
	}
	return encode(root)
}

// JSON returns what YAML returns, as indented JSON.
func (c *Config) JSON() []byte {
	var compact, out bytes.Buffer
	writeJSON(&compact, c.tree())
	_ = json.Indent(&out, compact.Bytes(), "", "  ") // compact is valid: written just above
	out.WriteByte('\n')
	return out.Bytes()
}

// tree builds the settings as a YAML tree, in the order of the table.
func (c *Config) tree() *yaml.Node {
	root := mappingNode()
	for _, f := range fields {
		section := f.section()
		switch {
		case section == "":
			put(root, f, f.key, c)
		case child(root, section) != nil:
		case section == "keys":
			add(root, section, mappingNode())
			for _, name := range slices.Sorted(maps.Keys(c.Keys)) {
				k := c.Keys[name]
				putEntry(root, section, name, &k, k.Type)
				if !c.UsesKey(name) {
					lastName(child(root, section)).HeadComment = unusedKey
				}
			}
		default:
			add(root, section, mappingNode())
			for _, name := range slices.Sorted(maps.Keys(c.Sources)) {
				s := c.Sources[name]
				putEntry(root, section, name, &s, "")
			}
		}
	}
	return root
}

// unusedKey marks a key in the print.
const unusedKey = "no source uses this key: no token is asked for with it"

// lastName is the node of the name that was added last to a mapping.
func lastName(m *yaml.Node) *yaml.Node { return m.Content[len(m.Content)-2] }

func putEntry(root *yaml.Node, section, name string, entry any, keyType string) {
	add(child(root, section), name, mappingNode())
	for _, f := range fields {
		if f.section() == section && (keyType == "" || f.has(keyType)) {
			put(root, f, f.named(name), entry)
		}
	}
}

// put writes one field of owner below root.
func put(root *yaml.Node, f field, key string, owner any) {
	value := scalar(f, f.at(owner))
	other, _ := f.sibling()
	switch f.kind {
	case kindSecret: // as a path where a file holds it
		if value == nil || *other.at(owner).(*string) != "" {
			return
		}
	case kindSecretFile:
		if value.Value == "" && other.at(owner).(*Secret).IsSet() {
			return
		}
	}
	parts := strings.Split(key, ".")
	for _, p := range parts[:len(parts)-1] {
		if child(root, p) == nil {
			add(root, p, mappingNode())
		}
		root = child(root, p)
	}
	add(root, parts[len(parts)-1], value)
}

// scalar writes a value as the file would have it; nil for a secret that is unset.
func scalar(f field, ptr any) *yaml.Node {
	switch p := ptr.(type) {
	case *Secret:
		if !p.IsSet() {
			return nil
		}
		return textNode(p.String())
	case *string:
		if f.key == "admin.listen" && *p == "" {
			return textNode(listenOff)
		}
		return textNode(*p)
	case *URL:
		return textNode(p.String())
	case *bool:
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!bool", Value: strconv.FormatBool(*p)}
	case *int:
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!int", Value: strconv.Itoa(*p)}
	case *float64:
		n := &yaml.Node{}
		_ = n.Encode(*p) // a finite number
		return n
	case *time.Duration:
		return textNode(formatDuration(*p))
	case *int64:
		return sizeNode(*p)
	case *[]string:
		list := &yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq", Style: yaml.FlowStyle}
		for _, one := range *p {
			list.Content = append(list.Content, textNode(one))
		}
		return list
	}
	return nil
}

func sizeNode(n int64) *yaml.Node {
	text := formatSize(n)
	if isDigits(strings.TrimPrefix(text, "-")) {
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!int", Value: text}
	}
	return textNode(text)
}

func textNode(text string) *yaml.Node {
	n := &yaml.Node{}
	_ = n.Encode(text) // quotes what another reader might take for true or a number; text is valid UTF-8
	return n
}

func mappingNode() *yaml.Node { return &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"} }

func add(m *yaml.Node, name string, value *yaml.Node) {
	m.Content = append(m.Content, textNode(name), value)
}

func child(m *yaml.Node, name string) *yaml.Node {
	for i := 0; i+1 < len(m.Content); i += 2 {
		if m.Content[i].Value == name {
			return m.Content[i+1]
		}
	}
	return nil
}

// writeJSON writes a tree that tree built: maps, lists and scalars.
func writeJSON(b *bytes.Buffer, n *yaml.Node) {
	switch n.Kind {
	case yaml.MappingNode:
		b.WriteByte('{')
		for i := 0; i+1 < len(n.Content); i += 2 {
			if i > 0 {
				b.WriteByte(',')
			}
			writeJSON(b, n.Content[i])
			b.WriteByte(':')
			writeJSON(b, n.Content[i+1])
		}
		b.WriteByte('}')
	case yaml.SequenceNode:
		b.WriteByte('[')
		for i, item := range n.Content {
			if i > 0 {
				b.WriteByte(',')
			}
			writeJSON(b, item)
		}
		b.WriteByte(']')
	default:
		if n.Tag != "!!str" {
			b.WriteString(n.Value)
			return
		}
		enc := json.NewEncoder(b)
		enc.SetEscapeHTML(false)
		_ = enc.Encode(n.Value) // text into memory; the line break at its end is Indent's to remove
	}
}
