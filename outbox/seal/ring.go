package seal

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// fileLook is how often the file of a ring is looked at, when the ring is used.
	fileLook = time.Second
	// unknownLook is how often for a key that the ring does not have.
	unknownLook = 50 * time.Millisecond
	// maxFile bounds the file, in bytes.
	maxFile = 1 << 20
	// unwrapTimeout bounds the calls of a KMS when a ring is read. One that did not unwrap all keys is asked again
	// after unwrapFirst, 2, 4, ... s, at most unwrapLast.
	unwrapTimeout = 10 * time.Second
	unwrapFirst   = time.Second
	unwrapLast    = 30 * time.Second
)

// Ring seals and opens with keys. It is safe for concurrent use.
//
// One that was opened from a file is looked at again, once a second, when it is used: there is no watch, and no goroutine
// but while a KMS is asked again. What a good file says holds from then on; while a file has what is no ring, or one without keys, what it said
// before does, see Trouble; while there is none, every use is [ErrAway]. While a KMS does not unwrap a key, what it
// sealed is [ErrAway], and the key before it seals.
type Ring struct {
	path string // "" for one without a file
	kms  KMS
	now  func() time.Time

	state atomic.Pointer[state]
	mu    sync.Mutex // of looking at the file
}

// state is what is known of a ring.
type state struct {
	keys    Keys
	away    error       // nil: it can be used
	trouble error       // why the present file is not in use
	file    os.FileInfo // that was read last
	looked  time.Time
	again   time.Time     // when the KMS is asked once more; zero: it has unwrapped all keys
	pause   time.Duration // before that
}

// Options is what [Open] may be told. The zero value works.
type Options struct {
	// KMS unwraps the keys that have such a name; nil: the file may have no such keys.
	KMS KMS
}

// NewRing returns a ring of keys that do not change.
func NewRing(ks Keys) *Ring {
	r := &Ring{now: time.Now}
	r.state.Store(&state{keys: ks})
	return r
}

// Open reads the ring in a file, and follows it. A ring without a key that seals is an error. So is one with keys that a
// KMS does not unwrap, unless another key can seal meanwhile: that one is in use, with its Trouble.
func Open(path string, o Options) (*Ring, error) {
	r := &Ring{path: path, kms: o.KMS, now: time.Now}
	s := r.read(&state{})
	err := errors.Join(s.away, s.trouble)
	if seals := s.keys.opening().newest(r.now()) != nil; s.away == nil && seals && r.kms != nil && !s.again.IsZero() {
		err = nil
	} else if err == nil && !seals {
		err = ErrNoKey
	}
	if err != nil {
		return nil, fmt.Errorf("seal: ring %s: %w", path, err)
	}
	r.state.Store(s)
	return r, nil
}

// Follow is Open for a ring that may not be needed: its file is looked at when it is used.
func Follow(path string, o Options) *Ring {
	r := &Ring{path: path, kms: o.KMS, now: time.Now}
	r.state.Store(&state{})
	return r
}

// Err says why the ring cannot be used at the moment, as an [ErrAway]; nil when it can. A nil Ring
// can be used for nothing, and has no Err.
func (r *Ring) Err() error {
	if r == nil {
		return nil
	}
	return r.current(fileLook).away
}

// Trouble says why the present file is not what is in use: it has no ring in it. nil when it is.
func (r *Ring) Trouble() error { return r.current(fileLook).trouble }

// Keys returns what may be told of the keys, and the one that seals now; its ID is empty when
// there is none.
func (r *Ring) Keys() (all []Key, seals Key) {
	s := r.current(fileLook)
	seals, _ = s.keys.Sealing(r.now())
	return s.keys.List(), seals
}

// current is the state, looked at anew when it is older than age.
func (r *Ring) current(age time.Duration) *state {
	s := r.state.Load()
	if r.path == "" || fresh(r.now().Sub(s.looked), age) {
		return s
	}
	if !r.mu.TryLock() {
		if s.usable() && (age == fileLook || s.isOf(os.Stat(r.path))) { // somebody looks, and a KMS may take its time
			return s
		}
		r.mu.Lock()
	}
	s = r.state.Load()
	switch {
	case fresh(r.now().Sub(s.looked), age):
		r.mu.Unlock()
	case s.usable() && s.due(r.now()) && s.isOf(os.Stat(r.path)):
		go r.look(s) // nobody waits for a key that stays away; it is bounded by unwrapTimeout
	default:
		return r.look(s)
	}
	return s
}

