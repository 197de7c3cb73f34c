package secret

import (
	"io/fs"
	"runtime"
)

// Exposed reports whether a file that holds a secret can be used by others than those it is meant
// for. It is meant for its owner, and for who reads it by its group while it belongs to somebody
// else: so are the files of a volume of Kubernetes with fsGroup, which belong to root. What is no regular
// file is not exposed, and nothing is on Windows.
func Exposed(info fs.FileInfo) bool {
	mode := info.Mode()
	if !mode.IsRegular() || runtime.GOOS == "windows" { // where no mode says who can use it
		return false
	}
	const owner, groupRead = 0o700, 0o040
	others := mode.Perm() &^ owner
	return others&^groupRead != 0 || others != 0 && ownOrUnknown(info)
}
