package daemon

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"

	"github.com/redoxworker/redoxworker/cmd/redoxworker/internal/cli"
	"github.com/redoxworker/redoxworker/worker/service"
)

// systemdEvery is how often systemd hears of a service at least, patience how much longer each time
// it waits for one that is not ready yet.
const systemdEvery, systemdPatience = 5 * time.Second, 60 * time.Second

// maxStatus bounds a line of status, in bytes. systemd drops a message of more than 4096, and with it
// that the service is ready.
const maxStatus = 1024

// systemd tells the service manager what becomes of a service, where it asks (Type=notify):
// ready when messages are delivered for the first time, a line of status whenever that changes, and
// that the process is alive as often as the watchdog of the unit wants. See sd_notify(3).
type systemd struct {
	status   func() service.Status
	watchdog time.Duration // of the unit; 0 when it has none
	log      *slog.Logger
	ready    atomic.Bool // it was told so
	told     string      // the last line of status
}

// newSystemd answers nil when no service manager asks.
func newSystemd(status func() service.Status, log *slog.Logger) *systemd {
	if os.Getenv("NOTIFY_SOCKET") == "" {
		return nil
	}
	watchdog, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		log.Warn("the watchdog of systemd is not served", "reason", err)
	}
	return &systemd{status: status, watchdog: watchdog, log: log}
}

// start tells it until done is called, when the service has ended; it stops when ctx ends.
func (m *systemd) start(ctx context.Context) (done func()) {
	if m == nil {
		return func() {}
	}
	running, end := context.WithCancel(context.WithoutCancel(ctx))
	var told sync.WaitGroup
	told.Go(func() { m.run(running, ctx.Done()) })
	return func() { end(); told.Wait() }
}

func (m *systemd) run(ended context.Context, draining <-chan struct{}) {
	every := systemdEvery
	if m.watchdog > 0 {
		every = min(every, m.watchdog/3)
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	for stopping := false; ; {
		m.tell(stopping)
		select {
		case <-tick.C:
		case <-draining:
			draining, stopping = nil, true
			m.send(daemon.SdNotifyStopping)
		case <-ended.Done():
			m.send(daemon.SdNotifyStopping)
			return
		}
	}
}

// tell says what is to be told now. What did not arrive is told again the next time.
func (m *systemd) tell(stopping bool) {
	ready, told := m.ready.Load(), m.told
	if !m.send(m.state(stopping)...) {
		m.ready.Store(ready)
		m.told = told
	}
}

// state is what is to be told now, and is taken for told.
func (m *systemd) state(stopping bool) (lines []string) {
	if m.watchdog > 0 {
		lines = append(lines, daemon.SdNotifyWatchdog)
	}
	now := m.status()
	switch {
	case stopping:
	case now.Ready && !m.ready.Swap(now.Ready):
		lines = append(lines, daemon.SdNotifyReady)
	case !m.ready.Load(): // a boot without NATS is no failure
		lines = append(lines, fmt.Sprintf("EXTEND_TIMEOUT_USEC=%d", systemdPatience.Microseconds()))
	}
	if text := describe(now, stopping); text != m.told {
		m.told = text
		lines = append(lines, "STATUS="+text)
	}
	return lines
}

// describe says in a line of at most maxStatus how a service is.
func describe(now service.Status, stopping bool) string {
	text := "delivers"
	switch {
	case stopping:
		text = fmt.Sprintf("stopping; %d in flight", now.Worker.InFlight)
	case !now.Ready && now.WaitsFor != "":
		text = "not ready; waits for " + now.WaitsFor
	case !now.Ready:
		text = "not ready"
	case len(now.Problems) > 0:
		text = fmt.Sprintf("delivers; %s, the first: %s", cli.Counted(len(now.Problems), "problem"), now.Problems[0])
	}
	if text = cli.OneLine(text); len(text) > maxStatus {
		const more = "…"
		text = strings.ToValidUTF8(text[:maxStatus-len(more)], "") + more
	}
	return text
}

// reload has `systemctl reload` wait until reread has returned.
func (m *systemd) reload(reread func()) {
	if m == nil || !m.ready.Load() {
		reread()
		return
	}
	m.send(daemon.SdNotifyReloading, strings.TrimSpace(daemon.SdNotifyMonotonicUsec()))
	reread()
	m.send(daemon.SdNotifyReady)
}

// send reports whether the lines arrived.
func (m *systemd) send(lines ...string) bool {
	if len(lines) == 0 {
		return true
	}
	_, err := daemon.SdNotify(false, strings.Join(lines, "\n"))
	if err != nil {
		m.log.Debug("systemd cannot be told", "reason", err)
	}
	return err == nil
}
