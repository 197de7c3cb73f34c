package seal

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
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
