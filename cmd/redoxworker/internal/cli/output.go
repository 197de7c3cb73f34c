package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"unicode"
)

// EncodeAll prints values as JSON, one to a line.
func EncodeAll[T any](a *App, all []T) error {
	encoder := json.NewEncoder(a.Stdout)
	for _, one := range all {
		if err := encoder.Encode(one); err != nil {
			return err
		}
	}
	return nil
}

// Printable makes one line of what a user has typed, or an application has named.
func Printable(s string) string { return strings.Trim(fmt.Sprintf("%q", s), `"`) }

// OneLine is a text without line ends, as an error of several lines has, and without what a terminal
// takes for more than text: names are given by others.
func OneLine(text string) string { return plain(strings.Join(strings.Fields(text), " ")) }

// plain is a text of which a terminal shows every character, but for the line ends.
func plain(text string) string {
	return strings.Map(func(c rune) rune {
		if c != '\n' && !unicode.IsPrint(c) {
			return '\uFFFD'
		}
		return c
	}, text)
}

// NewFile opens a file that only its owner can read. One that is there is an error, or is
// emptied.
func NewFile(name string, overwrite bool) (*os.File, error) {
	flags := os.O_WRONLY | os.O_CREATE | os.O_EXCL
	if overwrite {
		flags = os.O_WRONLY | os.O_CREATE | os.O_TRUNC
	}
	f, err := os.OpenFile(name, flags, 0o600)
	if err != nil {
		return nil, err
	}
	if err := f.Chmod(0o600); err != nil { // one that was there may have been open to others
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}
