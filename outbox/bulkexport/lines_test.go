package bulkexport

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

func TestCounter(t *testing.T) {
	t.Parallel()
	warning, failed := `{"issue":[{"severity":"warning"},{"severity":"information"}]}`, `{"issue":[{"severity":"information"},{"severity":"error"}]}`
	for name, tt := range map[string]struct {
		kind  Kind
		text  string
		lines int64
		bad   int64
	}{
		"nothing":            {Output, "", 0, 0},
		"one":                {Output, "{}", 1, 0},
		"one, ended":         {Output, "{}\n", 1, 0},
		"blank lines":        {Output, "\n{}\r\n \n\r\n{}\n\n", 2, 0},
		"one byte":           {Errors, "x", 1, 1},
		"long":               {Output, `{"x":"` + strings.Repeat("x", 100_000) + `"}` + "\n" + `{"y":"` + strings.Repeat("y", 70_000) + `"}`, 2, 0},
		"a mark":             {Output, "\ufeff{}\n{}", 2, 0},
		"brackets in texts":  {Output, `{"a":"}{\"\\","b":[{"c":[]},"]"]}` + "\n", 1, 0},
		"warnings":           {Errors, warning + "\n" + warning + "\n", 2, 0},
		"errors":             {Errors, warning + "\n" + failed + "\n" + failed, 3, 2},
		"no outcome":         {Errors, "{}\nnonsense\n[]\n", 3, 3},
		"endless":            {Errors, `{"issue":[{"severity":"warning","x":"` + strings.Repeat("x", maxIssueLine) + `"}]}` + "\n" + warning, 2, 1},
		"errors elsewhere":   {Output, failed + "\n", 1, 0},
		"issues of deletion": {Deleted, "{}\n", 1, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var packed bytes.Buffer
			w := gzip.NewWriter(&packed)
			if _, err := w.Write([]byte(tt.text)); err != nil || w.Close() != nil {
				t.Fatal(err)
			}
			for how, r := range map[string]io.Reader{
				"plain": strings.NewReader(tt.text), "half": iotest.HalfReader(strings.NewReader(tt.text)), "data with the end": iotest.DataErrReader(strings.NewReader(tt.text)), "packed": &packed,
			} {
				c, err := newCounter(r, tt.kind)
				if err != nil {
					t.Fatal(err)
				}
				got, err := io.ReadAll(c)
				if err != nil || string(got) != tt.text || c.figures != (Figures{Lines: tt.lines, Bytes: int64(len(tt.text)), Issues: tt.bad}) {
					t.Errorf("%s: %d bytes, %+v, %v", how, len(got), c.figures, err)
				}
			}
		})
	}
}

func TestCounter_Broken(t *testing.T) {
	t.Parallel()
	boom := errors.New("boom")
	if _, err := newCounter(iotest.ErrReader(boom), Output); !errors.Is(err, boom) {
		t.Error(err)
	}
	c, err := newCounter(io.MultiReader(strings.NewReader("{}\n{"), iotest.ErrReader(boom)), Output)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(c); !errors.Is(err, boom) {
		t.Error(err)
	}
	if _, err := newCounter(strings.NewReader("\x1f\x8b no gzip"), Output); err == nil {
		t.Error("what is not packed was taken for it")
	}
}

// A file that broke off within a line may come whole another time; what is no NDJSON does not.
func TestCounter_Lines(t *testing.T) {
	t.Parallel()
	for text, passes := range map[string]bool{
		"{}\n{": true, `{"a":"}`: true, "{}\n" + `{"a":{"b":1}`: true, `{"a":"\`: true,
		"{}\n{\n{}\n": false, "<html>\n</html>\n": false, "x": false, "[]": false, "{}{}\n": false, "{} x": false, "x{}": false, "null\n{}\n": false, "{}}": false, "\"": false,
	} {
		for how, r := range map[string]io.Reader{"whole": strings.NewReader(text), "by bytes": iotest.OneByteReader(strings.NewReader(text))} {
			c, err := newCounter(r, Output)
			if err != nil {
				t.Fatal(err)
			}
			if _, err = io.ReadAll(c); err == nil || isPassing(err) != passes || strings.Contains(err.Error(), "html") {
				t.Errorf("%q, %s: %v", text, how, err)
			}
		}
	}
}

func TestCounter_PackedAndCut(t *testing.T) {
	t.Parallel()
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	if _, err := w.Write([]byte("{}\n")); err != nil || w.Close() != nil {
		t.Fatal(err)
	}
	for n := 2; n < packed.Len(); n++ {
		c, err := newCounter(bytes.NewReader(packed.Bytes()[:n]), Output)
		if err == nil {
			_, err = io.ReadAll(c)
		}
		if !isPassing(err) {
			t.Errorf("%d of %d bytes: %v", n, packed.Len(), err)
		}
	}
}
