//go:build unix

package bench

import (
	"fmt"
	"runtime"
	"syscall"
	"time"
)

// readUsage of this process. Linux hands a process the mark of its parent through rusage, but
// not through /proc.
func readUsage() (processUsage, error) {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return processUsage{}, fmt.Errorf("bench: reading the processor time: %w", err)
	}
	used := processUsage{CPU: time.Duration(u.Utime.Nano() + u.Stime.Nano()), Peak: int64(u.Maxrss)}
	if runtime.GOOS != "darwin" {
		used.Peak *= 1024
	}
	if _, peak, err := procMemory("self"); err == nil && peak > 0 {
		used.Peak = peak
	}
	return used, nil
}
