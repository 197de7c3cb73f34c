package dlq

import (
	"errors"
	"fmt"
	"testing"
)

// Dead letters are selected by patterns of their sources, and by their places in the stream.
func TestQuery_PatternsOfSourcesAndPlaces(t *testing.T) {
	t.Parallel()
	g := newGraveyard(t)
	g.bulk(t, 0, 40, 4)
	for want, q := range map[string]Query{
		"10": {SourcePatterns: []string{"clinic-3"}}, "20": {SourcePatterns: []string{"clinic-[12]"}}, "40": {SourcePatterns: []string{"lab", "*"}}, "0": {SourcePatterns: []string{"lab-*"}},
		"3": {Places: []uint64{1, 5, 40, 41}}, "7": {Through: 7}, "2": {SourcePatterns: []string{"clinic-1"}, Through: 8}, "1": {Places: []uint64{3, 9}, Through: 8},
	} {
		s, err := g.Select(g.Ctx(), q)
		g.Must(err)
		page, err := g.Page(g.Ctx(), q, PageOptions{})
		g.Must(err)
		if fmt.Sprint(s.Len()) != want || len(page.Letters) != s.Len() {
			t.Errorf("%v: %d and %d, want %s", q, s.Len(), len(page.Letters), want)
		}
	}
	if (Query{SourcePatterns: []string{"["}}).Validate() == nil {
		t.Error("a pattern that is none is taken")
	}
	if text := (Query{SourcePatterns: []string{"lab-*"}, Places: []uint64{1}}).String(); text != "source=lab-*" {
		t.Error(text)
	}
}

func TestAt_IsTheDeadLetterOfAPlace(t *testing.T) {
	t.Parallel()
	g := newGraveyard(t)
	if last, err := g.Last(g.Ctx()); err != nil || last != 0 {
		t.Errorf("of none: %d, %v", last, err)
	}
	g.bulk(t, 0, 3, 1)
	l, err := g.At(g.Ctx(), 2)
	g.Must(err)
	if l.MessageID != "m-1" || len(l.Body) == 0 {
		t.Errorf("%v", l)
	}
	if last, err := g.Last(g.Ctx()); err != nil || last != 3 {
		t.Errorf("%d, %v", last, err)
	}
	if _, err := g.At(g.Ctx(), 4); !errors.Is(err, ErrNotFound) {
		t.Error(err)
	}
}
