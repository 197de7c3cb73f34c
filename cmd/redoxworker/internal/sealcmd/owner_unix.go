//go:build unix

package sealcmd

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

// likeOld has those read a new file who read the old one.
func likeOld(f *os.File, old fs.FileInfo) error {
	var err error
	if was, ok := old.Sys().(*syscall.Stat_t); ok && (int(was.Uid) != os.Geteuid() || int(was.Gid) != os.Getegid()) {
		if err = f.Chown(int(was.Uid), int(was.Gid)); err != nil {
			err = fmt.Errorf("%w; run this as its owner, so that all who read the ring may do so still", err)
		}
	}
	return errors.Join(err, f.Chmod(old.Mode().Perm()))
}
