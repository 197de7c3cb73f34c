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
		"one byte":           {Output, "x", 1, 0},
		"long":               {Output, strings.Repeat("x", 100_000) + "\n" + strings.Repeat("y", 70_000), 2, 0},
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
