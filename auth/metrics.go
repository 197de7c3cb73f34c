package auth

import (
	"errors"
	"log/slog"
	"time"

	"github.com/redoxworker/redoxworker/auth/internal/guard"
)

// defaultName names a cache or client that was given no name.
const defaultName = "default"

// Metrics receives what a Cache and an OAuth do, under the name in their configuration.
// Its methods must be safe for concurrent use, must not block and must not call the
// Cache; a panic is logged. The subpackage prom has one that counts for Prometheus.
type Metrics interface {
	// Minted says that a request for a token has ended, after took. result is "ok",
	// or how it failed: "temporary", "heals" (a refusal that may end by itself) or
	// "permanent" (one that needs another configuration).
	Minted(name, result string, took time.Duration)
	// Invalidated says that a token was dropped because the API refused it.
	Invalidated(name string)
	// FellBack says that the other key of a pair is used from now on.
	FellBack(name string)
}

// meter tells a Metrics, if there is one.
type meter struct {
	to     Metrics
	name   string
	logger *slog.Logger
}

func newMeter(to Metrics, name string, logger *slog.Logger) meter {
	if guard.IsNil(to) {
		to = nil
	}
	return meter{to, name, logger}
}

func (m meter) minted(result string, took time.Duration) {
	m.tell(func() { m.to.Minted(m.name, result, took) })
}

func (m meter) invalidated() { m.tell(func() { m.to.Invalidated(m.name) }) }

func (m meter) fellBack() { m.tell(func() { m.to.FellBack(m.name) }) }

func (m meter) tell(f func()) {
	if m.to != nil {
		note(m.logger, m.name, guard.Call("the metrics", f))
	}
}

// note logs a panic of somebody else's code.
func note(l *slog.Logger, name string, err error) {
	if p, ok := errors.AsType[*guard.Panic](err); ok {
		l.Error(p.What+" panicked", "key", name, "panic", p.Value, "stack", p.Stack)
	}
}
