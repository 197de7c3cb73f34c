package sqloutbox

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"testing"

	"github.com/redoxworker/redoxworker/outbox"
)

// The locks that Enqueue takes are those that vectors.json tells clients in other languages.
func TestVectors_Locks(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../testdata/vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	var v struct {
		Locks []struct {
			Source, Token string
			PostgreSQL    []string
			Stripe        int `json:"mysql_stripe"`
		} `json:"sql_locks"`
	}
	if err := json.Unmarshal(text, &v); err != nil || len(v.Locks) < 5 {
		t.Fatalf("%d vectors, %v", len(v.Locks), err)
	}
	for _, lock := range v.Locks {
		for dialect, want := range map[Dialect][]string{Postgres: lock.PostgreSQL, MySQL: {fmt.Sprint(lock.Stripe)}} {
			box, err := New(dialect, Config{})
			if err != nil {
				t.Fatal(err)
			}
			tx := &written{}
			m := outbox.Message{ID: "1", Source: lock.Source, OrderToken: lock.Token, Body: []byte("{}")}
			if _, err := box.Enqueue(t.Context(), tx, m); err != nil {
				t.Fatal(err)
			}
			if got := slices.Compact(tx.first); !slices.Equal(got, want) {
				t.Errorf("%s of %s on %s: %q, want %q", lock.Token, lock.Source, dialect, got, want)
			}
		}
	}
}

// written keeps the arguments of the first statement.
type written struct{ first []string }

func (w *written) ExecContext(_ context.Context, _ string, args ...any) (sql.Result, error) {
	if w.first == nil {
		for _, a := range args {
			w.first = append(w.first, fmt.Sprint(a))
		}
	}
	return nil, nil
}
