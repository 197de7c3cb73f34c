package checkcmd

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/cmd/redoxworker/internal/cli"
	"github.com/redoxworker/redoxworker/config"
	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/worker/service"
)

// right is one that a worker needs. It is tried without harm: what is asked for is nothing that
// there is, a body is none that the server takes, and what would be stored is expected in a
// stream that does not exist.
type right struct {
	need   string // as permissions name it
	why    string
	try    string // a subject below need
	listen bool   // to subscribe; else to publish
	body   string
	soft   bool // a worker does without it
}

const (
	// nobody is the source of what is tried: nothing is ever sent as it.
	nobody = "redoxworker-check"
	noJSON = "{"
	// noVerb is none of those that an acknowledgement may be.
	noVerb = "check"
	token  = "00000000000000000000000000000000"
)

// rightsOf are those of a worker with the configuration.
func rightsOf(c *config.Config) []right {
	p := contract.Prefix(c.NATS.Prefix)
	out, ledger, state, bodies := p.OutStream(), p.LedgerBucket(), p.StateBucket(), p.BodyBucket()
	list := consumerRights(out, ">", p.SendConsumer(nobody), "to read the queue")
	list = append(list,
		asks("STREAM.MSG.GET."+out, "", "to know which message of an order is first"),
		publishes(p.TurnSubject("*"), p.TurnSubject(nobody), "to tell other workers whose turn it is"),
		listens(p.TurnSubject("*"), "to hear whose turn it is"),
		listens(p.WakeSubjects(), "to hear which source has something"),
		right{need: p.String() + ".worker.>", try: p.String() + ".worker." + nobody, listen: true, why: "to be asked what it does"},
		right{need: "$SRV.>", try: "$SRV.PING." + nobody, listen: true, why: "to be found as a service"},
		publishes(p.String()+".dlq.>", p.DeadSubject(nobody, string(outbox.Held), token), "to write dead letters"),
		publishes(p.String()+".reply.>", p.ReplySubject(nobody, "check"), "to reply"),
		asks("STREAM.MSG.GET.KV_"+ledger, "", "to read attempts and intents"),
		publishes("$KV."+ledger+".>", "$KV."+ledger+"."+nobody, "to note attempts and intents"),
		asks("DIRECT.GET.KV_"+state+".>", "DIRECT.GET.KV_"+state+".$KV."+state+"."+nobody, "to read quota and pauses"),
		publishes("$KV."+state+".>", "$KV."+state+"."+nobody, "to write quota and pauses"),
		asks("STREAM.MSG.GET.OBJ_"+bodies, "", "to read large bodies"),
		right{need: "$JS.API.STREAM.PURGE.OBJ_" + bodies, try: "$JS.API.STREAM.PURGE.OBJ_" + bodies, why: "to remove large bodies", body: `{"filter":"$O.` + bodies + `.C.` + nobody + `"}`},
		publishes("$O."+bodies+".>", "$O."+bodies+".C."+nobody, "to write large bodies"),
		asks("STREAM.MSG.GET."+p.DeadStream(), "", "to know which large bodies dead letters name"),
		asks("STREAM.MSG.GET."+p.ReplyStream(), "", "to know which large bodies replies name"),
	)
	list = append(list, consumerRights(p.AdvisoryStream(), p.SweeperConsumer(), p.SweeperConsumer(), "to settle what the server gave up")...)
	for _, s := range service.Topology(c).Streams() {
		list = append(list, asks("STREAM.INFO."+s.Name, "", "to look whether it is there and has room"))
	}
	return append(list, optionalRights(c, p)...)
}

// makes is the right to make streams, which a worker with nats.provision: auto asks for, and
// which tells an operator from the user of workers that have never.
func makes(p contract.Prefix) right {
	r := asks("STREAM.CREATE."+p.OutStream(), "", "to make streams that are missing, as nats.provision: auto says")
	r.body, r.soft = noJSON, true
	return r
}

