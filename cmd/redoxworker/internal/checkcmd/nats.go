package checkcmd

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/cmd/redoxworker/internal/cli"
	"github.com/redoxworker/redoxworker/config"
	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/worker/service/natslink"
)

// natsWorld is what the checks of a connection to NATS look at.
type natsWorld struct {
	*report
	conn   *nats.Conn
	js     jetstream.JetStream
	config *config.Config
	prefix contract.Prefix

	// probe is a connection on which every subject is tried once: what the server refuses on it is
	// told in the order of the tries.
	probe   *nats.Conn
	mu      sync.Mutex
	refused []error // violations that the server has told of on probe
}

// hear notes what the server has told of on probe.
func (n *natsWorld) hear(err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.refused = append(n.refused, err)
}

// close closes the connections.
func (n *natsWorld) close() {
	n.conn.Close()
	n.probe.Close()
}

// leastMajor and leastMinor are those of the oldest server that works.
const leastMajor, leastMinor = 2, 14

// connectTimeout is how long a connection is waited for: that of a server that is there takes
// milliseconds.
const connectTimeout = 5 * time.Second

// connect opens the connection of the configuration; nil where there is none to be had.
func connect(ctx context.Context, timeout time.Duration, c *config.Config, r *report) *natsWorld {
	began := time.Now()
	bound, cancel := context.WithTimeoutCause(ctx, timeout, fmt.Errorf("no connection within %v", timeout))
	defer cancel()
	conn, js, err := natslink.Connect(bound, c, slog.New(slog.DiscardHandler))
	if err != nil {
		r.fault(checkNATS, "", err.Error(), mendConnection(err))
		r.unknown(checkStreams, "", "neither these nor rights, consumers and the server were looked at: there is no connection", "")
		return nil
	}
	probe, _, err := natslink.Connect(bound, c, slog.New(slog.DiscardHandler))
	if err != nil {
		conn.Close()
		r.fault(checkNATS, "", "a second connection: "+err.Error(), mendConnection(err))
		return nil
	}
	n := &natsWorld{report: r, conn: conn, probe: probe, js: js, config: c, prefix: contract.Prefix(c.NATS.Prefix)}
	probe.SetErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { n.hear(err) })
	version := conn.ConnectedServerVersion()
	if older(version) {
		r.fault(checkNATS, "", "the server is "+version, fmt.Sprintf("update it to %d.%d or newer", leastMajor, leastMinor))
	}
	text := "connected to " + conn.ConnectedUrlRedacted()
	if c.NATS.User != "" {
		text += " as " + c.NATS.User
	}
	if name := conn.ConnectedServerName(); name != conn.ConnectedServerId() { // which it has where it was given none
		text += ", " + name
	}
	r.fine(checkNATS, fmt.Sprintf("%s, nats-server %s, in %v", text, version, max(time.Since(began).Round(time.Millisecond), time.Millisecond)))
	return n
}

// mendConnection is for errors that do not say themselves what to do.
func mendConnection(err error) string {
	switch {
	case strings.Contains(err.Error(), "; "), errors.As(err, new(config.Mistake)):
		return ""
	case errors.Is(err, nats.ErrAuthorization):
		return "check the credentials under nats"
	}
	return "start the server, or check nats.url and the firewall on the way"
}

// older reports whether a version of the server is less than the oldest that works. One that is
// no version is not.
func older(version string) bool {
	parts := strings.SplitN(version, ".", 3)
	if len(parts) < 2 {
		return false
	}
	major, err := strconv.Atoi(parts[0])
	minor, err2 := strconv.Atoi(parts[1])
	return err == nil && err2 == nil && (major < leastMajor || major == leastMajor && minor < leastMinor)
}

// lastRefused is the server's last word about a subject that begins so, "" where it said none: it
// answers no request that it refuses.
func (n *natsWorld) lastRefused(subject string) string {
	last := n.conn.LastError()
	if errors.Is(last, nats.ErrPermissionViolation) && strings.Contains(last.Error(), `"`+subject) {
		return last.Error()
	}
	return ""
}

const (
	mendProvision = "run `redoxworker provision`"
	// mendOperator is for what no worker needs to know.
	mendOperator = "run check as the operator: only the rights are those of the workers' user"
)

// failed says of an error of a request to JetStream what it means. What this user may not ask is
// no fault of what was asked about.
func (n *natsWorld) failed(check, subject string, err error, api string) {
	switch {
	case cli.NoJetStream(err):
		n.fault(check, subject, "JetStream does not answer: "+err.Error(), cli.EnableJetStream)
	case errors.Is(err, jetstream.ErrStreamNotFound):
		n.unknown(check, subject, "it does not exist, so there is nothing to look at", mendProvision)
	case errors.Is(err, outbox.ErrPermission), n.lastRefused(api) != "":
		n.unknown(check, subject, "this user may not ask "+api, mendOperator)
	case errors.Is(err, context.DeadlineExceeded):
		n.fault(check, subject, "no answer in time", "look whether the stream has a leader: nats stream report")
	default:
		n.fault(check, subject, err.Error(), "")
	}
}
