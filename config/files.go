package config

import (
	"errors"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/redoxworker/redoxworker/auth/secret"
)

// maxFile bounds the files that are read.
const maxFile = 1 << 20

var (
	errDirectory = errors.New("is a directory")
	errDevice    = errors.New("is a device")
	errTooLarge  = errors.New("is larger than 1 MiB")
)

// readFile reads the YAML file, if there is one.
func (l *loader) readFile(file string) *layer {
	if file == "" {
		return newLayer()
	}
	l.file = file
	l.files[file] = true
	text, open, err := readSmall(file)
	if err != nil {
		over := newLayer()
		over.broken = true
		over.problem("config", "", "file "+strconv.Quote(file)+" "+reason(err), "check --config and "+envFile)
		return over
	}
	over := readDocument(file, text)
	for _, key := range slices.Sorted(maps.Keys(over.values)) {
		if open && !l.handed(file) && holdsSecret(key, over.values[key]) {
			l.warnings = append(l.warnings, Problem{Key: key, Text: "stands in a file that others than its owner can use",
				Mend: "chmod 600 " + file, Where: over.where[key]})
		}
	}
	return over
}

// holdsSecret reports whether a value is a secret, or an address with a password or token.
func holdsSecret(key string, value any) bool {
	f, _ := fieldOf(key)
	address, _ := value.(string)
	return f.kind == kindSecret || (f.kind == kindServers || f.kind == kindProxy) && NewURL(address).holdsUser()
}

// fillFile resolves the path of a file field, looks at the file, and reads a
// secret into its sibling.
func (l *loader) fillFile(owner any, f field, key string) {
	if !f.kind.isPath() {
		return
	}
	path := f.at(owner).(*string)
	if *path == "" {
		return
	}
	if !filepath.IsAbs(*path) && l.file != "" && strings.HasPrefix(l.where[key], l.file+":") {
		*path = filepath.Join(filepath.Dir(l.file), *path)
	}
	if f.part&l.skip != 0 {
		return
	}
	if f.kind == kindNewFile {
		info, err := os.Stat(*path)
		l.lookAtMode(f, key, *path, err == nil && secret.Exposed(info))
		return
	}
	if f.kind == kindDir {
		l.lookAtDir(key, *path)
		return
	}
	l.files[*path] = true
	text, open, err := readSmall(*path)
	trimmed := string(secret.Content(text))
	switch {
	case err != nil:
		l.failed[key] = true
		l.problem(key, "file "+strconv.Quote(*path)+" "+reason(err), "check the path and who may read it")
		return
	case trimmed == "":
		l.failed[key] = true
		l.problem(key, "file "+strconv.Quote(*path)+" is empty", "fill it, or name another file")
		return
	}
	l.lookAtMode(f, key, *path, open)
	if value, ok := f.sibling(); ok && f.kind == kindSecretFile {
		if given := value.at(owner).(*Secret); !given.IsSet() {
			*given = NewSecret(trimmed)
		}
	}
}

// lookAtMode warns of a secret file that is open to others.
func (l *loader) lookAtMode(f field, key, path string, open bool) {
	if open && !l.handed(path) && (f.private || f.kind == kindSecretFile) {
		l.warn(key, "file "+strconv.Quote(path)+" can be used by others than its owner", "chmod 600 "+path)
	}
}

// lookAtDir finds a directory that is none, or may not be read.
func (l *loader) lookAtDir(key, path string) {
	if _, err := os.ReadDir(path); err != nil {
		l.failed[key] = true
		l.problem(key, "directory "+strconv.Quote(path)+" "+reason(err), "check the path and who may read it, or make the directory")
	}
}

// handed reports whether systemd handed the file over (LoadCredential). It lets the service
// alone in by an access list, which shows as mode 0440, and nobody may change that.
func (l *loader) handed(file string) bool {
	return l.credentials != "" && filepath.Dir(file) == filepath.Clean(l.credentials)
}

// readSmall reads a file, and reports whether group or world may do anything to it.
func readSmall(path string) (text []byte, open bool, err error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, false, err
	}
	switch mode := info.Mode(); {
	case mode.IsDir():
		return nil, false, errDirectory
	case mode&(fs.ModeDevice|fs.ModeSocket) != 0:
		return nil, false, errDevice
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, false, err
	}
	defer func() { _ = f.Close() }()
	text, err = io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(text) > maxFile {
		err = errTooLarge
	}
	return text, secret.Exposed(info), err
}

// reason words an error of the file system without the path, which is already said.
func reason(err error) string {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "does not exist"
	case errors.Is(err, fs.ErrPermission):
		return "may not be read by this user"
	case errors.Is(err, errDirectory), errors.Is(err, errDevice), errors.Is(err, errTooLarge):
		return err.Error()
	}
	var path *fs.PathError
	if errors.As(err, &path) {
		return "cannot be read: " + path.Err.Error()
	}
	return "cannot be read"
}
