package config

import (
	"fmt"
	"strings"
)

// Problem is one thing that is wrong, or, among warnings, unwise.
type Problem struct {
	Key   string // dotted; the name of the variable where that is all there is
	Text  string // what is wrong; never the value of a secret
	Mend  string // what to do about it
	Where string // file:line, "environment NAME" or "command line"; "" when nothing set it
}

// String returns one line: key: what is wrong; the mend (where).
func (p Problem) String() string {
	var b strings.Builder
	if p.Key != "" {
		b.WriteString(p.Key + ": ")
	}
	b.WriteString(p.Text)
	if p.Mend != "" {
		b.WriteString("; " + p.Mend)
	}
	if p.Where != "" {
		b.WriteString(" (" + p.Where + ")")
	}
	return oneLine(b.String())
}

// Problems is the error of Load: everything that is wrong, in the order of the
// file and then of the table of keys.
type Problems []Problem

// Error returns the problems, one line each.
func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i, one := range p {
		lines[i] = one.String()
	}
	return strings.Join(lines, "\n")
}

// maxShown bounds what a problem repeats of a value.
const maxShown = 60

// shown quotes a value for a problem, on one line and bounded.
func shown(value string) string {
	if r := []rune(value); len(r) > maxShown {
		value = string(r[:maxShown]) + "…"
	}
	return fmt.Sprintf("%q", value)
}

func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == 0x85 || r == 0x2028 || r == 0x2029 {
			return ' '
		}
		return r
	}, s)
}

// Mistake marks an error that nothing but a change of the settings mends, and that shows only
// when a setting is put to use: a file that holds no certificate, an address that is taken.
// Its text is that of Err.
type Mistake struct {
	Err error // never nil
}

// Mistakef makes a [Mistake] of a text, as fmt.Errorf does.
func Mistakef(format string, args ...any) error { return Mistake{fmt.Errorf(format, args...)} }

// Error is the text of Err.
func (m Mistake) Error() string { return m.Err.Error() }

// Unwrap returns Err.
func (m Mistake) Unwrap() error { return m.Err }
