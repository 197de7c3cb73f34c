package audit

import "slices"

// Line is an entry, and the outcome of the deed that it is.
type Line struct {
	Record
	// Outcome is nil where the deed is under way, whoever did it was killed, or the entry is no deed.
	Outcome *Record
}

// Tail keeps the last entries of many, each deed with its outcome. Make one with [NewTail]; it must not be used
// concurrently.
type Tail struct {
	limit int
	lines []*Line
	deeds map[string]*Line // those of lines, by their id
	after uint64
}

// NewTail returns a Tail of so many entries; 0 means all.
func NewTail(limit int) *Tail { return &Tail{limit: limit, deeds: map[string]*Line{}} }

// Add takes an entry in: an outcome with its deed, if that is among the last ones.
func (t *Tail) Add(r Record) {
	t.after = r.Sequence
	if r.Deed != nil && r.Deed.Outcome != "" {
		if deed := t.deeds[r.Deed.ID]; deed != nil {
			if r.Deed.Part == 0 {
				deed.Outcome = &r
			}
			return
		}
	}
	line := &Line{Record: r}
	t.lines = append(t.lines, line)
	if r.Deed != nil && r.Deed.Outcome == "" && r.Deed.Part == 0 {
		t.deeds[r.Deed.ID] = line
	}
	if t.limit > 0 && len(t.lines) >= 2*t.limit+1000 {
		t.cut()
	}
}

// cut forgets all but the last.
func (t *Tail) cut() {
	if t.limit == 0 || len(t.lines) <= t.limit {
		return
	}
	n := len(t.lines) - t.limit
	for _, l := range t.lines[:n] {
		if l.Deed != nil {
			delete(t.deeds, l.Deed.ID)
		}
	}
	t.lines = slices.Clone(t.lines[n:])
}

// Lines are the last entries, in the order in which they were added.
func (t *Tail) Lines() []*Line {
	t.cut()
	return t.lines
}

// After is the place in the stream of the entry that was added last.
func (t *Tail) After() uint64 { return t.after }

// Records are the entries of a line, as they stand in the stream: the deed, then its outcome.
func (l *Line) Records() []Record {
	if l.Outcome == nil {
		return []Record{l.Record}
	}
	return []Record{l.Record, *l.Outcome}
}
