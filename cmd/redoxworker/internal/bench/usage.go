package bench

import (
	"fmt"
	"os"
	"strings"
	"time"
)

// processUsage is what a process has used so far.
type processUsage struct {
	CPU  time.Duration `json:"cpu"`  // user and system
	Peak int64         `json:"peak"` // resident memory in bytes
}

// processUse is what a process uses, seen from outside; memory in MB.
type processUse struct {
	cpu       time.Duration
	rss, peak float64
}

// use reads /proc.
func (p *process) use() (u processUse, err error) {
	pid := fmt.Sprint(p.cmd.Process.Pid)
	stat, err := os.ReadFile("/proc/" + pid + "/stat")
	if err != nil {
		return u, err
	}
	// The fields after the name in parentheses begin with the third: proc_pid_stat(5).
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	var user, system int64
	if _, err := fmt.Sscan(fields[11]+" "+fields[12], &user, &system); err != nil {
		return u, err
	}
	const tick = time.Second / 100 // USER_HZ of every Linux that Go runs on
	u.cpu = time.Duration(user+system) * tick
	rss, peak, err := procMemory(pid)
	u.rss, u.peak = float64(rss)/1e6, float64(peak)/1e6
	return u, err
}

// procMemory reads the resident memory of a process, and its high-water mark, in bytes from /proc.
func procMemory(pid string) (rss, peak int64, err error) {
	status, err := os.ReadFile("/proc/" + pid + "/status")
	for line := range strings.Lines(string(status)) {
		var kilobytes int64
		if n, _ := fmt.Sscanf(line, "VmRSS: %d kB", &kilobytes); n == 1 {
			rss = kilobytes * 1024
		}
		if n, _ := fmt.Sscanf(line, "VmHWM: %d kB", &kilobytes); n == 1 {
			peak = kilobytes * 1024
		}
	}
	return rss, peak, err
}
