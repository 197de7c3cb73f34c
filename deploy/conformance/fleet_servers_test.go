package conformance

import (
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// eventually waits for a condition. Where it does not come, what everybody was at is said at once: while the
// test ends it would pass.
func (f *fleet) eventually(what string, is func() bool) {
	f.Helper()
	defer f.explain()
	f.site.eventually(what, is)
}

// ailing is what a server says of the streams and consumers that have no leader or are behind.
func ailing(srv *server.Server) string {
	info, err := srv.Jsz(&server.JSzOptions{Accounts: true, Streams: true, Consumer: true})
	if err != nil {
		return fmt.Sprintln(err)
	}
	var b strings.Builder
	tell := func(what string, c *server.ClusterInfo, more string) {
		if c == nil || c.Leader != "" && c.Leader != srv.Name() { // others than the leader see less
			return
		}
		behind := c.Leader == ""
		for _, r := range c.Replicas {
			behind = behind || !r.Current || r.Offline
			more += fmt.Sprintf("; %s current %t offline %t lag %d seen %v ago", r.Name, r.Current, r.Offline, r.Lag, r.Active.Round(time.Millisecond))
		}
		if behind {
			fmt.Fprintf(&b, "  %s: leader %q, %s\n", what, c.Leader, more)
		}
	}
	if m := info.Meta; m != nil {
		fmt.Fprintf(&b, "  meta: leader %q, of %d\n", m.Leader, m.Size)
	}
	for _, account := range info.AccountDetails {
		for _, s := range account.Streams {
			tell(s.Name, s.Cluster, fmt.Sprint(s.State.Msgs, " messages"))
			for _, c := range s.Consumer {
				tell(s.Name+" > "+c.Name, c.Cluster, fmt.Sprintf("%d pending, %d unacknowledged, %d pulls", c.NumPending, c.NumAckPending, c.NumWaiting))
			}
		}
	}
	return b.String()
}

// warnings is what a server warns of.
type warnings struct {
	mu   sync.Mutex
	text []string
}

func (w *warnings) add(format string, v ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if strings.HasPrefix(format, "Healthcheck") || strings.HasPrefix(format, "Plaintext") {
		return
	}
	w.text = append(w.text, fmt.Sprintf("  %s %s\n", time.Now().Format(time.TimeOnly), fmt.Sprintf(format, v...)))
	w.text = w.text[max(0, len(w.text)-12):]
}

func (w *warnings) end() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return strings.Join(w.text, "")
}

func (w *warnings) Warnf(format string, v ...any)  { w.add(format, v...) }
func (w *warnings) Errorf(format string, v ...any) { w.add(format, v...) }
func (w *warnings) Fatalf(format string, v ...any) { w.add(format, v...) }
func (*warnings) Noticef(string, ...any)           {}
func (*warnings) Debugf(string, ...any)            {}
func (*warnings) Tracef(string, ...any)            {}
