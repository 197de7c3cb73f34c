package httpwire

import (
	"io"
	"net"
)

// Pieces are what a body consists of: memory that is read and never changed. Most messages
// lack their Source ID, and a copy of each would be a tenth of all that a worker allocates.
type Pieces [3][]byte

// Size is in bytes.
func (p *Pieces) Size() (n int64) {
	for _, piece := range p {
		n += int64(len(piece))
	}
	return n
}

// Parts reads pieces once, for one sending. A [sendConn] writes them without a copy.
type Parts struct {
	left   net.Buffers
	space  [1 + len(Pieces{})][]byte // of left; the first is for the head of the request
	headOn *sendConn                 // keeps the head until these are read
}

// NewParts returns a reader of all pieces.
func NewParts(all *Pieces) *Parts {
	p := new(Parts)
	p.left = p.space[1:1]
	for _, piece := range all {
		if len(piece) > 0 {
			p.left = append(p.left, piece)
		}
	}
	return p
}

// Read copies as much as b has room for, of several pieces if need be.
func (p *Parts) Read(b []byte) (n int, err error) {
	if p.headOn != nil { // what is written next is the body
		p.headOn.buffering, p.headOn = false, nil
	}
	for n < len(b) && len(p.left) > 0 {
		copied := copy(b[n:], p.left[0])
		n += copied
		if p.left[0] = p.left[0][copied:]; len(p.left[0]) == 0 {
			p.left = p.left[1:]
		}
	}
	if n == 0 && len(p.left) == 0 {
		return 0, io.EOF
	}
	return n, nil
}

// Close does nothing.
func (p *Parts) Close() error { return nil }

// behind puts head in front of what is left.
func (p *Parts) behind(head []byte) *net.Buffers {
	p.left = append(append(p.space[:0], head), p.left...)
	return &p.left
}

func (p *Parts) size() (n int64) {
	for _, piece := range p.left {
		n += int64(len(piece))
	}
	return n
}
