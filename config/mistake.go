package config

import "fmt"

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
