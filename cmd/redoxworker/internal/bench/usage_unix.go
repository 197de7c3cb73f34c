//go:build unix

package bench

import (
	"fmt"
	"syscall"
	"time"
)

// readUsage of this process.
func readUsage() (processUsage, error) {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return processUsage{}, fmt.Errorf("bench: reading the processor time: %w", err)
	}
	return processUsage{CPU: time.Duration(u.Utime.Nano() + u.Stime.Nano()), Peak: peakMemory(int64(u.Maxrss))}, nil
}