// look looks at the file. The mutex is held, and is free then.
func (r *Ring) look(s *state) *state {
	defer r.mu.Unlock()
	s = r.read(s)
	s.looked = r.now()
	r.state.Store(s)
	return s
}

// isOf reports whether the file is the one that was read.
func (s *state) isOf(info os.FileInfo, err error) bool {
	return err == nil && s.file != nil && os.SameFile(info, s.file) && info.ModTime().Equal(s.file.ModTime()) && info.Size() == s.file.Size()
}

// due reports whether a KMS is to be asked once more.
func (s *state) due(now time.Time) bool {
	wait := s.again.Sub(now)
	return !s.again.IsZero() && (wait <= 0 || wait > s.pause) // also where the clock was set back
}

// usable reports whether a state holds while the file is looked at.
func (s *state) usable() bool { return s.away == nil && len(s.keys.list) > 0 }

// fresh: a clock that was set back makes nothing young.
func fresh(since, age time.Duration) bool { return since >= 0 && since < age }

// read looks at the file.
func (r *Ring) read(before *state) *state {
	s := &state{keys: before.keys, file: before.file, trouble: before.trouble, looked: r.now()}
	info, err := os.Stat(r.path)
	if err != nil {
		s.away, s.file, s.trouble = fmt.Errorf("%w: %w", ErrAway, err), nil, nil
		return s
	}
	if s.isOf(info, nil) {
		s.again, s.pause = before.again, before.pause
		if s.again.IsZero() {
			return s
		}
		if !s.due(r.now()) {
			s.away = before.away
			return s
		}
	}
	text, err := readFile(r.path)
	if err != nil {
		s.away, s.file = fmt.Errorf("%w: %w", ErrAway, err), nil
		return s
	}
	ks, err := Parse(text)
	if err == nil && len(ks.list) == 0 && len(before.keys.list) > 0 {
		err = errors.New("seal: the ring has no keys: bring the one that had")
	}
	if err != nil {
		if s.file, s.trouble = nil, err; len(before.keys.list) == 0 {
			s.away = fmt.Errorf("%w: %w", ErrAway, err)
		}
		return s
	}
	r.unwrap(s, ks, before)
	s.file = info
	return s
}

// unwrap completes a state with the keys that were read.
func (r *Ring) unwrap(s *state, ks Keys, before *state) {
	ctx, cancel := context.WithTimeout(context.Background(), unwrapTimeout)
	defer cancel()
	err := ks.unwrap(ctx, r.kms, before.keys)
	if err == nil {
		s.keys, s.trouble, s.again, s.pause = ks, nil, time.Time{}, 0
		return
	}
	s.pause = min(max(2*s.pause, unwrapFirst), unwrapLast)
	s.again = r.now().Add(s.pause)
	if len(ks.opening().list) == 0 {
		s.away = fmt.Errorf("%w: %w", ErrAway, err)
		return
	}
	s.keys, s.trouble = ks, err
}

func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(text) > maxFile {
		err = fmt.Errorf("%s is over %d bytes, and no ring", path, maxFile)
	}
	return text, err
}

var errNoRing = fmt.Errorf("%w: there is none here", ErrAway)

// sealing is the key that seals now.
func (r *Ring) sealing() (*key, error) {
	if r == nil {
		return nil, errNoRing
	}
	s := r.current(fileLook)
	if s.away != nil {
		return nil, s.away
	}
	k := s.keys.newest(r.now())
	if k != nil && k.aead == nil { // the one before it seals on
		k = s.keys.opening().newest(r.now())
	}
	if k == nil {
		return nil, ErrNoKey
	}
	return k, nil
}

// opening is the key of an id. One that is not there may have come a moment ago.
func (r *Ring) opening(id string) (k *key, err error) {
	if r == nil {
		return nil, errNoRing
	}
	for _, age := range [...]time.Duration{fileLook, unknownLook} {
		s := r.current(age)
		if s.away != nil {
			return nil, s.away
		}
		if k, err = s.keys.find(id); err == nil {
			return k.usable()
		}
	}
	return nil, err
}