// optionalRights are those that a part of the configuration asks for.
func optionalRights(c *config.Config, p contract.Prefix) (list []right) {
	if c.Audit.Stream {
		list = append(list, publishes(p.String()+".audit.*", p.AuditSubject(nobody), "to write the audit trail"))
	}
	if c.Registry {
		list = append(list, asks("DIRECT.GET.KV_"+p.SourcesBucket(), "", "to read the registry of sources"))
	}
	if c.Reconcile.Enabled {
		list = append(list, consumerRights(p.ReconcileStream(), p.ReconcileConsumer(), p.ReconcileConsumer(), "to follow Redox's logs")...)
		list = append(list, publishes(p.ReconcileSubject("*"), p.ReconcileSubject(nobody), "to follow Redox's logs"),
			publishes(p.String()+".event.>", p.EventSubject(nobody, "failed"), "to tell what became of messages"))
	}
	if c.Gateway.Enabled {
		list = append(list, publishes(p.SendSubject("*"), p.SendSubject(nobody), "to store what the gateway is asked for"),
			publishes(p.OrderedSubject("*", "*"), p.OrderedSubject(nobody, token), "to store what the gateway is asked for"),
			publishes(p.RequestSubject("*"), p.RequestSubject(nobody), "to store what the gateway is asked for"),
			right{need: p.String() + ".gateway.>", try: p.GatewaySubject(nobody, contract.LaneSend), listen: true, why: "to serve the gateway"})
	}
	for _, pattern := range c.Reply.Allow {
		list = append(list, inboxRights(pattern, slices.Sorted(maps.Keys(c.Sources)))...)
	}
	return list
}

// inboxRights are those of a pattern of reply.allow, for each source where it names one. What
// is tried is shorter than any inbox that a client makes.
func inboxRights(pattern string, sources []string) (list []right) {
	if !strings.Contains(pattern, "{source}") {
		sources = []string{""}
	}
	for _, source := range sources {
		need := strings.ReplaceAll(pattern, "{source}", source)
		try := strings.ReplaceAll(strings.TrimSuffix(need, ">"), "*", nobody)
		if strings.HasSuffix(try, ".") {
			try += nobody
		}
		list = append(list, publishes(need, try, "to reply where reply.allow allows it"))
	}
	return list
}

// consumerRights are those of a reader of a stream.
func consumerRights(stream, pattern, consumer, why string) []right {
	any := pattern
	if any == ">" {
		any = "*"
	}
	ack := "$JS.ACK." + stream + "." + pattern
	if pattern != ">" {
		ack += ".>"
	}
	create := asks("CONSUMER.CREATE."+stream+"."+pattern, "CONSUMER.CREATE."+stream+"."+consumer, why)
	create.body = noJSON
	done := publishes(ack, "$JS.ACK."+stream+"."+consumer+".0.0.0.0.0", why)
	done.body = noVerb
	return []right{create, asks("CONSUMER.INFO."+stream+"."+any, "CONSUMER.INFO."+stream+"."+consumer, why),
		asks("CONSUMER.MSG.NEXT."+stream+"."+any, "CONSUMER.MSG.NEXT."+stream+"."+consumer, why), done}
}

// asks is the right to a request of the API of JetStream. It is tried without a reply subject.
func asks(need, try, why string) right {
	if try == "" {
		try = need
	}
	return right{need: "$JS.API." + need, try: "$JS.API." + try, why: why}
}

func publishes(need, try, why string) right {
	return right{need: need, try: try, why: why}
}

func listens(subject, why string) right {
	return right{need: subject, try: subject, listen: true, why: why}
}

// checkRights tries everything that a worker needs, at once: the server tells of what it refuses
// before it answers what was sent after that.
func (n *natsWorld) checkRights(ctx context.Context) {
	rights := append(rightsOf(n.config), makes(n.prefix), n.hearsAnswers())
	if n.try(ctx, checkRights, rights) {
		n.judgeRights(rights)
	}
}

// hearsAnswers is the right to the inboxes of this connection.
func (n *natsWorld) hearsAnswers() right {
	return right{need: n.inbox() + ".>", try: n.inbox() + "." + nobody + ".*", listen: true, why: "to hear answers"}
}

