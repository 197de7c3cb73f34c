package operate

import (
	"cmp"
	"context"
	"iter"

	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/worker/audit"
)

// recorded does a deed about many messages: it writes the entry, counts what becomes of each, and
// writes the outcome when the loop has ended, however it has. Where the entry cannot be written, run is
// not called. came names what became of one; "" says that it is an error that ends the deed. named is nil
// where the entry has the ids of all, and else tells them of what was done; "" is none.
func recorded[T any](ctx context.Context, record *audit.Recorder, d audit.Deed, came func(T, error) string, run iter.Seq2[T, error], named func(T) (source, id string)) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var none T
		begun, err := record.Begin(ctx, d)
		if err != nil {
			yield(none, err)
			return
		}
		result, ended := audit.Result{Interrupted: true, Counts: map[string]int{}, IDs: map[string][]string{}}, false
		defer func() {
			if !ended { // the loop panicked
				_ = begun.End(ctx, result) // and tells that
			}
		}()
		broken := false
		run(func(one T, err error) bool {
			if what := came(one, err); what != "" {
				result.Counts[what]++
				if named != nil {
					if source, id := named(one); id != "" {
						source = cmp.Or(source, contract.NoSource)
						result.IDs[source] = append(result.IDs[source], id)
					}
				}
			} else {
				result.Err = err
			}
			broken = !yield(one, err)
			return !broken
		})
		ended, result.Interrupted = true, broken && result.Err == nil
		if err := begun.End(ctx, result); err != nil && !broken {
			yield(none, err)
		}
	}
}
