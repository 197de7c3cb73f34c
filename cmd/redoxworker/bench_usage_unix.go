//go:build unix

package main

import (
	"fmt"
	"syscall"
	"time"
)

// readUsage of this process.
func readUsage() (benchUsage, error) {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return benchUsage{}, fmt.Errorf("bench: reading the processor time: %w", err)
	}
	return benchUsage{CPU: time.Duration(u.Utime.Nano() + u.Stime.Nano()), Peak: peakMemory(int64(u.Maxrss))}, nil
}
