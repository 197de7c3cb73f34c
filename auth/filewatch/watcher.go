// Package filewatch notices when the content of files changed: keys, secrets,
// certificates, and directories of them.
package filewatch

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/fsnotify/fsnotify"

	"github.com/redoxworker/redoxworker/auth/internal/guard"
)

// ErrRunning is returned by Run when a Run of the same Watcher is under way.
var ErrRunning = errors.New("filewatch: already running")

// maxSettle bounds the wait for a directory to be quiet.
const maxSettle = time.Second

// Config is what a [Watcher] may be told.
type Config struct {
	// Settle is how long the files must have been quiet before they are read;
	// default 200 ms. It spares the reader half-written files.
	Settle time.Duration
	// Poll is how often the files are read although no event came, and how often
	// a failed reload is tried again; default 10 s. Network file systems send no
	// events. Where the system refuses to watch at all, it is 1 s at most, but not where it
	// has no watches left: then there are many.
	Poll time.Duration
	// Logger takes one line for each reload; default none.
	Logger *slog.Logger
}

// WithDefaults returns a copy with every default filled in.
func (c Config) WithDefaults() Config {
	c.Settle = cmp.Or(c.Settle, 200*time.Millisecond)
	c.Poll = cmp.Or(c.Poll, 10*time.Second)
	c.Logger = cmp.Or(c.Logger, slog.New(slog.DiscardHandler))
	return c
}

// unwatched is how often files are read that the system does not watch, and why.
func (c Config) unwatched(why error) time.Duration {
	if errors.Is(why, syscall.EMFILE) || errors.Is(why, syscall.ENFILE) || errors.Is(why, syscall.ENOSPC) {
		return c.Poll
	}
	return min(c.Poll, time.Second)
}

// Validate reports every problem of the config at once.
func (c Config) Validate() error {
	if c.Settle < 0 || c.Poll < 0 {
		return fmt.Errorf("settle is %s and poll %s: give positive ones, or 0 for 200ms and 10s", c.Settle, c.Poll)
	}
	return nil
}

// Watcher calls a function when the content of key or secret files changed. It
// watches their directories, not the files: editors and tools replace files, and
// Kubernetes swaps a symlink beside them. Content is compared by hash, so events
// that change nothing call nothing. A directory among the files stands for the
// names in it.
type Watcher struct {
	files   []string
	reload  func() error
	cfg     Config
	running atomic.Bool
	applied [sha256.Size]byte // hash of what the last good reload read
	refused [sha256.Size]byte // hash of what the last bad reload read
}

// New returns a Watcher of files, whose present content counts as known:
// make it before the files are read for the first time, and no change is missed.
//
// reload reads them and puts them to use. It is called in Run's goroutine, never
// twice at once. After its error or panic (a key file that cannot be used, say) what was
// in use stays so, and it is called again after each Poll until it succeeds.
func New(files []string, reload func() error, cfg Config) (*Watcher, error) {
	if reload == nil {
		return nil, errors.New("filewatch: there is no reload function")
	}
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("filewatch: %w", err)
	}
	w := &Watcher{files: slices.Clone(files), reload: reload, cfg: cfg.WithDefaults()}
	for i, f := range w.files {
		abs, err := filepath.Abs(f)
		if err != nil {
			return nil, fmt.Errorf("filewatch: %w", err)
		}
		w.files[i] = abs
	}
	w.applied = w.hash()
	return w, nil
}

// Run watches until ctx ends, and returns nil then. A second Run at the same
// time returns [ErrRunning].
func (w *Watcher) Run(ctx context.Context) error {
	if !w.running.CompareAndSwap(false, true) {
		return ErrRunning
	}
	defer w.running.Store(false)
	n, err := w.watch()
	if err != nil {
		w.cfg.Poll = w.cfg.unwatched(err)
		w.cfg.Logger.WarnContext(ctx, "the system does not watch the key files, they are read at intervals", "interval", w.cfg.Poll, "error", err)
		n = new(fsnotify.Watcher) // its nil channels never fire
	} else {
		defer func() { _ = n.Close() }()
	}
	w.loop(ctx, n)
	return nil
}

