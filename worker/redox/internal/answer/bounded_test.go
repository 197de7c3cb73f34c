package answer

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"pgregory.net/rapid"
)

func TestReadBounded(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		content := bytes.Repeat([]byte("0123456789abcdef"), 400)[:rapid.IntRange(0, 6000).Draw(t, "size")]
		limit := rapid.Int64Range(0, 7000).Draw(t, "limit")
		length := rapid.SampledFrom([]int64{-1, 0, int64(len(content)), int64(len(content)) + 1, 1 << 40}).Draw(t, "length")
		var r io.Reader = bytes.NewReader(content)
		switch rapid.IntRange(0, 3).Draw(t, "reader") {
		case 0:
			r = iotest.OneByteReader(r)
		case 1:
			r = iotest.DataErrReader(r)
		case 2:
			r = iotest.HalfReader(r)
		}
		got, err := ReadBounded(r, length, limit, nil)
		want := content
		if int64(len(content)) > limit {
			want = content[:limit]
		}
		if !bytes.Equal(got, want) || errors.Is(err, ErrOverLimit) != (int64(len(content)) > limit) {
			t.Fatalf("%d of %d bytes, limit %d: %v", len(got), len(content), limit, err)
		}
		if err != nil && !errors.Is(err, ErrOverLimit) {
			t.Fatal(err)
		}
	})
}

func TestReadBounded_Broken(t *testing.T) {
	t.Parallel()
	boom := errors.New("boom")
	got, err := ReadBounded(io.MultiReader(strings.NewReader("half"), iotest.ErrReader(boom)), 100, 1000, nil)
	if string(got) != "half" || !errors.Is(err, boom) {
		t.Errorf("%q %v", got, err)
	}
}
