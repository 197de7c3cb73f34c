package worker

import (
	"strings"
	"testing"

	"github.com/redoxworker/redoxworker/outbox"
)

// A source may have the name of a kind of keys: what an operator decided about its messages is
// not listed as a held token, a claim of a replay or an upload.
func TestLedger_NoSourceNamesAKindOfKeys(t *testing.T) {
	t.Parallel()
	l := newLedger(nil, "")
	for _, source := range []string{"hold", "replay", "replayed", "file", "collect", "by-hand"} {
		key := l.key(outbox.Message{Source: source, ID: "m", Sequence: 7})
		if tokens := strings.Split(key, "."); len(tokens) != 2 {
			t.Errorf("key %s of a record has %d tokens", key, len(tokens))
		}
		if tokens := strings.Split(byHandKey(key), "."); len(tokens) != 3 || tokens[0] != "by-hand" {
			t.Errorf("key of a decision about a message of %s: %s", source, byHandKey(key))
		}
	}
}