// try tries rights at once, and reports whether the server has told what it refuses of them.
func (n *natsWorld) try(ctx context.Context, check string, rights []right) bool {
	var subs []*nats.Subscription
	defer func() {
		for _, s := range subs {
			_ = s.Unsubscribe()
		}
	}()
	for _, r := range rights {
		if r.listen {
			s, err := n.probe.SubscribeSync(r.try)
			if err != nil {
				n.fault(check, "", err.Error(), "")
				return false
			}
			subs = append(subs, s)
			continue
		}
		msg := nats.NewMsg(r.try)
		msg.Data = []byte(r.body)
		if !strings.HasPrefix(r.try, "$JS.") {
			msg.Header.Set(jetstream.ExpectedStreamHeader, nobody)
		}
		if err := n.probe.PublishMsg(msg); err != nil {
			n.fault(check, "", err.Error(), "")
			return false
		}
	}
	if err := n.probe.FlushWithContext(ctx); err != nil {
		n.fault(check, "", "no answer of the server: "+err.Error(), "try again")
		return false
	}
	n.heardAll(ctx)
	return true
}

// inbox is the prefix of this connection's.
func (n *natsWorld) inbox() string {
	name := n.probe.NewInbox()
	return name[:strings.LastIndexByte(name, '.')]
}

// heardAll waits until every refusal was noted that came before the last one that the connection
// knows of.
func (n *natsWorld) heardAll(ctx context.Context) {
	last := n.probe.LastError()
	if !errors.Is(last, nats.ErrPermissionViolation) {
		return
	}
	for ctx.Err() == nil {
		n.mu.Lock()
		heard := slices.ContainsFunc(n.refused, func(err error) bool { return err.Error() == last.Error() })
		n.mu.Unlock()
		if heard {
			return
		}
		pause := time.NewTimer(time.Millisecond)
		select {
		case <-pause.C:
		case <-ctx.Done():
		}
	}
}

// may reports whether this user may ask for a subject of the API, which is asked without a reply
// subject and must change nothing.
func (n *natsWorld) may(ctx context.Context, subject string) bool {
	if n.probe.Publish(subject, nil) != nil || n.probe.FlushWithContext(ctx) != nil {
		return true // whoever asks hears why not
	}
	n.heardAll(ctx)
	return !n.refusals()[right{try: subject}.key()]
}

// String is the right as the configuration of a server has it.
func (r right) String() string {
	if r.listen {
		return "subscribe " + r.need
	}
	return "publish " + r.need
}

// key of what is tried.
func (r right) key() string { return fmt.Sprint(r.listen, r.try) }

// refusals are what the server has refused to this connection.
func (n *natsWorld) refusals() map[string]bool {
	refused := make(map[string]bool)
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, err := range n.refused {
		// nats: permissions violation: Permissions Violation for Publish to "subject"
		verb, rest, ok := strings.Cut(err.Error(), ` to "`)
		if subject, _, quoted := strings.Cut(rest, `"`); ok && quoted {
			refused[right{try: subject, listen: strings.HasSuffix(strings.ToLower(verb), "subscription")}.key()] = true
		}
	}
	return refused
}

// who is the user of the connection.
func (n *natsWorld) who() string {
	if n.config.NATS.User != "" {
		return "user " + n.config.NATS.User
	}
	return "this user"
}

// judgeRights names those that the server has refused.
func (n *natsWorld) judgeRights(rights []right) {
	refused := n.refusals()
	who := n.who()
	lacks := slices.DeleteFunc(slices.Clone(rights), func(r right) bool { return r.soft || !refused[r.key()] })
	never := n.config.NATS.Provision == config.ProvisionNever
	switch creates := makes(n.prefix); {
	case never && !refused[creates.key()] && len(lacks) > 0:
		n.unknown(checkRights, "", fmt.Sprintf("%s may make streams, as an operator, and lacks %s of a worker, such as %s", who, cli.Counted(len(lacks), "right"), lacks[0]), "run check with the user of the workers, too")
		return
	case !never && refused[creates.key()]:
		n.warn(checkRights, creates.String(), who+" may not "+strings.TrimPrefix(creates.why, "to "), "set nats.provision to never, and run `redoxworker provision` as the operator")
	}
	for _, r := range lacks {
		mend := "allow it, or run check with the user of the workers"
		if r.listen && strings.HasPrefix(r.need, n.inbox()) {
			mend = "set nats.inbox_prefix to the one that this user may subscribe to"
		}
		n.fault(checkRights, r.String(), who+" may not "+strings.TrimPrefix(r.why, "to "), mend)
	}
	n.fine(checkRights, fmt.Sprintf("%s has the %d rights of a worker", who, len(rights)-1))
}
