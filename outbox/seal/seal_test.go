package seal

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

var begin = time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)

// rung is a ring with one key, whose time is at.
func rung(t *testing.T, at *time.Time) *Ring {
	t.Helper()
	ks, _ := Keys{}.With(begin, begin)
	r := NewRing(ks)
	r.now = func() time.Time { return *at }
	return r
}

var lines = []string{"message", "redox", "clinic-a", "visit-1", "send", "", "data-model", ""}

func pattern(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i * 7)
	}
	return b
}

// What is sealed opens, in memory and as a stream, at each side of the bounds of parts.
func TestSeal_Opens(t *testing.T) {
	t.Parallel()
	at := begin
	r := rung(t, &at)
	for _, n := range []int{0, 1, 15, 16, 1000, partSize - 1, partSize, partSize + 1, 2 * partSize, 3*partSize + 5} {
		key, envelope, err := r.New(lines...)
		if err != nil {
			t.Fatal(err)
		}
		h := Headers{Size: int64(n), Headers: map[string]string{"Redox-Path": "x?given=Ada"}}
		sealedHeaders, body := key.SealHeaders(h), pattern(n)
		sealed := key.Seal(body)
		streamed, err := io.ReadAll(iotest.HalfReader(key.SealFrom(bytes.NewReader(body), int64(n))))
		if err != nil || !bytes.Equal(streamed, sealed) || int64(len(sealed)) != Size(int64(n)) {
			t.Fatalf("%d bytes: sealed %d, streamed %d, want %d, %v", n, len(sealed), len(streamed), Size(int64(n)), err)
		}
		opener, err := r.Open(envelope, lines...)
		if err != nil {
			t.Fatal(err)
		}
		got, err := opener.OpenHeaders(sealedHeaders)
		if err != nil || got.Size != int64(n) || got.Headers["Redox-Path"] != "x?given=Ada" {
			t.Fatalf("%d bytes: %v, %v", n, got, err)
		}
		if opened, err := opener.Open(sealed, got.Size); err != nil || !bytes.Equal(opened, body) {
			t.Errorf("%d bytes: %v", n, err)
		}
		if opened, err := io.ReadAll(opener.OpenFrom(iotest.OneByteReader(bytes.NewReader(sealed)), got.Size)); err != nil || !bytes.Equal(opened, body) {
			t.Errorf("%d bytes as a stream: %v", n, err)
		}
	}
}

// A bit that is turned, a byte that is missing or added, and a part in another place are noticed before
// the end.
func TestSeal_NoticesWhatIsAltered(t *testing.T) {
	t.Parallel()
	at := begin
	r := rung(t, &at)
	key, envelope, _ := r.New(lines...)
	body := pattern(2*partSize + 100)
	sealed, headers := key.Seal(body), key.SealHeaders(Headers{Size: int64(len(body))})
	for i := range len(envelope) {
		if _, err := r.Open(envelope[:i]+string(envelope[i]^1)+envelope[i+1:], lines...); !Decided(err) {
			t.Errorf("bit of byte %d of the envelope: %v", i, err)
		}
	}
	for i := range len(headers) {
		if _, err := key.OpenHeaders(headers[:i] + string(headers[i]^1) + headers[i+1:]); !errors.Is(err, ErrAltered) {
			t.Errorf("bit of byte %d of the headers: %v", i, err)
		}
	}
	part := partSize + tagSize
	moved := bytes.Join([][]byte{sealed[part : 2*part], sealed[:part], sealed[2*part:]}, nil)
	cases := map[string][]byte{"moved": moved, "cut": sealed[:len(sealed)-1], "cut at a part": sealed[:2*part], "longer": append(bytes.Clone(sealed), 0), "empty": nil}
	for _, at := range []int{0, 1, partSize - 1, partSize, part, 2 * part, len(sealed) - 1} {
		bad := bytes.Clone(sealed)
		bad[at] ^= 1
		cases[fmt.Sprintf("bit at %d", at)] = bad
	}
	for name, bad := range cases {
		if _, err := key.Open(bad, int64(len(body))); !errors.Is(err, ErrAltered) {
			t.Errorf("%s: %v", name, err)
		}
		got, err := io.ReadAll(key.OpenFrom(bytes.NewReader(bad), int64(len(body))))
		if !errors.Is(err, ErrAltered) || len(got) >= len(body) {
			t.Errorf("%s as a stream: %d bytes, %v", name, len(got), err)
		}
	}
	if _, err := key.Open(sealed, int64(len(body)-1)); !errors.Is(err, ErrAltered) {
		t.Errorf("another size: %v", err)
	}
}

