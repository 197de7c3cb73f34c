package cli

import (
	"errors"
	"os"
	"path/filepath"
)

// OutFile is the name of a file to write. That of standard output is none: what is written
// is for its owner only, or comes beside a result.
type OutFile string

// UnmarshalText serves the command line.
func (o *OutFile) UnmarshalText(text []byte) error {
	switch string(text) {
	case "":
		return errors.New("it is empty; name a file")
	case "-":
		return errors.New("- would be a file of that name; name another")
	}
	*o = OutFile(text)
	return nil
}

// ReplaceFile writes a file that readers see whole, old or new.
func ReplaceFile(path string, data []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*")
	if err != nil {
		return Usagef("--out: %w; name a file in a directory that you may write to", err)
	}
	_, err = f.Write(data)
	err = errors.Join(err, f.Chmod(0o644), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name())
		return Usagef("--out: %w; name a file that can be replaced", err)
	}
	return nil
}
