package redox

import (
	"math/bits"
	"sync"
)

// buffers keeps the memory of bodies that were edited, for the next: most messages lack
// their Source ID, and a copy of each would be a tenth of all that a worker allocates.
type buffers [maxBufferClass + 1]sync.Pool

// Buffers have 1 KiB shifted by their class. Larger ones are rare, and not kept.
const (
	bufferUnit     = 10
	maxBufferClass = 6
)

// take answers a buffer with room for n bytes.
func (p *buffers) take(n int) *[]byte {
	class := bufferClass(n)
	if class > maxBufferClass {
		b := make([]byte, 0, n)
		return &b
	}
	if b, ok := p[class].Get().(*[]byte); ok {
		return b
	}
	b := make([]byte, 0, 1<<(bufferUnit+class))
	return &b
}

// give takes a buffer back that nobody reads any more.
func (p *buffers) give(b *[]byte) {
	if class := bufferClass(cap(*b)); class <= maxBufferClass {
		*b = (*b)[:0]
		p[class].Put(b)
	}
}

func bufferClass(n int) int { return bits.Len(uint(max(n, 1)-1) >> bufferUnit) }
