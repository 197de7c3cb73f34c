//go:build !unix

package cli

import (
	"io"
	"os"
)

// LockFile makes the file; locks are not to be had here.
func LockFile(path string) (io.Closer, error) {
	return os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
}
