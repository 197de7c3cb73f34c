package bench

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/redoxworker/redoxworker/cmd/redoxworker/internal/cli"
)

// loopCommand measures the worker beside a raw loop that does the same work without the
// guarantees: a pull, net/http with its defaults, a core reply, a double ack; no order, no
// retries, no leases, no tokens, no guards. Both run in turn, as child processes of this binary, against
// an embedded NATS server and a stand-in for Redox in a third. Everything is on loopback.
type loopCommand struct {
	InFlight []int         `default:"1,64,1000" placeholder:"N" help:"Messages in flight (worker.concurrency): ${default}."`
	Size     []byteSize    `default:"1KB,20KB" placeholder:"SIZE" help:"Sizes of a message: ${default}."`
	Sources  []int         `default:"1" placeholder:"N" help:"Sources whose messages come in turn: ${default}. Several show what a source costs."`
	Idle     int           `default:"0" placeholder:"N" help:"Sources that have nothing to send, besides: ${default}."`
	Keys     int           `default:"0" placeholder:"N" help:"Order keys of each source whose messages come in turn: ${default}, without an order."`
	Messages int           `default:"10000" placeholder:"N" help:"Messages of one measurement, at most: ${default}."`
	Duration time.Duration `default:"2s" placeholder:"TIME" help:"Length of one measurement, at most: ${default}."`
	Rounds   int           `default:"5" placeholder:"N" help:"Measurements of worker and raw loop, in turn: ${default}. The figures are medians."`
	Rate     int           `default:"500" placeholder:"N" help:"Messages a second while latency is measured, at most: ${default}."`
	Latency  time.Duration `default:"0s" placeholder:"TIME" help:"What the stand-in for Redox takes to answer: ${default}."`
	Profile  string        `placeholder:"DIR" type:"existingdir" help:"Write CPU and heap profiles of worker and raw loop there."`

	fleetFlags

	// Role makes this process one of the children.
	Role processRole `hidden:"" enum:"driver,stand,sim,worker,raw,server" default:"driver"`
}

// Bounds of the flags. A message must fit into NATS's default limit of 1 MiB, headers included.
const (
	minSize     = 500
	maxSize     = 1_000_000
	maxInFlight = 10_000
	maxMessages = 1_000_000
	maxDuration = time.Minute
	maxSources  = 5_000
	maxKeys     = 100_000
)

func (b *loopCommand) validate() error {
	var mistakes mistakes
	bad, within := mistakes.bad, mistakes.within
	for _, n := range b.InFlight {
		within("--in-flight", n, 1, maxInFlight)
	}
	for _, n := range b.Size {
		bad(n < minSize || n > maxSize, "--size: %d bytes; use %d to %d", n, minSize, maxSize)
	}
	for _, n := range b.Sources {
		within("--sources", n, 1, maxSources)
	}
	within("--idle", b.Idle, 0, maxSources)
	within("--keys", b.Keys, 0, maxKeys)
	within("--messages", b.Messages, 1, maxMessages)
	bad(b.Duration <= 0 || b.Duration > maxDuration, "--duration: %v; use more than 0s, up to %v", b.Duration, maxDuration)
	within("--rounds", b.Rounds, 1, 100)
	within("--rate", b.Rate, 1, 10_000)
	within("--backlog", b.Backlog, 0, maxMessages)
	bad(b.Quiet <= 0 || b.Quiet > time.Hour, "--quiet: %v; use more than 0s, up to 1h", b.Quiet)
	bad(b.NATSServer != "" && !b.Fleet, "--nats-server: is for --fleet")
	bad(b.Latency < 0 || b.Latency > 10*time.Second, "--latency: %v; use 0s to 10s", b.Latency)
	return errors.Join(mistakes...)
}

// mistakes are those in the flags of one command.
type mistakes []error

func (m *mistakes) bad(cond bool, format string, args ...any) {
	if cond {
		*m = append(*m, cli.Usagef(format, args...))
	}
}

func (m *mistakes) within(flag string, n, least, most int) {
	m.bad(n < least || n > most, "%s: %d; use %d to %d", flag, n, least, most)
}

// byteSize is a size in bytes, written 500, 1KB or 1MB (powers of 1000).
type byteSize int

// UnmarshalText reads a size.
func (s *byteSize) UnmarshalText(text []byte) error {
	digits, factor := strings.ToUpper(string(text)), 1
	for _, unit := range []struct {
		name  string
		bytes int
	}{{"KB", 1_000}, {"MB", 1_000_000}, {"B", 1}} {
		if rest, ok := strings.CutSuffix(digits, unit.name); ok {
			digits, factor = rest, unit.bytes
			break
		}
	}
	n, err := strconv.ParseUint(digits, 10, 31)
	if err != nil {
		return fmt.Errorf("%q is not a size; write one like 500, 1KB or 1MB", text)
	}
	*s = byteSize(int(n) * factor)
	return nil
}

// String writes a size as UnmarshalText reads it.
func (s byteSize) String() string {
	switch n := int(s); {
	case n > 0 && n%1_000_000 == 0:
		return strconv.Itoa(n/1_000_000) + "MB"
	case n > 0 && n%1_000 == 0:
		return strconv.Itoa(n/1_000) + "KB"
	default:
		return strconv.Itoa(n)
	}
}

// fleetFlags are the flags of what a fleet of many sources costs as a whole: the server on disk,
// a worker and the simulator, each a process of its own as a user starts it.
type fleetFlags struct {
	Fleet      bool          `help:"Instead: what --sources with messages and --idle ones cost beside NATS on disk and the simulator: starts, stops, memory, consumers, rate, and what goes on when all is quiet. Linux only."`
	NATSServer string        `name:"nats-server" placeholder:"PROGRAM" help:"The nats-server of --fleet; by default the one that is built in, as a process."`
	Backlog    int           `default:"100000" placeholder:"N" help:"Messages that wait while the server of --fleet is stopped and started: ${default}."`
	Quiet      time.Duration `default:"1m" placeholder:"TIME" help:"How long --fleet watches what has nothing to do: ${default}."`

	// Port is where the built-in server listens.
	Port int `hidden:""`
}

// loopSetting is one combination of the flags.
type loopSetting struct {
	inFlight, size, sources int
}
