package jsonscan

import "testing"

// Every byte at every place of a word.
func TestSpecialBytes(t *testing.T) {
	t.Parallel()
	for c := range 0x80 {
		if c == '\\' {
			continue // escapes and UTF-8: the table and the fuzz test
		}
		for at := range 8 {
			body := []byte(`"~~~~~~~~~~~~~~~"`)
			body[1+at] = byte(c)
			want := len(body)
			switch {
			case c < ' ':
				want = Failed
			case c == '"':
				want = at + 2
			}
			if got := SkipString(body, 0); got != want {
				t.Errorf("byte %#x at %d: %d, want %d", c, at, got, want)
			}
		}
	}
}
