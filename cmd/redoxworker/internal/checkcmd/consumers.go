package checkcmd

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/cmd/redoxworker/internal/cli"
	"github.com/redoxworker/redoxworker/outbox/contract"
)

// checkConsumers looks at those of the queue: workers make theirs, and one of somebody else takes
// their messages away.
func (n *natsWorld) checkConsumers(ctx context.Context) {
	out := n.prefix.OutStream()
	api := "$JS.API.CONSUMER.LIST." + out
	if !n.may(ctx, api) {
		n.unknown(checkConsumers, "", "this user may not list them", mendOperator)
		return
	}
	stream, err := n.js.Stream(ctx, out)
	if err != nil {
		n.failed(checkConsumers, "stream "+out, err, "$JS.API.STREAM.INFO."+out)
		return
	}
	count := 0
	list := stream.ListConsumers(ctx)
	for info := range list.Info() {
		count++
		n.checkConsumer(info)
	}
	if err := list.Err(); err != nil && !errors.Is(err, jetstream.ErrEndOfData) {
		n.failed(checkConsumers, "stream "+out, err, api)
		return
	}
	n.fine(checkConsumers, fmt.Sprintf("%s of %s, as workers make them", cli.Counted(count, "consumer"), out))
}

func (n *natsWorld) checkConsumer(info *jetstream.ConsumerInfo) {
	subject, c := "consumer "+info.Name, info.Config
	remove := "nats consumer rm " + n.prefix.OutStream() + " " + info.Name + " --force"
	source, lane, ours := n.prefix.ParseLaneConsumer(info.Name)
	if c.Metadata["run"] != "" && strings.HasPrefix(info.Name, "astray-") {
		n.warn(checkConsumers, subject, "an operator moves messages that no worker reads; while that goes on none can begin to", "wait until it has ended: redoxworker audit ls; the server removes it half a minute after a run that was killed")
		return
	}
	if !ours {
		n.fault(checkConsumers, subject, "it is no worker's, and takes messages away from workers", "stop who made it, then "+remove)
		return
	}
	const anew = "stop all workers, then "
	switch {
	case c.AckWait < n.config.Worker.AckWait:
		n.fault(checkConsumers, subject, fmt.Sprintf("its ack wait of %v is shorter than worker.ack_wait, %v: no worker reads from it", c.AckWait, n.config.Worker.AckWait), anew+remove)
	case c.AckPolicy != jetstream.AckExplicitPolicy, c.MaxDeliver > 0, len(c.BackOff) > 0, c.HeadersOnly, !filters(c, n.prefix, source, lane):
		n.fault(checkConsumers, subject, "it is configured otherwise than workers do it: they decide themselves when to try again, and read all of their source", anew+remove)
	case info.Paused:
		n.fault(checkConsumers, subject, "it is paused at the server, for "+info.PauseRemaining.Round(time.Second).String(), "nats consumer resume "+n.prefix.OutStream()+" "+info.Name+" --force; `redoxworker pause` is what pauses a source")
	}
}

// filters reports whether a consumer reads all of its lane, and no more.
func filters(c jetstream.ConsumerConfig, p contract.Prefix, source string, lane contract.Lane) bool {
	if lane == contract.LaneRequest {
		return c.FilterSubject == p.RequestSubject(source) && len(c.FilterSubjects) == 0
	}
	has := make(map[string]bool)
	for _, s := range c.FilterSubjects {
		has[s] = true
	}
	return len(has) == 2 && has[p.SendSubject(source)] && has[p.SendSubject(source)+".>"]
}
