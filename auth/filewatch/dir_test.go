package filewatch

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// A directory stands for the names in it: a file that comes or goes is a change, what is in one
// is not, unless the file is watched as well.
func TestWatcher_ADirectoryStandsForItsNames(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := write(t, dir, "one", []byte("1"))
	read := make(chan string, 100)
	w := must(New([]string{dir}, func() error {
		names := ""
		entries, err := os.ReadDir(dir)
		for _, e := range entries {
			names += e.Name() + " "
		}
		read <- names
		return err
	}, slowPoll))
	runWatcher(t, w)
	write(t, dir, "two", []byte("2"))
	expect(t, read, "one two ")
	<-time.After(10 * slowPoll.Settle) // the look after a change is over
	write(t, dir, "one", []byte("1.1"))
	if err := os.Rename(file, filepath.Join(dir, "three")); err != nil {
		t.Fatal(err)
	}
	expect(t, read, "three two ")
	if n := len(read); n != 0 {
		t.Errorf("%d calls more than changes of names", n)
	}
}

// What is larger than a key may be watched too.
func TestWatcher_ALargeFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	text := make([]byte, 1<<20)
	file := write(t, dir, "large", text)
	read := make(chan string, 100)
	runWatcher(t, must(New([]string{file}, func() error { read <- "changed"; return nil }, slowPoll)))
	text[len(text)-1] = 1
	write(t, dir, "large", text)
	expect(t, read, "changed")
}

// Thousands of files that the system has no watches for are not read each second.
func TestWatcher_NoWatchesLeft(t *testing.T) {
	t.Parallel()
	c := Config{}.WithDefaults()
	for _, why := range []error{syscall.EMFILE, syscall.ENFILE, errors.Join(nil, fmt.Errorf("add: %w", syscall.ENOSPC))} {
		if got := c.unwatched(why); got != c.Poll {
			t.Errorf("%v: %v", why, got)
		}
	}
	if got := c.unwatched(errors.New("no inotify")); got != time.Second {
		t.Errorf("%v", got)
	}
}
