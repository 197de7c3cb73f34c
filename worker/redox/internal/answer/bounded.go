package answer

import (
	"errors"
	"io"
)

const (
	// firstRead is the first buffer for an answer of unknown length; most answers are a
	// few hundred bytes.
	firstRead = 1 << 10
	// FreeBytes is how much of an answer is kept without a question about room.
	FreeBytes = 64 << 10
)

// ErrOverLimit is returned when an answer is larger than its limit.
var ErrOverLimit = errors.New("over the limit")

// Begin remembers what was read first of a body.
type Begin struct {
	io.Reader
	Bytes []byte // no more than FreeBytes
	more  bool   // than that was read
}

// Read reads from the body.
func (b *Begin) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	if room := FreeBytes - len(b.Bytes); n > room {
		b.more, b.Bytes = true, nil
	}
	if !b.more {
		b.Bytes = append(b.Bytes, p[:n]...)
	}
	return n, err
}

// Whole reports whether all that was read is there.
func (b *Begin) Whole() bool { return !b.more }

// ReadBounded reads up to limit bytes. It returns what it has with every error. Before it
// keeps more than FreeBytes it asks for room, by how much its buffer grows.
func ReadBounded(body io.Reader, length, limit int64, room func(int64) error) ([]byte, error) {
	size := int64(firstRead)
	if length >= 0 {
		size = min(length+1, FreeBytes) // one more, to see the end without growing
	}
	b := make([]byte, 0, min(size, max(limit, 1)))
	for {
		free := b[len(b):cap(b)]
		if left := limit - int64(len(b)); int64(len(free)) > left {
			free = free[:left]
		}
		if len(free) == 0 { // at the limit: is there more?
			var one [1]byte
			n, err := io.ReadFull(body, one[:])
			if n == 1 {
				return b, ErrOverLimit
			}
			return b, endOfBody(err)
		}
		n, err := body.Read(free)
		b = b[:len(b)+n]
		if err != nil {
			return b, endOfBody(err)
		}
		if len(b) < cap(b) || int64(len(b)) >= limit {
			continue
		}
		have, next := int64(cap(b)), grown(int64(cap(b)), length, limit)
		if more := next - max(have, FreeBytes); more > 0 && room != nil {
			if err := room(more); err != nil {
				return b, err
			}
		}
		b = append(make([]byte, 0, next), b...)
	}
}

// grown is the size of the buffer after a full one. A length that the other side gave is
// believed once a quarter of it is there.
func grown(size, length, limit int64) int64 {
	next := 2 * size
	if length >= size && length/4 <= size {
		next = length + 1
	}
	if size < FreeBytes {
		next = min(next, FreeBytes)
	}
	return min(next, limit)
}

func endOfBody(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}
