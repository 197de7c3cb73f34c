package checkcmd

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// vars is what /varz of a NATS server says that is of interest here.
type vars struct {
	ID        string `json:"server_id"`
	JetStream struct {
		Config struct {
			MaxStore     int64         `json:"max_storage"`
			SyncInterval time.Duration `json:"sync_interval"`
			SyncAlways   bool          `json:"sync_always"`
		} `json:"config"`
		Stats struct {
			Store    uint64 `json:"storage"`
			Reserved uint64 `json:"reserved_storage"`
		} `json:"stats"`
	} `json:"jetstream"`
}

// storeWarns and storeFails are the shares of JetStream's disk that are a warning and a fault.
const storeWarns, storeFails = 0.8, 0.95

// checkServer looks at what the server says of itself over HTTP, and nowhere else: how often it
// syncs to the disk, and how much of it is left.
func (n *natsWorld) checkServer(ctx context.Context, monitor string) {
	n.checkAccount(ctx)
	base := monitor
	if base == "" {
		u, err := url.Parse(n.conn.ConnectedUrl())
		if err != nil {
			return
		}
		base = "http://" + net.JoinHostPort(u.Hostname(), "8222")
	}
	const lost = "sync_interval and the room on the disk are not known: "
	const other = "give --monitor the server's monitoring (http: in its configuration), or look at sync_interval there"
	v, err := readVars(ctx, base)
	switch {
	case err != nil:
		n.unknown(checkServer, "", lost+err.Error(), other)
		return
	case v.ID != n.conn.ConnectedServerId():
		n.unknown(checkServer, "", lost+"at "+base+" answers another server than the one connected to", other)
		return
	}
	if config := v.JetStream.Config; !config.SyncAlways {
		n.warn(checkServer, "sync_interval", "is "+span(config.SyncInterval)+": a power cut takes messages that publishers were told are safe", "set jetstream.sync_interval to always in the server's configuration, and restart it")
	}
	n.room("disk of the server", float64(v.JetStream.Stats.Store), float64(v.JetStream.Config.MaxStore), "empty streams, or give the volume more room and raise jetstream.max_file_store")
	n.fine(checkServer, "every write of "+n.conn.ConnectedServerName()+" is on its disk before it is confirmed, and there is room for more")
}

// readVars asks a server's monitoring.
func readVars(ctx context.Context, base string) (v vars, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, 2*time.Second, fmt.Errorf("no answer within 2s"))
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(base, "/")+"/varz", nil)
	if err != nil {
		return v, err
	}
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	answer, err := transport.RoundTrip(request)
	if err != nil {
		return v, fmt.Errorf("%s does not answer: %w", base, err)
	}
	defer func() { _ = answer.Body.Close() }()
	if err := json.NewDecoder(http.MaxBytesReader(nil, answer.Body, 4<<20)).Decode(&v); err != nil || answer.StatusCode != http.StatusOK {
		return v, fmt.Errorf("what answers at %s is no NATS server's monitoring", base)
	}
	return v, nil
}

// checkAccount looks at the limits of the account, where this user may ask for them.
func (n *natsWorld) checkAccount(ctx context.Context) {
	if !n.may(ctx, "$JS.API.INFO") {
		return // no worker needs to know
	}
	account, err := n.js.AccountInfo(ctx)
	if err != nil {
		return // others say why
	}
	n.room("storage of the account", float64(account.Store), float64(account.Limits.MaxStore), "raise the account's max_file, or empty streams")
	for name, tier := range account.Tiers {
		n.room("storage of the account, "+name, float64(tier.Store), float64(tier.Limits.MaxStore), "raise the account's max_file, or empty streams")
	}
}

// room reports storage that is used up, or soon will be. Without a bound there is none to reach.
func (n *natsWorld) room(what string, used, most float64, mend string) {
	if most <= 0 || used < storeWarns*most {
		return
	}
	text := fmt.Sprintf("%.0f %% of it is used: what is published when it is full is refused", 100*used/most)
	if used >= storeFails*most {
		n.fault(checkServer, what, text, mend)
		return
	}
	n.warn(checkServer, what, text, mend)
}
