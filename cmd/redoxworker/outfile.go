package main

import "errors"

// outFile is the name of a file to write. That of standard output is none: what is written
// is for its owner only, or comes beside a result.
type outFile string

// UnmarshalText serves the command line.
func (o *outFile) UnmarshalText(text []byte) error {
	switch string(text) {
	case "":
		return errors.New("it is empty; name a file")
	case "-":
		return errors.New("- would be a file of that name; name another")
	}
	*o = outFile(text)
	return nil
}
