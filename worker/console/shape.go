package console

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

const (
	// mostShape bounds the places of a shape, mostDepth how deep it goes, and mostShaped the body of
	// which one is made, in bytes.
	mostShape, mostDepth, mostShaped = 400, 24, 4 << 20
	// hiddenKey stands for keys that are no words: they may be data.
	hiddenKey = "(a key that is not shown)"
)

// shapeRow is one place in a body: what it is, and not what it holds.
type shapeRow struct {
	Depth int    `json:"depth"`
	Key   string `json:"key"`
	Type  string `json:"type"`
	// Length of a string in characters, and of an array in elements.
	Length int `json:"length,omitempty"`
}

// Indent is for people.
func (s shapeRow) Indent() string { return strings.Repeat("  ", s.Depth) }

// errNoJSON says that a body has no shape.
var errNoJSON = errors.New("the body is not JSON")

// shapeOf is the shape of a body in JSON: keys, types and lengths. The elements of an array are one
// row with what they have in common.
func shapeOf(body []byte) ([]shapeRow, error) {
	if len(body) > mostShaped {
		return nil, fmt.Errorf("it has %d bytes: no shape is made of more than %d", len(body), mostShaped)
	}
	if !json.Valid(body) { // which bounds how deep it goes: reading it takes a stack of that size
		return nil, errNoJSON
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	root := &node{}
	if err := root.read(d, 0); err != nil {
		return nil, errNoJSON
	}
	rows := root.rows(nil, "", 0)
	if len(rows) > mostShape {
		rows = append(rows[:mostShape:mostShape], shapeRow{Key: "…", Type: fmt.Sprintf("%d more", len(rows)-mostShape)})
	}
	return rows, nil
}

// node is what is at one place, of all elements of an array together.
type node struct {
	types  []string
	length int // the longest
	keys   []string
	fields map[string]*node
	items  *node
}

func (n *node) is(kind string) {
	if !slices.Contains(n.types, kind) {
		n.types = append(n.types, kind)
	}
}

// read takes the next value.
func (n *node) read(d *json.Decoder, depth int) error {
	token, err := d.Token()
	if err != nil {
		return err
	}
	switch v := token.(type) {
	case json.Delim:
		if v == '{' {
			return n.readObject(d, depth)
		}
		return n.readArray(d, depth)
	case string:
		n.is("string")
		n.length = max(n.length, utf8.RuneCountInString(v))
	case json.Number:
		n.is("number")
	case bool:
		n.is("boolean")
	case nil:
		n.is("null")
	}
	return nil
}

func (n *node) readObject(d *json.Decoder, depth int) error {
	n.is("object")
	if n.fields == nil {
		n.fields = map[string]*node{}
	}
	for d.More() {
		token, err := d.Token()
		if err != nil {
			return err
		}
		key, _ := token.(string)
		if !isWord(key) {
			key = hiddenKey
		}
		at := n.fields[key]
		if at == nil {
			at = &node{}
			n.fields[key] = at
			n.keys = append(n.keys, key)
		}
		if depth >= mostDepth {
			at = &node{}
		}
		if err := at.read(d, depth+1); err != nil {
			return err
		}
	}
	_, err := d.Token()
	return err
}

func (n *node) readArray(d *json.Decoder, depth int) error {
	n.is("array")
	if n.items == nil {
		n.items = &node{}
	}
	length := 0
	for d.More() {
		at := n.items
		if depth >= mostDepth {
			at = &node{}
		}
		if err := at.read(d, depth+1); err != nil {
			return err
		}
		length++
	}
	n.length = max(n.length, length)
	_, err := d.Token()
	return err
}

// rows are n and what is below it.
func (n *node) rows(all []shapeRow, key string, depth int) []shapeRow {
	kind := strings.Join(n.types, " or ")
	all = append(all, shapeRow{Depth: depth, Key: key, Type: kind, Length: n.length})
	if n.items != nil && len(n.items.types) > 0 {
		all = n.items.rows(all, "each", depth+1)
	}
	for _, key := range n.keys {
		all = n.fields[key].rows(all, key, depth+1)
	}
	return all
}

// isWord reports whether a key is one that somebody thought up for a schema: letters, with a digit or
// two at its end. A key with more digits, or a blank, may be an identifier or a name.
func isWord(key string) bool {
	if key == "" || len(key) > 40 {
		return false
	}
	rest := strings.TrimLeft(key, "_@$")
	letters := strings.TrimRight(rest, "0123456789")
	if len(rest)-len(letters) > 2 || letters == "" {
		return false
	}
	for _, c := range letters {
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && c != '_' && c != '-' {
			return false
		}
	}
	return true
}
