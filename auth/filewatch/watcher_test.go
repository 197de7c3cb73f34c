package filewatch

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fsnotify/fsnotify"

	"github.com/redoxworker/redoxworker/worker/workertest/bubble"
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func write(t *testing.T, dir, name string, data []byte) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// watch runs a Watcher for the length of the test; each reload sends what the
// file then holds.
func watch(t *testing.T, file string, cfg Config) (*Watcher, <-chan string) {
	t.Helper()
	read := make(chan string, 100)
	w := must(New([]string{file}, func() error {
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		read <- string(text)
		return nil
	}, cfg))
	runWatcher(t, w)
	return w, read
}

func runWatcher(t *testing.T, w *Watcher) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var ran sync.WaitGroup
	ran.Go(func() {
		if err := w.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() { cancel(); ran.Wait() })
}

// expect waits for a reload that read want.
func expect(t *testing.T, read <-chan string, want string) {
	t.Helper()
	for got := range read {
		if got == want {
			return
		}
	}
}

// slowPoll leaves everything to events.
var slowPoll = Config{Poll: time.Hour, Settle: 20 * time.Millisecond}

func TestWatcher_WrittenInPlaceAndReplaced(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := write(t, dir, "secret", []byte("one"))
	_, read := watch(t, file, slowPoll)
	write(t, dir, "secret", []byte("two"))
	expect(t, read, "two")
	write(t, dir, ".secret.tmp", []byte("three"))
	if err := os.Rename(filepath.Join(dir, ".secret.tmp"), file); err != nil {
		t.Fatal(err)
	}
	expect(t, read, "three")
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	write(t, dir, "secret", []byte("four"))
	expect(t, read, "four")
}

// kubernetes writes a volume as kubelet does: a new directory, and a symlink
// that is swapped to it.
func kubernetes(t *testing.T, dir, version, content string) {
	t.Helper()
	data := filepath.Join(dir, version)
	if err := os.Mkdir(data, 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, data, "secret", []byte(content))
	tmp := filepath.Join(dir, "..data_tmp")
	if err := errors.Join(os.Symlink(version, tmp), os.Rename(tmp, filepath.Join(dir, "..data"))); err != nil {
		t.Fatal(err)
	}
}

func TestWatcher_KubernetesSwapsASymlink(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	kubernetes(t, dir, "..2026_03_01", "one")
	file := filepath.Join(dir, "secret")
	if err := os.Symlink("..data/secret", file); err != nil {
		t.Fatal(err)
	}
	_, read := watch(t, file, slowPoll)
	for i, content := range []string{"two", "three", "four"} {
		kubernetes(t, dir, "..2026_03_0"+string(rune('2'+i)), content)
		expect(t, read, content)
		if err := os.RemoveAll(filepath.Join(dir, "..2026_03_0"+string(rune('1'+i)))); err != nil {
			t.Fatal(err)
		}
	}
}

func TestWatcher_SymlinkToAnotherDirectory(t *testing.T) {
	t.Parallel()
	here, there, elsewhere := t.TempDir(), t.TempDir(), t.TempDir()
	link := filepath.Join(here, "secret")
	if err := os.Symlink(write(t, there, "s", []byte("one")), link); err != nil {
		t.Fatal(err)
	}
	_, read := watch(t, link, slowPoll)
	write(t, there, "s", []byte("two"))
	expect(t, read, "two")
	tmp := filepath.Join(here, "tmp")
	if err := errors.Join(os.Symlink(write(t, elsewhere, "s", []byte("three")), tmp), os.Rename(tmp, link)); err != nil {
		t.Fatal(err)
	}
	expect(t, read, "three")
	write(t, elsewhere, "s", []byte("four")) // its directory is watched only since the swap
	expect(t, read, "four")
}

func TestWatcher_AChangeBeforeRunIsNotMissed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := write(t, dir, "secret", []byte("one"))
	read := make(chan string, 1)
	w := must(New([]string{file}, func() error { read <- "reloaded"; return nil }, slowPoll))
	write(t, dir, "secret", []byte("two"))
	runWatcher(t, w)
	expect(t, read, "reloaded")
}

