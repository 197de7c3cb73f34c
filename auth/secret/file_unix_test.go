//go:build unix

package secret

import (
	"io/fs"
	"os"
	"syscall"
	"testing"
	"time"
)

// entry is a file of a directory, as Stat tells of it.
type entry struct {
	mode fs.FileMode
	uid  int
}

func (e entry) Name() string       { return "key.pem" }
func (e entry) Size() int64        { return 1 }
func (e entry) Mode() fs.FileMode  { return e.mode }
func (e entry) ModTime() time.Time { return time.Time{} }
func (e entry) IsDir() bool        { return e.mode.IsDir() }
func (e entry) Sys() any           { return &syscall.Stat_t{Uid: uint32(e.uid)} }

// unknown is a file whose owner nobody tells.
type unknown struct{ entry }

func (unknown) Sys() any { return nil }

func TestExposed(t *testing.T) {
	t.Parallel()
	self := os.Geteuid()
	for _, c := range []struct {
		file fs.FileInfo
		want bool
	}{
		{entry{0o600, self}, false}, {entry{0o400, self}, false}, {entry{0o700, self}, false},
		{entry{0o640, self}, true}, {entry{0o440, self}, true}, {entry{0o604, self}, true}, {entry{0o666, self}, true}, {entry{0o610, self}, true},
		// A volume of Kubernetes: root's, and read by the group of the pod.
		{entry{0o440, self + 1}, false}, {entry{0o640, self + 1}, false},
		{entry{0o460, self + 1}, true}, {entry{0o444, self + 1}, true}, {entry{0o450, self + 1}, true}, {entry{0o441, self + 1}, true}, {entry{0o642, self + 1}, true},
		{unknown{entry{0o640, 0}}, true}, {unknown{entry{0o600, 0}}, false},
		{entry{fs.ModeNamedPipe | 0o666, self}, false}, {entry{fs.ModeDir | 0o777, self}, false},
	} {
		if got := Exposed(c.file); got != c.want {
			t.Errorf("%T %v: %v, want %v", c.file, c.file, got, c.want)
		}
	}
}
