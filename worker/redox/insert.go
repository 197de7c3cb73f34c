package redox

import "github.com/go-json-experiment/json/jsontext"

// gapKind says how the Source ID is missing.
type gapKind uint8

const (
	gapNone        gapKind = iota
	gapEmptyMeta           // Meta is {}
	gapNoSource            // Meta has other members only
	gapNullSource          // Meta.Source is null
	gapEmptySource         // Meta.Source is {}
	gapNoID                // Meta.Source has other members only
	gapEmptyID             // Meta.Source.ID is null or ""
)

// insertions are the texts that fill each kind of gap with one Source ID.
type insertions [gapEmptyID + 1][]byte

func newInsertions(id string) insertions {
	quoted, _ := jsontext.AppendQuote(nil, id) // an ID is checked before, and is ASCII
	q := string(quoted)
	return insertions{
		gapEmptyMeta:   []byte(`"Source":{"ID":` + q + `}`),
		gapNoSource:    []byte(`"Source":{"ID":` + q + `},`),
		gapNullSource:  []byte(`{"ID":` + q + `}`),
		gapEmptySource: []byte(`"ID":` + q),
		gapNoID:        []byte(`"ID":` + q + `,`),
		gapEmptyID:     quoted,
	}
}

// size of body with the missing Source ID.
func (in *insertions) size(body []byte, g gap) int {
	return g.start + len(in[g.kind]) + len(body) - g.end
}

// fill appends body with the missing Source ID to out. The result is one piece of memory on
// purpose: net/http writes head and body of a request together only if it knows the body's
// reader to be in memory, so a reader over parts would cost a system call and a buffer of
// its own.
func (in *insertions) fill(out, body []byte, g gap) []byte {
	out = append(out, body[:g.start]...)
	out = append(out, in[g.kind]...)
	return append(out, body[g.end:]...)
}
