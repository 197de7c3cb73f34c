package sealcmd

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/redoxworker/redoxworker/outbox/seal"
)

// A ring that is changed is read by those who read it before, through the same link, and loses no key that somebody else
// has added meanwhile.
func TestRing_Write(t *testing.T) {
	t.Parallel()
	now := time.Now()
	ks, _ := seal.Keys{}.With(now, now)
	dir := t.TempDir()
	file, link := filepath.Join(dir, "ring.json"), filepath.Join(dir, "link.json")
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.WriteFile(file, ks.Encode(), 0o600))
	must(os.Chmod(file, 0o640))
	must(os.Symlink("ring.json", link))
	one, err := openRing(link)
	must(err)
	other, err := openRing(file)
	must(err)
	more, _ := ks.With(now, now)
	must(one.write(more))
	if info, err := os.Lstat(file); err != nil || info.Mode() != 0o640 {
		t.Errorf("its mode: %v, %v", info.Mode(), err)
	}
	if info, err := os.Lstat(link); err != nil || info.Mode()&os.ModeSymlink == 0 {
		t.Errorf("the link: %v, %v", info.Mode(), err)
	}
	if err := other.write(ks); err == nil || !strings.Contains(err.Error(), "was changed meanwhile; run this again") {
		t.Errorf("over what another has written: %v", err)
	}
	if now, err := openRing(file); err != nil || len(now.keys.List()) != 2 {
		t.Errorf("%d keys, %v", len(now.keys.List()), err)
	}
	full, err := openRing(file)
	must(err)
	for range 1000 {
		full.keys, _ = full.keys.With(now, now)
	}
	if err := full.write(full.keys); err == nil || !strings.Contains(err.Error(), "take out shredded ones") {
		t.Errorf("more keys than are read: %v", err)
	}
	if now, err := openRing(file); err != nil || len(now.keys.List()) != 2 {
		t.Errorf("%d keys, %v", len(now.keys.List()), err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 2 {
		t.Errorf("files are left: %v, %v", entries, err)
	}
}

// A key that is shredded while a rewrap waits to be confirmed seals nothing of what is rewrapped.
func TestRing_AKeyThatIsShreddedMeanwhile(t *testing.T) {
	t.Parallel()
	now := time.Now()
	ks, first := seal.Keys{}.With(now.Add(-time.Hour), now.Add(-time.Hour))
	file := filepath.Join(t.TempDir(), "ring.json")
	if err := os.WriteFile(file, ks.Encode(), 0o600); err != nil {
		t.Fatal(err)
	}
	waits, err := openRing(file)
	if err != nil {
		t.Fatal(err)
	}
	ks, second := ks.With(now, now)
	if ks, err = ks.Shred(first.ID, now); err != nil {
		t.Fatal(err)
	}
	if err := waits.write(ks); err != nil {
		t.Fatal(err)
	}
	ring, err := waits.follow()
	if err != nil {
		t.Fatal(err)
	}
	if _, envelope, err := ring.New("line"); err != nil || seal.KeyOf(envelope) != second.ID {
		t.Errorf("sealed by %s, not %s: %v", seal.KeyOf(envelope), second.ID, err)
	}
}
