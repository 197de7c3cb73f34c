//go:build !unix

package bench

import "errors"

// readUsage cannot be had here.
func readUsage() (processUsage, error) {
	return processUsage{}, errors.New("bench: this system does not tell the processor time of a process; use Linux or macOS")
}
