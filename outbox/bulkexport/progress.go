package bulkexport

import "sync"

// Progress is how far an export is. It holds nothing of a patient.
type Progress struct {
	// Ready: the server is done, and the files are being fetched.
	Ready bool
	// Says is what the server says of how far it is (X-Progress), one line; "" when it says nothing.
	Says string
	// Files are those of the export, and Done those that are here.
	Files, Done int
	// Bytes and Lines are those of the files that are here, and Bytes also of those under way.
	Bytes, Lines int64
}

// progress keeps and tells one.
type progress struct {
	mu   sync.Mutex
	now  Progress
	tell func(Progress)
}

// change changes it and tells of it.
func (p *progress) change(f func(*Progress)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f(&p.now)
	if p.tell != nil {
		p.tell(p.now)
	}
}

// waits takes what the server says. Its text is cut to what fits a line.
func (p *progress) waits(says string) {
	const most = 100
	if len(says) > most {
		says = says[:most]
	}
	p.change(func(now *Progress) { now.Says = says })
}
