package cli

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestInput_InterruptEndsABlockedRead(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	endless, feed := io.Pipe()
	defer func() { _ = feed.Close() }() // lets the abandoned read go
	in, err := (&App{Stdin: endless}).OpenInput(ctx, "-")
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	if _, err := io.ReadAll(in); err == nil || err.Error() != "interrupted" {
		t.Errorf("error %v", err)
	}
	if err := in.Close(); err != nil {
		t.Error(err)
	}
}

func TestInput_KnowsHowFarAFileIs(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "body.json")
	body := bytes.Repeat([]byte("x"), 1<<20)
	if err := os.WriteFile(path, body, 0o600); err != nil {
		t.Fatal(err)
	}
	in, err := (&App{}).OpenInput(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	if in.Size() != 1<<20 {
		t.Errorf("size %d", in.Size())
	}
	if got, err := io.ReadAll(in); err != nil || !bytes.Equal(got, body) {
		t.Errorf("read %d bytes, %v", len(got), err)
	}
	if in.At() != in.Size() {
		t.Errorf("at %d of %d when all is read", in.At(), in.Size())
	}
	if err := in.Close(); err != nil {
		t.Error(err)
	}
	if stream := newInput(t.Context(), strings.NewReader(""), nil); stream.Size() != 0 || stream.At() != 0 {
		t.Error("a stream has a size")
	}
}
