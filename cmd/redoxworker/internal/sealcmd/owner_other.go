//go:build !unix

package sealcmd

import (
	"io/fs"
	"os"
)

// likeOld has nothing to do: a new file is read by those who may read its directory.
func likeOld(*os.File, fs.FileInfo) error { return nil }
