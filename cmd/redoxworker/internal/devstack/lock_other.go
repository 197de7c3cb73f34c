//go:build !unix

package devstack

import (
	"io"
	"os"
)

// lockFile makes the file; locks are not to be had here.
func lockFile(path string) (io.Closer, error) {
	return os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
}