// watch sets the directories' watches up.
func (w *Watcher) watch() (*fsnotify.Watcher, error) {
	n, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, err
	}
	for _, dir := range w.dirs() {
		err = errors.Join(err, n.Add(dir))
	}
	if err != nil {
		_ = n.Close()
	}
	return n, err
}

// dirs returns the directories of the files and of what symlinks point to.
func (w *Watcher) dirs() []string {
	var dirs []string
	for _, f := range w.files {
		if info, err := os.Stat(f); err == nil && info.IsDir() {
			dirs = append(dirs, f)
		}
		dirs = append(dirs, filepath.Dir(f))
		if target, err := filepath.EvalSymlinks(f); err == nil {
			dirs = append(dirs, filepath.Dir(target))
		}
	}
	slices.Sort(dirs)
	return slices.Compact(dirs)
}

// loop waits for the files to have changed and to be quiet, or for a second
// after the first event where a directory is never quiet.
func (w *Watcher) loop(ctx context.Context, n *fsnotify.Watcher) {
	tick := time.NewTicker(w.cfg.Poll)
	defer tick.Stop()
	settle := time.NewTimer(w.cfg.Settle) // the first look is for changes before Run
	defer settle.Stop()
	events, overflows := n.Events, n.Errors
	var first time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case _, ok := <-overflows: // something happened
			if !ok {
				overflows = nil
			}
			settle.Reset(w.cfg.Settle)
			continue
		case _, ok := <-events:
			if !ok {
				events = nil // the system has given the watch up: the poll is left
			}
			if first.IsZero() {
				first = time.Now()
			}
			settle.Reset(min(w.cfg.Settle, time.Until(first.Add(maxSettle))))
			continue
		case <-settle.C:
		case <-tick.C:
		}
		first = time.Time{}
		if w.look(ctx) && events != nil {
			for _, dir := range w.dirs() {
				_ = n.Add(dir) // a symlink may point elsewhere now; the poll covers what fails
			}
			settle.Reset(w.cfg.Settle) // for a change before the watch was set
		}
	}
}

// look reloads when the content differs from what is in use, and reports
// whether it is new to it. A content that cannot be used is logged once.
func (w *Watcher) look(ctx context.Context) bool {
	now := w.hash()
	if now == w.applied {
		return false
	}
	news := now != w.refused
	if err := w.reloaded(); err != nil {
		if news {
			w.cfg.Logger.ErrorContext(ctx, "a changed key or secret file cannot be used, the old one stays in use", "error", err)
		}
		w.refused = now
		return news
	}
	w.applied = now
	w.cfg.Logger.InfoContext(ctx, "key and secret files reloaded", "files", w.files)
	return true
}

// reloaded calls reload. A panic is an error like any other.
func (w *Watcher) reloaded() (err error) {
	defer guard.Recover("the reload function", &err)
	return w.reload()
}

// hash sums the files' contents up. A file that cannot be read counts as empty.
func (w *Watcher) hash() (sum [sha256.Size]byte) {
	h, one, buffer := sha256.New(), sha256.New(), make([]byte, 4<<10)
	defer clear(buffer)
	for _, f := range w.files {
		one.Reset()
		part := make([]byte, sha256.Size)
		if err := hashFile(one, f, buffer); err == nil {
			part = one.Sum(part[:0])
		}
		h.Write(part)
	}
	h.Sum(sum[:0])
	return sum
}

// maxHashed bounds what is read of a file to compare it.
const maxHashed = 64 << 20

// hashFile writes what a file holds, or the names in a directory, to h.
func hashFile(h io.Writer, path string, buffer []byte) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	if info, err := f.Stat(); err != nil || !info.IsDir() {
		_, err = io.CopyBuffer(h, io.LimitReader(f, maxHashed), buffer)
		return err
	}
	names, err := f.Readdirnames(-1)
	slices.Sort(names)
	for _, name := range names {
		_, _ = io.WriteString(h, name+"\x00") // a hash takes everything
	}
	return err
}
