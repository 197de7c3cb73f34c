package audit_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/worker/audit"
	"github.com/redoxworker/redoxworker/worker/workertest/bubble"
)

func readEntries(t *testing.T, path string) (entries []audit.Entry) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for lines := bufio.NewScanner(bytes.NewReader(data)); lines.Scan(); {
		var e audit.Entry
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			t.Fatalf("a line that is no entry: %v", err)
		}
		entries = append(entries, e)
	}
	return entries
}

func TestFile_ManyWritersWholeLines(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	const files, each = 3, 200
	var all sync.WaitGroup
	for i := range files {
		f, err := audit.NewFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for j := range each {
			all.Go(func() {
				if err := f.Append(t.Context(), audit.Entry{Message: fmt.Sprint(i, ".", j), Settlement: outbox.Delivered, Error: "some text to make it longer"}); err != nil {
					t.Error(err)
				}
			})
		}
	}
	all.Wait()
	if n := len(readEntries(t, path)); n != files*each {
		t.Errorf("%d lines, want %d", n, files*each)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v: the audit trail is its owner's alone", info.Mode(), err)
	}
}

func TestFile_FollowsARotation(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(dir, "audit.jsonl")
		f, err := audit.NewFile(path)
		if err != nil {
			t.Fatal(err)
		}
		write := func(id string) {
			t.Helper()
			if err := f.Append(t.Context(), audit.Entry{Message: id}); err != nil {
				t.Fatal(err)
			}
		}
		write("a")
		if err := os.Rename(path, path+".1"); err != nil {
			t.Fatal(err)
		}
		write("b") // into the old file: not looked yet
		bubble.Sleep(2 * time.Second)
		write("c")
		if old, now := readEntries(t, path+".1"), readEntries(t, path); len(old) != 2 || len(now) != 1 || now[0].Message != "c" {
			t.Errorf("old %v, new %v", old, now)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		if err := f.Append(t.Context(), audit.Entry{}); err == nil {
			t.Error("an entry was taken by a closed file")
		}
	})
	if _, err := audit.NewFile(filepath.Join(dir, "missing", "audit.jsonl")); err == nil {
		t.Error("a file in a folder that is missing was opened")
	}
}

// Nor does one that was there before the process was started.
func TestFile_BeginsALineOfItsOwn(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	if err := os.WriteFile(path, []byte("{\"message\":\"one\"}\n{\"mess"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"two", "three"} {
		f, err := audit.NewFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := f.Append(t.Context(), audit.Entry{Message: id}); err != nil {
			t.Fatal(err)
		}
		_ = f.Close()
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(string(data), "\n"), "\n")
	if len(lines) != 4 || !json.Valid([]byte(lines[2])) || !json.Valid([]byte(lines[3])) {
		t.Errorf("%q", lines)
	}
}
