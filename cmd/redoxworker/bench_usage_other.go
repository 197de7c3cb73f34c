//go:build !unix

package main

import "errors"

// readUsage cannot be had here.
func readUsage() (benchUsage, error) {
	return benchUsage{}, errors.New("bench: this system does not tell the processor time of a process; use Linux or macOS")
}
