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

// fill is body with the missing Source ID.
func (in *insertions) fill(body []byte, g gap) pieces {
	return pieces{body[:g.start], in[g.kind], body[g.end:]}
}
