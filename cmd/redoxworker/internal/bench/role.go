package bench

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/pprof"
	"strings"
	"sync"

	"github.com/redoxworker/redoxworker/cmd/redoxworker/internal/cli"
)

// controlled plays a role until its standard input ends, which also happens when the driver
// dies. Each line of the input asks for the usage; the answer is a line of JSON.
func (b *loopCommand) controlled(ctx context.Context, a *cli.App, role func(context.Context, *cli.App) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	// The reader cannot be interrupted; it ends with the process, which a role's end brings about.
	go func() {
		defer cancel()
		for in := bufio.NewScanner(a.Stdin); in.Scan(); {
			usage, err := readUsage()
			if err == nil {
				err = json.NewEncoder(a.Stdout).Encode(usage)
			}
			if err != nil {
				fmt.Fprintln(a.Stderr, "redoxworker:", err)
				return
			}
		}
	}()
	stop, err := b.profile()
	if err != nil {
		return err
	}
	return errors.Join(role(ctx, a), stop())
}

// profile writes profiles of this process when stop is called.
func (b *loopCommand) profile() (stop func() error, err error) {
	if b.Profile == "" || b.Role == roleStand {
		return func() error { return nil }, nil
	}
	name := filepath.Join(b.Profile, fmt.Sprintf("%s-%d", b.Role, os.Getpid()))
	cpu, err := os.Create(name + ".cpu.pprof")
	if err != nil {
		return nil, err
	}
	if err := pprof.StartCPUProfile(cpu); err != nil {
		return nil, errors.Join(err, cpu.Close())
	}
	return func() error {
		pprof.StopCPUProfile()
		heap, err := os.Create(name + ".heap.pprof")
		if err != nil {
			return errors.Join(err, cpu.Close())
		}
		return errors.Join(pprof.Lookup("allocs").WriteTo(heap, 0), heap.Close(), cpu.Close())
	}, nil
}

// tail keeps the last lines written to it.
type tail struct {
	mu  sync.Mutex
	buf []byte
}

const tailBytes = 2 << 10

// Write keeps the end of p.
func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.buf = append(t.buf, p...)
	if cut := len(t.buf) - tailBytes; cut > 0 {
		t.buf = append(t.buf[:0], t.buf[cut:]...)
	}
	return len(p), nil
}

// String is what was kept, from the first whole line on.
func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	text := t.buf
	if len(text) >= tailBytes {
		_, text, _ = bytes.Cut(text, []byte("\n"))
	}
	return strings.TrimSpace(string(text))
}

// processRole is what a process of the benchmark is.
type processRole string

const (
	roleDriver processRole = "driver" // publishes, takes the replies and the time
	roleStand  processRole = "stand"  // NATS and the stand-in for Redox
	roleSim    processRole = "sim"    // what `sim` runs
	roleWorker processRole = "worker" // what `run` runs
	roleRaw    processRole = "raw"    // the raw loop
	roleServer processRole = "server" // NATS on disk, until a signal
)
