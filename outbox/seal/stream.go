package seal

import (
	"errors"
	"io"
)

// partSize is how much of a body is in one part.
const partSize = 64 << 10

// Size is the length of a sealed body of n bytes.
func Size(n int64) int64 { return n + (n+partSize-1)/partSize*tagSize }

// Seal encrypts a body. An empty one stays empty.
func (k DataKey) Seal(body []byte) []byte {
	out := make([]byte, 0, Size(int64(len(body))))
	for number := uint64(0); len(body) > 0; number++ {
		n := min(len(body), partSize)
		flag := byte(partMore)
		if n == len(body) {
			flag = partLast
		}
		out = k.aead.Seal(out, nonce(number, flag), body[:n], nil)
		body = body[n:]
	}
	return out
}

// Open decrypts a body of a size, which [Headers] has. The sealed one stays as it is. The error is
// an [ErrAltered].
func (k DataKey) Open(sealed []byte, size int64) ([]byte, error) {
	if int64(len(sealed)) != Size(size) {
		return nil, altered("the body has another length")
	}
	if size == 0 {
		return nil, nil
	}
	out := make([]byte, 0, size)
	for number, left := uint64(0), size; left > 0; number++ {
		n, flag := part(left)
		var err error
		if out, err = k.aead.Open(out, nonce(number, flag), sealed[:n+tagSize], nil); err != nil {
			return nil, altered("the body does not open")
		}
		sealed = sealed[n+tagSize:]
		left -= int64(n)
	}
	return out, nil
}

// part is how long the next part is when so much is left, and its flag.
func part(left int64) (n int, flag byte) {
	if left <= partSize {
		return int(left), partLast
	}
	return partSize, partMore
}

// SealFrom encrypts a body of a size while it is read: no more than one part is in memory. A source of
// another length is an error.
func (k DataKey) SealFrom(body io.Reader, size int64) io.Reader {
	return &parts{key: k, from: body, left: size, work: func(dst, number, in []byte) ([]byte, error) {
		return k.aead.Seal(dst, number, in, nil), nil
	}}
}

// OpenFrom decrypts a body of a size while it is read: no more than one part is in memory. The
// error of a read is an [ErrAltered], or that of the source; a body that is altered, cut off or longer
// never comes to its end.
func (k DataKey) OpenFrom(sealed io.Reader, size int64) io.Reader {
	return &parts{key: k, from: sealed, left: size, tag: tagSize, work: func(dst, number, in []byte) ([]byte, error) {
		return k.aead.Open(dst, number, in, nil)
	}}
}

// parts works on a body part by part. It is for one goroutine.
type parts struct {
	key    DataKey
	from   io.Reader
	left   int64 // of the body, before it is sealed
	tag    int   // bytes behind each part of the source
	work   func(dst, nonce, in []byte) ([]byte, error)
	number uint64
	in     []byte
	out    []byte
	ready  []byte // not yet handed out
	err    error
}

// Read is that of [io.Reader].
func (p *parts) Read(into []byte) (int, error) {
	for len(p.ready) == 0 && p.err == nil {
		p.err = p.next()
	}
	if len(p.ready) == 0 {
		return 0, p.err
	}
	n := copy(into, p.ready)
	p.ready = p.ready[n:]
	return n, nil
}

// next makes the next part ready. The last one is not handed out before the source has ended.
func (p *parts) next() error {
	if p.left == 0 {
		if err := p.ended(); err != nil {
			return err
		}
		return io.EOF
	}
	n, flag := part(p.left)
	if p.in == nil {
		p.in, p.out = make([]byte, n+p.tag), make([]byte, 0, n+tagSize)
	}
	if _, err := io.ReadFull(p.from, p.in[:n+p.tag]); errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return altered("the body is cut off")
	} else if err != nil {
		return err
	}
	out, err := p.work(p.out[:0], nonce(p.number, flag), p.in[:n+p.tag])
	if err != nil {
		return altered("the body does not open")
	}
	if p.left -= int64(n); p.left == 0 {
		if err := p.ended(); err != nil {
			return err
		}
		p.ready = out
		return io.EOF
	}
	p.number++
	p.ready = out
	return nil
}

// ended reads the end of the source: it has checked what it has to check by then.
func (p *parts) ended() error {
	var one [1]byte
	for range 100 {
		n, err := p.from.Read(one[:])
		switch {
		case n > 0:
			return altered("the body is longer than it was")
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
	}
	return io.ErrNoProgress
}
