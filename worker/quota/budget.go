package quota

import "maps"

// costOfFailure is what a request in vain costs the budget of its source, in grants to
// anybody: failing messages of one source get a fifth of what is granted.
const costOfFailure = 5

// budget keeps the failing messages of each source within a fifth of what this worker
// grants, while others wait. Its clock are the grants: each failure keeps its source from its
// turn for so many of them. The zero value is ready.
type budget struct {
	granted int64            // to anybody
	until   map[string]int64 // until how many grants a source is over its budget
	sweep   int              // at which size until is gone through for what has passed
}

// failed notes a request in vain. What it adds up to is bounded by what may be under way, so
// that a source which had failed for long, while nobody else waited, comes back into its share
// soon.
func (b *budget) failed(source string, most int) {
	if b.until == nil {
		b.until = make(map[string]int64)
	}
	if len(b.until) > b.sweep {
		maps.DeleteFunc(b.until, func(_ string, until int64) bool { return until <= b.granted })
		b.sweep = 2*len(b.until) + 64
	}
	until := max(b.until[source], b.granted) + costOfFailure
	b.until[source] = min(until, b.granted+costOfFailure*int64(most))
}

// over reports whether a source has used up its budget at present.
func (b *budget) over(source string) bool {
	return len(b.until) > 0 && b.until[source] > b.granted
}
