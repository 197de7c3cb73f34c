package checkcmd

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"github.com/nats-io/nats.go"

	"github.com/redoxworker/redoxworker/cmd/redoxworker/internal/cli"
	"github.com/redoxworker/redoxworker/config"
	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/worker/service/natslink"
)

// consoleRights are those of a console: it sees everything, and does what operators do.
func consoleRights(c *config.Config) []right {
	p := contract.Prefix(c.NATS.Prefix)
	bodies := "OBJ_" + p.BodyBucket()
	const looks, acts = "to see what there is", "to do what operators do"
	list := []right{
		asks("INFO", "", looks), asks("STREAM.LIST", "", looks), asks("STREAM.NAMES", "", looks), asks("STREAM.INFO.*", "STREAM.INFO."+nobody, looks), asks("STREAM.MSG.GET.*", "STREAM.MSG.GET."+nobody, looks),
		asks("DIRECT.GET.>", "DIRECT.GET."+nobody, looks), asks("CONSUMER.LIST.*", "CONSUMER.LIST."+nobody, looks), asks("CONSUMER.NAMES.*", "CONSUMER.NAMES."+nobody, looks), asks("CONSUMER.INFO.*.*", "CONSUMER.INFO."+nobody+"."+nobody, looks),
		sends("STREAM.MSG.DELETE."+p.DeadStream(), "", "to discard dead letters"), {need: "$JS.API.STREAM.PURGE." + bodies, try: "$JS.API.STREAM.PURGE." + bodies, why: "to remove large bodies", body: `{"filter":"$O.` + p.BodyBucket() + `.C.` + nobody + `"}`},
		publishes("$KV."+p.StateBucket()+".>", "$KV."+p.StateBucket()+"."+nobody, "to pause and resume"), publishes("$KV."+p.LedgerBucket()+".>", "$KV."+p.LedgerBucket()+"."+nobody, "to hold and release"),
		publishes("$O."+p.BodyBucket()+".>", "$O."+p.BodyBucket()+".C."+nobody, "to send large bodies again"),
		publishes(p.String()+".audit.*.deed", p.DeedSubject(nobody), "to write into the audit trail what is done, before it is"),
		publishes(p.SendSubject("*"), p.SendSubject(nobody), acts), publishes(p.OrderedSubject("*", "*"), p.OrderedSubject(nobody, token), acts), publishes(p.RequestSubject("*"), p.RequestSubject(nobody), acts),
		publishes(p.String()+".worker.>", p.String()+".worker."+nobody, "to ask workers what they do"), publishes("$SRV.>", "$SRV.PING."+nobody, "to find workers"),
		listens(p.String()+".reply.>", "to hear replies"),
	}
	buckets := []string{"KV_" + p.StateBucket(), "KV_" + p.LedgerBucket(), bodies}
	if c.Registry {
		buckets = append(buckets, "KV_"+p.SourcesBucket())
		list = append(list, publishes("$KV."+p.SourcesBucket()+".>", "$KV."+p.SourcesBucket()+"."+nobody, "to add, change and remove sources"))
	}
	streams := []string{p.DeadStream(), p.AuditStream(), p.ReplyStream()}
	for _, s := range slices.Concat(streams, buckets) {
		list = append(list, sends("CONSUMER.CREATE."+s+".>", "CONSUMER.CREATE."+s+"."+nobody, looks), sends("CONSUMER.DELETE."+s+".*", "CONSUMER.DELETE."+s+"."+nobody, looks))
	}
	for _, s := range streams {
		list = append(list, asks("CONSUMER.MSG.NEXT."+s+".*", "CONSUMER.MSG.NEXT."+s+"."+nobody, looks))
	}
	done := publishes("$JS.ACK."+p.DeadStream()+".>", "$JS.ACK."+p.DeadStream()+"."+nobody+".0.0.0.0.0", looks)
	done.body = noVerb
	return append(list, done)
}

// sends is the right to a request of the API of JetStream that would change something: its body is none that
// the server takes.
func sends(need, try, why string) right {
	r := asks(need, try, why)
	r.body = noJSON
	return r
}

// checkConsoleRights tries what a console needs with the connection that it opens, where there is to be one.
func checkConsoleRights(ctx context.Context, c *config.Config, r *report) {
	if c.Console.Listen == "" && !c.HasOwnNATS() {
		return
	}
	own := c.ForConsole()
	bound, cancel := context.WithTimeoutCause(ctx, connectTimeout, fmt.Errorf("no connection within %v", connectTimeout))
	defer cancel()
	probe, _, err := natslink.Connect(bound, own, slog.New(slog.DiscardHandler))
	if err != nil {
		if !c.HasOwnNATS() {
			return // the check of nats tells it
		}
		r.fault(checkConsole, "console.nats", cause(bound, err), "check the servers and credentials under console.nats")
		return
	}
	defer probe.Close()
	n := &natsWorld{report: r, conn: probe, probe: probe, config: own, prefix: contract.Prefix(own.NATS.Prefix)}
	probe.SetErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { n.hear(err) })
	rights := append(consoleRights(own), n.hearsAnswers())
	if !n.try(ctx, checkConsole, rights) {
		return
	}
	refused := n.refusals()
	lacks := slices.DeleteFunc(slices.Clone(rights), func(r right) bool { return !refused[r.key()] })
	who := n.who()
	if len(lacks) > 0 && !c.HasOwnNATS() {
		r.fault(checkConsole, "console.nats", fmt.Sprintf("%s lacks %s of a console, such as %s", who, cli.Counted(len(lacks), "right"), lacks[0]), "set it to a user that has them: with deploy/nats, console and the inbox_prefix _INBOX_console")
		return
	}
	for _, l := range lacks {
		mend := "allow it to this user"
		if l.listen && strings.HasPrefix(l.need, n.inbox()) {
			mend = "set console.nats.inbox_prefix to the one that this user may subscribe to"
		}
		n.fault(checkConsole, l.String(), who+" may not "+strings.TrimPrefix(l.why, "to "), mend)
	}
	n.fine(checkConsole, fmt.Sprintf("%s has the %d rights of a console", who, len(rights)))
}
