package worker_test

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
	"github.com/redoxworker/redoxworker/outbox/topology"
	"github.com/redoxworker/redoxworker/worker"
)

func auditLines(t *testing.T, path string) (entries []worker.AuditEntry) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for lines := bufio.NewScanner(bytes.NewReader(data)); lines.Scan(); {
		var e worker.AuditEntry
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			t.Fatalf("a line that is no entry: %v", err)
		}
		entries = append(entries, e)
	}
	return entries
}

func TestAuditFile_ManyWritersWholeLines(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	const files, each = 3, 200
	var all sync.WaitGroup
	for i := range files {
		f, err := worker.NewAuditFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for j := range each {
			all.Go(func() {
				if err := f.Append(t.Context(), worker.AuditEntry{Message: fmt.Sprint(i, ".", j), Settlement: outbox.Delivered, Error: "some text to make it longer"}); err != nil {
					t.Error(err)
				}
			})
		}
	}
	all.Wait()
	if n := len(auditLines(t, path)); n != files*each {
		t.Errorf("%d lines, want %d", n, files*each)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v: the audit trail is its owner's alone", info.Mode(), err)
	}
}

func TestAuditFile_FollowsARotation(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(dir, "audit.jsonl")
		f, err := worker.NewAuditFile(path)
		if err != nil {
			t.Fatal(err)
		}
		write := func(id string) {
			t.Helper()
			if err := f.Append(t.Context(), worker.AuditEntry{Message: id}); err != nil {
				t.Fatal(err)
			}
		}
		write("a")
		if err := os.Rename(path, path+".1"); err != nil {
			t.Fatal(err)
		}
		write("b") // into the old file: not looked yet
		time.Sleep(2 * time.Second)
		write("c")
		if old, now := auditLines(t, path+".1"), auditLines(t, path); len(old) != 2 || len(now) != 1 || now[0].Message != "c" {
			t.Errorf("old %v, new %v", old, now)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		if err := f.Append(t.Context(), worker.AuditEntry{}); err == nil {
			t.Error("an entry was taken by a closed file")
		}
	})
	if _, err := worker.NewAuditFile(filepath.Join(dir, "missing", "audit.jsonl")); err == nil {
		t.Error("a file in a folder that is missing was opened")
	}
}

func TestAuditStream_StoresEachEntryOnce(t *testing.T) {
	inBubble(t, func(r *rig) {
		if _, err := (topology.Topology{Audit: true, AuditMaxAge: 24 * time.Hour}).Ensure(r.Context(), r.js); err != nil {
			t.Fatal(err)
		}
		audit := worker.AuditStream(r.js, "")
		r.start(worker.Config{Audit: audit})
		id := r.publish(outbox.Message{})
		r.awaitSettled(id)
		stream, err := r.js.Stream(r.Context(), "REDOX_AUDIT")
		if err != nil {
			t.Fatal(err)
		}
		msg, err := stream.GetLastMsgForSubject(r.Context(), "redox.audit."+source)
		if err != nil {
			t.Fatal(err)
		}
		var e worker.AuditEntry
		if err := json.Unmarshal(msg.Data, &e); err != nil || e.Message != id || e.Settlement != outbox.Delivered {
			t.Errorf("entry %+v, %v", e, err)
		}
		if err := audit(r.Context(), e); err != nil { // again, as after a crash
			t.Fatal(err)
		}
		if n := r.stored("REDOX_AUDIT"); n != 1 {
			t.Errorf("%d entries, want 1", n)
		}
		another, other := e, e
		another.Settlement = outbox.Expired          // decided after a crash before the ack
		other.Stored = e.Stored.Add(5 * time.Minute) // of its name and sequence, in a queue that was made anew
		for _, e := range []worker.AuditEntry{another, other} {
			if err := audit(r.Context(), e); err != nil {
				t.Fatal(err)
			}
		}
		if n := r.stored("REDOX_AUDIT"); n != 3 {
			t.Errorf("%d entries, want 3: one took another's place", n)
		}
	})
}

// Nor does one that was there before the process was started.
func TestAuditFile_BeginsALineOfItsOwn(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	if err := os.WriteFile(path, []byte("{\"message\":\"one\"}\n{\"mess"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"two", "three"} {
		f, err := worker.NewAuditFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := f.Append(t.Context(), worker.AuditEntry{Message: id}); err != nil {
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