// An envelope opens beside its own lines alone, and no two sets of lines are one.
func TestSeal_BelongsToItsMessage(t *testing.T) {
	t.Parallel()
	at := begin
	r := rung(t, &at)
	_, envelope, _ := r.New(lines...)
	for i := range lines {
		other := append([]string{}, lines...)
		other[i] += "x"
		if _, err := r.Open(envelope, other...); !errors.Is(err, ErrAltered) {
			t.Errorf("line %d: %v", i, err)
		}
	}
	if _, _, err := r.New("a\nb"); err == nil {
		t.Error("a line of two lines is taken")
	}
	if _, err := r.Open(envelope, strings.Join(lines, "\n")); err == nil {
		t.Error("lines that were joined are taken for lines")
	}
}

// The key whose time came last seals, all open; one that was shredded says so.
func TestRing_RotatesAndShreds(t *testing.T) {
	t.Parallel()
	at := begin
	r := rung(t, &at)
	first := r.state.Load().keys.List()[0].ID
	_, before, _ := r.New(lines...)
	ks, second := r.state.Load().keys.With(begin, begin.Add(10*time.Minute))
	r.state.Store(&state{keys: ks})
	_, during, _ := r.New(lines...)
	if KeyOf(during) != first {
		t.Errorf("%s seals before its time", KeyOf(during))
	}
	if _, err := ks.Shred(first, at); err == nil {
		t.Error("the key that seals is shredded")
	}
	at = begin.Add(10 * time.Minute)
	_, after, _ := r.New(lines...)
	if KeyOf(after) != second.ID {
		t.Errorf("%s seals when it was the turn of %s", KeyOf(after), second.ID)
	}
	for _, envelope := range []string{before, during, after} {
		if _, err := r.Open(envelope, lines...); err != nil {
			t.Error(err)
		}
	}
	anew, changed, err := r.Rewrap(before, lines...)
	if err != nil || !changed || KeyOf(anew) != second.ID {
		t.Errorf("rewrapped: %s, %t, %v", KeyOf(anew), changed, err)
	}
	if same, changed, err := r.Rewrap(after, lines...); err != nil || changed || same != after {
		t.Errorf("rewrapped what is sealed by it: %t, %v", changed, err)
	}
	if ks, err = ks.Shred(first, at); err != nil {
		t.Fatal(err)
	}
	again, err := Parse(ks.Encode())
	if err != nil {
		t.Fatal(err)
	}
	r.state.Store(&state{keys: again})
	if _, err := r.Open(before, lines...); !errors.Is(err, ErrShredded) {
		t.Errorf("shredded: %v", err)
	}
	old, _ := r.Open(anew, lines...)
	if old.aead == nil {
		t.Error("what was rewrapped does not open")
	}
	r.state.Store(&state{})
	if _, err := r.Open(after, lines...); !errors.Is(err, ErrUnknownKey) {
		t.Errorf("unknown: %v", err)
	}
}

