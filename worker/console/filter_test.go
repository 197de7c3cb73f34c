package console

import (
	"testing"

	"github.com/redoxworker/redoxworker/outbox/dlq"
)

// Who may do something to no source selects nothing, not everything.
func TestRestrict_NoPatternsAreNoSources(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		patterns        []string
		sources, asking int // how many of each q has then
	}{{nil, 0, 1}, {[]string{"*"}, 0, 0}, {[]string{"a", "*"}, 0, 0}, {[]string{"a", "b"}, 2, 0}, {[]string{"a-*"}, 0, 1}} {
		var q dlq.Query
		restrict(&q, c.patterns)
		if len(q.Sources) != c.sources || len(q.SourcePatterns) != c.asking || q.Validate() != nil {
			t.Errorf("%v: %+v", c.patterns, q)
		}
	}
	q := dlq.Query{Sources: []string{"a"}}
	if restrict(&q, []string{"b"}); len(q.SourcePatterns) != 1 {
		t.Errorf("%+v", q)
	}
}
