package auth

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fsnotify/fsnotify"
)

// watch runs a Watcher for the length of the test; each reload sends what the
// file then holds.
func watch(t *testing.T, file string, cfg WatcherConfig) (*Watcher, <-chan string) {
	t.Helper()
	read := make(chan string, 100)
	w := must(NewWatcher([]string{file}, func() error {
		s, err := ReadSecretFile(file)
		if err != nil {
			return err
		}
		read <- s.Reveal()
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

// expect waits for a reload that read want, for the two seconds of the promise.
func expect(t *testing.T, read <-chan string, want string) {
	t.Helper()
	limit := time.NewTimer(2 * time.Second)
	defer limit.Stop()
	for {
		select {
		case got := <-read:
			if got == want {
				return
			}
		case <-limit.C:
			t.Fatalf("no reload of %q within two seconds", want)
		}
	}
}

// slowPoll leaves everything to events.
var slowPoll = WatcherConfig{Poll: time.Hour, Settle: 20 * time.Millisecond}

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
	w := must(NewWatcher([]string{file}, func() error { read <- "reloaded"; return nil }, slowPoll))
	write(t, dir, "secret", []byte("two"))
	runWatcher(t, w)
	expect(t, read, "reloaded")
}

func TestWatcher_ANoisyDirectoryHoldsNothingUp(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := write(t, dir, "secret", []byte("one"))
	_, read := watch(t, file, WatcherConfig{Poll: time.Hour, Settle: 500 * time.Millisecond})
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
		dir, log := t.TempDir(), &logBook{}
		file := write(t, dir, "key.pem", pkcs8(ecNumbers()))
		var good, tried atomic.Int32
		w := must(NewWatcher([]string{file}, func() error {
			tried.Add(1)
			_, err := ReadKeyFile(file, "k")
			if err == nil {
				good.Add(1)
			}
			return err
		}, WatcherConfig{Logger: log.logger()}))
		ctx, cancel := context.WithCancel(t.Context())
		var ran sync.WaitGroup
		ran.Go(func() { w.loop(ctx, new(fsnotify.Watcher)) })
		defer ran.Wait()
		defer cancel()

		time.Sleep(time.Hour + 5*time.Second) // now and later between two polls
		if tried.Load() != 0 {
			t.Error("reloaded without a change")
		}
		write(t, dir, "key.pem", []byte("half a k")) // a bad one, for half a minute
		time.Sleep(30 * time.Second)
		if tried.Load() != 3 || strings.Count(log.String(), "cannot be used") != 1 {
			t.Errorf("%d tries, log:\n%s", tried.Load(), log)
		}
		write(t, dir, "key.pem", pkcs8(rsaNumbers()))
		time.Sleep(time.Hour)
		if good.Load() != 1 || strings.Count(log.String(), "files reloaded") != 1 {
			t.Errorf("%d good reloads, log:\n%s", good.Load(), log)
		}
	})
}

// TestWatcher_ToANewTokenWithinTwoSeconds is the whole way: a key file is
// replaced, and tokens come by the new key.
func TestWatcher_ToANewTokenWithinTwoSeconds(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := write(t, dir, "key.jwk", jwkOf(rsaKey("old"), nil))
	s := newStandIn(t, ecKey("new")) // the old key is withdrawn already
	o := newTestOAuth(t, s, must(ReadKeyFile(file, "")), OAuthConfig{})
	c := startCache(t, o, CacheConfig{})
	done := make(chan string, 1)
	w := must(NewWatcher([]string{file}, func() error {
		k, err := ReadKeyFile(file, "")
		if err != nil {
			return err
		}
		if err := o.SetKeys(k, Key{}); err != nil {
			return err
		}
		c.Renew()
		_, err = c.Bearer(t.Context())
		done <- "renewed"
		return err
	}, WatcherConfig{Poll: time.Hour}))
	runWatcher(t, w)
	if _, err := c.Bearer(t.Context()); err == nil {
		t.Fatal("the withdrawn key was taken")
	}
	write(t, dir, "key.jwk", jwkOf(ecKey("new"), nil))
	expect(t, done, "renewed")
	if got := c.Status(); !got.Usable || got.KeyID != "new" {
		t.Errorf("status %+v", got)
	}
}

func TestWatcher_WhereNothingCanBeWatched(t *testing.T) {
	t.Parallel()
	log := &logBook{}
	file := filepath.Join(t.TempDir(), "no such directory", "secret")
	w := must(NewWatcher([]string{file}, func() error { return nil }, WatcherConfig{Logger: log.logger()}))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := w.Run(ctx); err != nil || !strings.Contains(log.String(), "read at intervals") {
		t.Errorf("%v, log:\n%s", err, log)
	}
}

func TestNewWatcher_Refuses(t *testing.T) {
	t.Parallel()
	if _, err := NewWatcher(nil, func() error { return nil }, WatcherConfig{Poll: -1}); err == nil {
		t.Error("a negative poll was taken")
	}
	w := must(NewWatcher(nil, func() error { return nil }, WatcherConfig{}))
	w.running.Store(true)
	if err := w.Run(t.Context()); !errors.Is(err, ErrRunning) {
		t.Errorf("got %v", err)
	}
}