// A file is followed: a new key opens at once, a file that is gone is ErrAway, one that is broken changes nothing.
func TestRing_FollowsItsFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "ring.json")
	if _, err := Open(path, Options{}); !errors.Is(err, ErrAway) {
		t.Fatalf("no file: %v", err)
	}
	ks, _ := Keys{}.With(begin, begin)
	write := func(text []byte) {
		t.Helper()
		if err := os.WriteFile(path+".new", text, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(path+".new", path); err != nil {
			t.Fatal(err)
		}
	}
	write([]byte(`{"keys": []}`))
	if _, err := Open(path, Options{}); !errors.Is(err, ErrNoKey) {
		t.Fatalf("no key: %v", err)
	}
	write(ks.Encode())
	r, err := Open(path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	at := time.Now()
	r.now = func() time.Time { return at }
	_, envelope, err := r.New(lines...)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	at = at.Add(fileLook)
	if _, err := r.Open(envelope, lines...); !errors.Is(err, ErrAway) || Decided(err) || !errors.Is(r.Err(), ErrAway) {
		t.Errorf("no file: %v", err)
	}
	write([]byte("{"))
	at = at.Add(fileLook)
	if _, err := r.Open(envelope, lines...); err != nil || r.Trouble() == nil {
		t.Errorf("broken file: %v, %v", err, r.Trouble())
	}
	more, _ := ks.With(begin, begin.Add(time.Second))
	other := NewRing(more)
	_, newer, _ := other.New(lines...)
	write(more.Encode())
	at = at.Add(unknownLook)
	if _, err := r.Open(newer, lines...); err != nil || r.Trouble() != nil {
		t.Errorf("a key that came a moment ago: %v, %v", err, r.Trouble())
	}
}

// FuzzOpen: whatever comes, it is no panic, and nothing opens that was not sealed.
func FuzzOpen(f *testing.F) {
	ks, _ := Keys{}.With(begin, begin)
	r := NewRing(ks)
	key, envelope, _ := r.New(lines...)
	f.Add(envelope, key.SealHeaders(Headers{Size: 3}), key.Seal([]byte("abc")), int64(3))
	f.Add("v1..", "", []byte{}, int64(0))
	f.Fuzz(func(t *testing.T, e, headers string, body []byte, size int64) {
		if _, err := r.Open(e, lines...); err == nil && e != envelope {
			t.Errorf("opens: %q", e)
		}
		_, _ = key.OpenHeaders(headers)
		if size < 0 || size > 1<<20 {
			return
		}
		whole, err := key.Open(body, size)
		streamed, streamErr := io.ReadAll(key.OpenFrom(bytes.NewReader(body), size))
		if (err == nil) != (streamErr == nil) || err == nil && !bytes.Equal(whole, streamed) {
			t.Errorf("%v, as a stream %v", err, streamErr)
		}
	})
}

// FuzzParse: what is read as a ring is written and read the same, and never printed.
func FuzzParse(f *testing.F) {
	ks, _ := Keys{}.With(begin, begin)
	f.Add(ks.Encode())
	f.Add([]byte(`{"keys":[{"id":"a","made":"2026-11-30T12:00:00Z","seals":"2026-11-30T12:00:00Z","shredded":"2026-12-01T00:00:00Z"}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		ks, err := Parse(text)
		if err != nil {
			return
		}
		again, err := Parse(ks.Encode())
		if err != nil || len(again.list) != len(ks.list) {
			t.Errorf("read again: %v", err)
		}
	})
}

// vault is a key management service that turns bits, panics, or refuses.
type vault struct {
	calls int
	fails error
	panic bool
}

func turned(key []byte) []byte {
	for i := range key {
		key[i] ^= 0x5a
	}
	return key
}

func (v *vault) Wrap(_ context.Context, _ string, key []byte) ([]byte, error) {
	return turned(key), nil
}

func (v *vault) Unwrap(_ context.Context, name string, wrapped []byte) ([]byte, error) {
	if v.calls++; v.panic {
		panic(name)
	}
	return turned(wrapped), v.fails
}

// Keys that a KMS keeps are not in the file; they are unwrapped once, and while that fails the ring is away.
func TestRing_KeysOfAKMS(t *testing.T) {
	t.Parallel()
	v := &vault{}
	ks, k, err := Keys{}.WithWrapped(t.Context(), begin, begin, v, "projects/x/key")
	if err != nil || k.KMS != "projects/x/key" {
		t.Fatal(k, err)
	}
	_, envelope, err := NewRing(ks).New(lines...)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "ring.json")
	if err := os.WriteFile(path, ks.Encode(), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(path, Options{}); !errors.Is(err, ErrAway) {
		t.Errorf("without the KMS: %v", err)
	}
	for _, bad := range []*vault{{fails: errors.New("denied")}, {panic: true}} {
		if _, err := Open(path, Options{KMS: bad}); !errors.Is(err, ErrAway) {
			t.Errorf("a KMS that fails: %v", err)
		}
	}
	r, err := Open(path, Options{KMS: v})
	if err != nil {
		t.Fatal(err)
	}
	at := time.Now()
	r.now = func() time.Time { return at }
	more, _ := ks.With(begin, begin)
	if err := os.WriteFile(path, more.Encode(), 0o600); err != nil {
		t.Fatal(err)
	}
	at = at.Add(fileLook)
	if _, err := r.Open(envelope, lines...); err != nil || v.calls != 1 {
		t.Errorf("%d calls, %v", v.calls, err)
	}
	if _, _, err := (Keys{}).WithWrapped(t.Context(), begin, begin, nil, "x"); err == nil {
		t.Error("no KMS is taken for one")
	}
}

// Nothing of a key is printed.
func TestRing_PrintsNoKey(t *testing.T) {
	t.Parallel()
	ks, _ := Keys{}.With(begin, begin)
	r := NewRing(ks)
	key, _, _ := r.New(lines...)
	secrets := []string{string(ks.list[0].bytes), fmt.Sprintf("%x", ks.list[0].bytes), fmt.Sprint(ks.list[0].bytes[:4])[1:8], base64.StdEncoding.EncodeToString(ks.list[0].bytes), string(key.bytes), fmt.Sprintf("%x", key.bytes)}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		text := fmt.Sprintf(verb+verb+verb+verb+verb, ks, r, key, Headers{Headers: map[string]string{"Redox-Path": "Ada"}}, ks.list)
		for _, secret := range append(secrets, "Ada") {
			if strings.Contains(text, secret) {
				t.Errorf("%s prints a secret: %s", verb, text)
			}
		}
	}
}
