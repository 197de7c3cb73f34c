package seal

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// followed is a ring that follows a file, and what writes the file anew a second later, as an operator does.
func followed(t *testing.T, ks Keys, kms KMS) (r *Ring, replace func(text []byte)) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "ring.json")
	write := func(text []byte) {
		t.Helper()
		if err := errors.Join(os.WriteFile(path+".new", text, 0o600), os.Rename(path+".new", path)); err != nil {
			t.Fatal(err)
		}
	}
	write(ks.Encode())
	r, err := Open(path, Options{KMS: kms})
	if err != nil {
		t.Fatal(err)
	}
	at := time.Now()
	r.now = func() time.Time { return at }
	return r, func(text []byte) {
		t.Helper()
		write(text)
		at = at.Add(fileLook)
	}
}

// A file that lost its keys is no ring: what they sealed is not said to be of an unknown key.
func TestRing_FileThatLostItsKeys(t *testing.T) {
	t.Parallel()
	ks, _ := Keys{}.With(begin, begin)
	r, replace := followed(t, ks, nil)
	_, envelope, err := r.New(lines...)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"", "{", "null", "{}", `{"keys":[]}`, `{"keys":null}`} {
		replace([]byte(text))
		if _, err := r.Open(envelope, lines...); err != nil || r.Trouble() == nil {
			t.Errorf("%q: %v, trouble %v", text, err, r.Trouble())
		}
	}
	replace(ks.Encode())
	if _, err := r.Open(envelope, lines...); err != nil || r.Trouble() != nil {
		t.Errorf("it is back: %v, trouble %v", err, r.Trouble())
	}
}

// slow is a KMS that answers when it is told to.
type slow struct{ called, answers chan struct{} }

func (s slow) Wrap(_ context.Context, _ string, key []byte) ([]byte, error) { return turned(key), nil }

func (s slow) Unwrap(_ context.Context, _ string, wrapped []byte) ([]byte, error) {
	s.called <- struct{}{}
	<-s.answers
	return turned(wrapped), nil
}

// While a KMS takes its time with a new key, the others seal and open, and what the new one sealed waits for it.
func TestRing_SlowKMS(t *testing.T) {
	t.Parallel()
	s := slow{make(chan struct{}, 1), make(chan struct{})}
	ks, _ := Keys{}.With(begin, begin)
	r, replace := followed(t, ks, s)
	_, old, _ := r.New(lines...)
	ks, _, err := ks.WithWrapped(t.Context(), begin, begin.Add(time.Second), s, "key")
	if err != nil {
		t.Fatal(err)
	}
	_, newer, _ := NewRing(ks).New(lines...)
	replace(ks.Encode())
	looked := make(chan error)
	go func() { looked <- r.Err() }()
	<-s.called
	if _, err := r.Open(old, lines...); err != nil {
		t.Errorf("meanwhile: %v", err)
	}
	if _, envelope, err := r.New(lines...); err != nil || KeyOf(envelope) != KeyOf(old) {
		t.Errorf("meanwhile it seals with %s: %v", KeyOf(envelope), err)
	}
	waits := make(chan error)
	go func() {
		_, err := r.Open(newer, lines...)
		waits <- err
	}()
	close(s.answers)
	if err := errors.Join(<-looked, <-waits); err != nil {
		t.Error(err)
	}
}

// stuck is a KMS that does not answer for some keys, and counts what it is asked.
type stuck struct {
	never string // the name of those keys
	asked atomic.Int64
}

func (*stuck) Wrap(_ context.Context, _ string, key []byte) ([]byte, error) { return turned(key), nil }

