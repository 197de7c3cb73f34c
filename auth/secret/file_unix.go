//go:build unix

package secret

import (
	"io/fs"
	"os"
	"syscall"
)

// ownOrUnknown reports whether a file belongs to the user of this process, as far as is known.
func ownOrUnknown(info fs.FileInfo) bool {
	stat, ok := info.Sys().(*syscall.Stat_t)
	return !ok || int(stat.Uid) == os.Geteuid()
}