func TestWatcher_ANoisyDirectoryHoldsNothingUp(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := write(t, dir, "secret", []byte("one"))
	_, read := watch(t, file, Config{Poll: time.Hour, Settle: 500 * time.Millisecond})
	ctx, cancel := context.WithCancel(t.Context())
	var noise sync.WaitGroup
	noise.Go(func() {
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for ctx.Err() == nil {
			<-tick.C
			if err := os.WriteFile(filepath.Join(dir, "log"), []byte(time.Now().String()), 0o600); err != nil {
				t.Error(err)
			}
		}
	})
	defer noise.Wait()
	defer cancel()
	write(t, dir, "secret", []byte("two"))
	expect(t, read, "two")
}

// TestWatcher_PollsWithoutEvents drives the loop with no file system events, as
// on a network file system, in fake time.
func TestWatcher_PollsWithoutEvents(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		dir, log := t.TempDir(), &bytes.Buffer{}
		file := write(t, dir, "key.pem", []byte("one key"))
		var good, tried atomic.Int32
		w := must(New([]string{file}, func() error {
			tried.Add(1)
			if text, err := os.ReadFile(file); err != nil || !strings.HasSuffix(string(text), " key") {
				return errors.New("that is no key")
			}
			good.Add(1)
			return nil
		}, Config{Logger: slog.New(slog.NewTextHandler(log, nil))}))
		ctx, cancel := context.WithCancel(t.Context())
		var ran sync.WaitGroup
		ran.Go(func() { w.loop(ctx, new(fsnotify.Watcher)) })
		defer ran.Wait()
		defer cancel()

		bubble.Sleep(time.Hour + 5*time.Second) // now and later between two polls
		synctest.Wait()
		if tried.Load() != 0 {
			t.Error("reloaded without a change")
		}
		write(t, dir, "key.pem", []byte("half a k")) // a bad one, for half a minute
		bubble.Sleep(30 * time.Second)
		synctest.Wait()
		if tried.Load() != 3 || strings.Count(log.String(), "cannot be used") != 1 {
			t.Errorf("%d tries, log:\n%s", tried.Load(), log)
		}
		write(t, dir, "key.pem", []byte("another key"))
		bubble.Sleep(time.Hour)
		synctest.Wait()
		if good.Load() != 1 || strings.Count(log.String(), "files reloaded") != 1 {
			t.Errorf("%d good reloads, log:\n%s", good.Load(), log)
		}
	})
}

func TestWatcher_WhereNothingCanBeWatched(t *testing.T) {
	t.Parallel()
	log := &bytes.Buffer{}
	file := filepath.Join(t.TempDir(), "no such directory", "secret")
	w := must(New([]string{file}, func() error { return nil }, Config{Logger: slog.New(slog.NewTextHandler(log, nil))}))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := w.Run(ctx); err != nil || !strings.Contains(log.String(), "read at intervals") {
		t.Errorf("%v, log:\n%s", err, log)
	}
}

func TestNewWatcher_Refuses(t *testing.T) {
	t.Parallel()
	if _, err := New(nil, func() error { return nil }, Config{Poll: -1}); err == nil {
		t.Error("a negative poll was taken")
	}
	w := must(New(nil, func() error { return nil }, Config{}))
	w.running.Store(true)
	if err := w.Run(t.Context()); !errors.Is(err, ErrRunning) {
		t.Errorf("got %v", err)
	}
}

func TestNew_NothingToCall(t *testing.T) {
	t.Parallel()
	if _, err := New(nil, nil, Config{}); err == nil || !strings.HasPrefix(err.Error(), "filewatch: ") {
		t.Error(err)
	}
	w := must(New(nil, func() error { panic("patient 4711") }, Config{}))
	if err := w.reloaded(); err == nil || strings.Contains(err.Error(), "4711") {
		t.Error(err)
	}
}