func (s *stuck) Unwrap(ctx context.Context, name string, wrapped []byte) ([]byte, error) {
	s.asked.Add(1)
	if name == s.never {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	select { // as a service that is far away
	case <-time.After(50 * time.Millisecond):
		return turned(wrapped), nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// A KMS that does not answer for one key, of many, holds up that key alone, also when a process starts; it is not asked for it
// with each look, nor with each message of a key that nobody has.
func TestRing_KMSThatDoesNotAnswerForOneKey(t *testing.T) {
	t.Parallel()
	begin := time.Date(1999, 11, 30, 12, 0, 0, 0, time.UTC) // before the time of a bubble
	s := &stuck{never: "gone"}
	ks, _, err := Keys{}.WithWrapped(t.Context(), begin, begin, s, s.never)
	if err != nil {
		t.Fatal(err)
	}
	_, lost, _ := NewRing(ks).New(lines...)
	for n := range 300 {
		ks, _, err = ks.WithWrapped(t.Context(), begin, begin.Add(time.Duration(n)*time.Second), s, "key")
		if err != nil {
			t.Fatal(err)
		}
	}
	file, last := ks.Encode(), ks.list[300].ID
	strange, _ := Keys{}.With(begin, begin)
	_, unknown, _ := NewRing(strange).New(lines...)
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "ring.json")
		if err := os.WriteFile(path, file, 0o600); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		r, err := Open(path, Options{KMS: s})
		if err != nil || r.Trouble() == nil || time.Since(began) > unwrapTimeout {
			t.Fatalf("after %v: %v", time.Since(began), err)
		}
		if _, envelope, err := r.New(lines...); err != nil || KeyOf(envelope) != last {
			t.Errorf("it seals with %s, not %s: %v", KeyOf(envelope), last, err)
		}
		if _, err := r.Open(lost, lines...); !errors.Is(err, ErrAway) {
			t.Errorf("of the key without an answer: %v", err)
		}
		before := s.asked.Load()
		for began := time.Now(); time.Since(began) < 10*time.Minute; <-time.After(unknownLook) {
			asked := time.Now()
			if _, _, err := r.New(lines...); err != nil || time.Since(asked) > 0 {
				t.Fatalf("it seals after %v: %v", time.Since(asked), err)
			}
			if _, err := r.Open(unknown, lines...); !errors.Is(err, ErrUnknownKey) || time.Since(asked) > 0 {
				t.Fatalf("of an unknown key after %v: %v", time.Since(asked), err)
			}
		}
		if asked := s.asked.Load() - before; asked < 10 || asked > 60 {
			t.Errorf("asked %d times in ten minutes", asked)
		}
	})
}

// A KMS that does not answer for a hundred keys, the oldest, holds up none of the others for long.
func TestRing_KMSThatDoesNotAnswerForManyKeys(t *testing.T) {
	t.Parallel()
	begin := time.Date(1999, 11, 30, 12, 0, 0, 0, time.UTC) // before the time of a bubble
	s := &stuck{never: "gone"}
	var ks Keys
	for n := range 400 {
		name := "key"
		if n < 100 {
			name = s.never
		}
		var err error
		if ks, _, err = ks.WithWrapped(t.Context(), begin, begin.Add(time.Duration(n)*time.Second), s, name); err != nil {
			t.Fatal(err)
		}
	}
	file := ks.Encode()
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "ring.json")
		if err := os.WriteFile(path, file, 0o600); err != nil {
			t.Fatal(err)
		}
		r, err := Open(path, Options{KMS: s})
		if err != nil {
			t.Fatal(err)
		}
		for began := time.Now(); len(r.state.Load().keys.opening().list) < 300; <-time.After(time.Second) {
			if r.Err(); time.Since(began) > 5*time.Minute {
				t.Fatalf("%d keys open", len(r.state.Load().keys.opening().list))
			}
		}
		<-time.After(unwrapTimeout) // the last look is over
	})
}

// While a KMS fails for a new key, what that sealed is away, and nothing else.
func TestRing_KMSFailsForANewKey(t *testing.T) {
	t.Parallel()
	v := &vault{}
	ks, _ := Keys{}.With(begin, begin)
	r, replace := followed(t, ks, v)
	_, old, _ := r.New(lines...)
	ks, _, err := ks.WithWrapped(t.Context(), begin, begin.Add(time.Second), v, "key")
	if err != nil {
		t.Fatal(err)
	}
	_, newer, _ := NewRing(ks).New(lines...)
	v.fails = errors.New("denied")
	replace(ks.Encode())
	if _, err := r.Open(old, lines...); err != nil || r.Err() != nil || r.Trouble() == nil {
		t.Errorf("of the other key: %v, %v, trouble %v", err, r.Err(), r.Trouble())
	}
	if _, err := r.Open(newer, lines...); !errors.Is(err, ErrAway) || Decided(err) {
		t.Errorf("of the new key: %v", err)
	}
	if _, envelope, err := r.New(lines...); err != nil || KeyOf(envelope) != KeyOf(old) {
		t.Errorf("it seals with %s: %v", KeyOf(envelope), err)
	}
	v.fails = nil
	replace(ks.Encode())
	if _, err := r.Open(newer, lines...); err != nil || r.Trouble() != nil {
		t.Errorf("when it works again: %v, trouble %v", err, r.Trouble())
	}
}
