package checkcmd

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"

	"github.com/redoxworker/redoxworker/cmd/redoxworker/internal/cli"
	"github.com/redoxworker/redoxworker/config"
	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/topology"
	"github.com/redoxworker/redoxworker/worker/service"
)

// checkStreams compares streams and buckets with what they should be, and looks whether they
// have room.
func (n *natsWorld) checkStreams(ctx context.Context) {
	wanted := service.Topology(n.config)
	changes, err := wanted.Drift(ctx, n.js)
	if err != nil {
		n.streamsFailed(err)
		return
	}
	missing := make(map[string]bool)
	for _, c := range changes {
		subject := c.Kind + " " + c.Name
		switch c.Action {
		case topology.Create:
			missing[c.Name] = true
			n.fault(checkStreams, subject, "it does not exist", mendProvision)
		case topology.Update:
			n.fault(checkStreams, subject, "it differs: "+c.Detail, n.mendUpdate(c))
		default:
			text, mend, _ := strings.Cut(c.Detail, ": ")
			n.fault(checkStreams, subject, "it differs, and provision leaves that: "+text, mend)
		}
	}
	faults, unknown, err := wanted.Health(ctx, n.js, nil)
	if err != nil {
		n.streamsFailed(err)
		return
	}
	for _, f := range faults {
		if !f.Missing {
			text, mend, _ := strings.Cut(f.Detail, "; ")
			n.fault(checkStreams, f.Kind+" "+f.Name, strings.TrimPrefix(text, f.Kind+" "+f.Name+" "), mend)
		}
	}
	for _, name := range unknown {
		n.unknown(checkStreams, name, "this user may not look at it", mendOperator)
	}
	n.fine(checkStreams, fmt.Sprintf("%d streams and buckets are as configured, and have room", len(wanted.Streams())))
}

// mendUpdate is what to do about a difference that provision mends, unless the server cannot.
func (n *natsWorld) mendUpdate(c topology.Change) string {
	if strings.HasPrefix(c.Detail, "replicas ") && n.conn.ConnectedClusterName() == "" {
		return mendAlone
	}
	return mendProvision
}

// mendAlone is for copies that there are no servers for.
const mendAlone = "set nats.replicas to 1, or make it a cluster of three servers as deploy/nats/cluster.conf has it"

func (n *natsWorld) streamsFailed(err error) {
	if errors.Is(err, outbox.ErrPermission) {
		n.fault(checkStreams, "", err.Error(), "")
		return
	}
	n.failed(checkStreams, "", err, "$JS.API.STREAM.INFO.")
}

// infos of all streams that there are and that this user may look at.
func (n *natsWorld) infos(ctx context.Context) (all []*jetstream.StreamInfo) {
	var mu sync.Mutex
	var group errgroup.Group
	group.SetLimit(8)
	for _, want := range service.Topology(n.config).Streams() {
		group.Go(func() error {
			began := time.Now()
			once, cancel := context.WithTimeout(ctx, 2*time.Second) // what the server refuses is not answered
			stream, err := n.js.Stream(once, want.Name)
			cancel()
			if err != nil {
				return nil // checkStreams says it
			}
			n.checkServerTime(stream.CachedInfo().TimeStamp, began, time.Now())
			mu.Lock()
			defer mu.Unlock()
			all = append(all, stream.CachedInfo())
			return nil
		})
	}
	_ = group.Wait()
	slices.SortFunc(all, func(a, b *jetstream.StreamInfo) int { return strings.Compare(a.Config.Name, b.Config.Name) })
	return all
}

// checkReplicas looks whether what is to be kept several times is, and the clock of those who
// keep it.
func (n *natsWorld) checkReplicas(ctx context.Context) {
	infos := n.infos(ctx)
	for _, info := range infos {
		n.checkPeers(info)
	}
	clustered := n.conn.ConnectedClusterName() != ""
	switch replicas := n.config.NATS.Replicas; {
	case replicas > 1 && !clustered:
		n.fault(checkReplicas, "nats.replicas", fmt.Sprintf("is %d, and the server is alone", replicas), mendAlone)
	case replicas > 1:
	case clustered:
		n.warn(checkReplicas, "nats.replicas", "is 1 on a cluster: when one server is lost, the streams on it are", "set nats.replicas to 3 and run `redoxworker provision`")
	case n.produces():
		n.warn(checkReplicas, "nats.replicas", "is 1, and sources are in production: a restart of the server forgets the ids of settled messages, and the loss of its disk loses all that waits",
			"run three servers as deploy/nats/cluster.conf has them, set nats.replicas to 3 and run `redoxworker provision`")
	}
	if len(infos) == 0 {
		n.unknown(checkReplicas, "", "there is no stream to look at", mendProvision)
	}
	n.fine(checkReplicas, fmt.Sprintf("%s of each stream, all current", counted(n.config.NATS.Replicas, "copy", "copies")))
}

func (n *natsWorld) produces() bool {
	for _, s := range n.config.Sources {
		if s.Environment == config.EnvironmentProduction {
			return true
		}
	}
	return false
}

// checkPeers looks at the copies of a stream.
func (n *natsWorld) checkPeers(info *jetstream.StreamInfo) {
	if info.Cluster == nil {
		return
	}
	name := "stream " + info.Config.Name
	if info.Cluster.Leader == "" {
		n.fault(checkReplicas, name, "it has no leader: nothing can be read or written", "start the servers that are down; see nats stream report")
	}
	for _, peer := range info.Cluster.Replicas {
		switch {
		case peer.Offline:
			n.fault(checkReplicas, name, "its copy on "+peer.Name+" is offline", "start that server, or give its copy to another: nats stream cluster peer-remove")
		case !peer.Current:
			n.warn(checkReplicas, name, fmt.Sprintf("its copy on %s is %d operations behind", peer.Name, peer.Lag), "wait until it has caught up before another server is stopped")
		}
	}
}

// clockWarns and clockFails are how far off a clock is a warning and a fault: as for a token, and
// as for deadlines, which are by the clock of the NATS server.
const (
	clockWarns = 5 * time.Second
	clockFails = time.Minute
)

// checkServerTime compares this clock with the server's, which was read between two moments.
func (n *natsWorld) checkServerTime(server, before, after time.Time) {
	if server.IsZero() {
		return
	}
	ahead := time.Duration(0)
	switch {
	case server.Before(before):
		ahead = before.Sub(server)
	case server.After(after):
		ahead = after.Sub(server)
	}
	n.clock("NATS", ahead)
}

// clock reports how far this host's clock is ahead of another's.
func (r *report) clock(whose string, ahead time.Duration) {
	text := "this host's clock is " + ClockText(ahead, true)
	switch {
	case ahead.Abs() >= clockFails:
		r.fault(checkClock, whose, text, "set this host's clock, by NTP say, or the server's")
	case ahead.Abs() >= clockWarns:
		r.warn(checkClock, whose, text, "set this host's clock, by NTP say, or the server's")
	default:
		r.ok(checkClock, "right to the second, by "+whose)
	}
}

// counted is cli.Counted for nouns of another plural.
func counted(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// checkQueue looks for messages that nobody reads: under subjects of no lane, and of sources that
// nobody knows.
func (n *natsWorld) checkQueue(ctx context.Context) {
	name := n.prefix.OutStream()
	stream, err := n.js.Stream(ctx, name)
	if err != nil {
		n.failed(checkQueue, "stream "+name, err, "$JS.API.STREAM.INFO."+name)
		return
	}
	info, err := stream.Info(ctx, jetstream.WithSubjectFilter(n.prefix.OutSubjects()))
	if err != nil {
		n.failed(checkQueue, "stream "+name, err, "$JS.API.STREAM.INFO."+name)
		return
	}
	known := n.knownSources(ctx)
	astray, strange, strangers := uint64(0), uint64(0), make(map[string]bool)
	for subject, messages := range info.State.Subjects {
		source, lane, _, _ := n.prefix.ParseOut(subject)
		switch {
		case lane == "":
			astray += messages
		case known != nil && !known[source]:
			strange += messages
			strangers[source] = true
		}
	}
	if astray > 0 {
		n.fault(checkQueue, "stream "+name, cli.Counted(astray, "message")+" under subjects that no worker reads", "run `redoxworker astray ls`, and have their publisher write "+n.prefix.SendSubject("<source>")+" or .request")
	}
	if strange > 0 {
		n.warn(checkQueue, "stream "+name, fmt.Sprintf("%s of %s that this configuration does not name: %s", cli.Counted(strange, "message"), cli.Counted(len(strangers), "source"), some(strangers)),
			"name them below sources, or see that another fleet serves them; what nobody serves `redoxworker astray ls` lists")
	}
	n.fine(checkQueue, cli.Counted(info.State.Msgs, "message")+", all of sources that are known")
}

// some of many names.
func some(names map[string]bool) string {
	const most = 5
	list := make([]string, 0, len(names))
	for name := range names {
		list = append(list, name)
	}
	slices.Sort(list)
	if len(list) > most {
		return strings.Join(list[:most], ", ") + ", …"
	}
	return strings.Join(list, ", ")
}
