package outbox

import (
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

const (
	// dedupWindow is how long the server knows a Nats-Msg-Id: in memory, so that
	// a single server that is restarted knows those of stored messages alone.
	dedupWindow = 10 * time.Minute
	// bucketWindow is the server's own default, which jetstream.CreateKeyValue asks for.
	bucketWindow = 2 * time.Minute
	repliesAge   = 24 * time.Hour
	advisoryAge  = 30 * 24 * time.Hour
	// markerTTL is how long the ledger shows that a key expired. Setting it is
	// what allows a TTL of its own for each key (ADR-48).
	markerTTL = time.Minute
)

// maxConsumers of the work queue. -1 would be the server's own bound, 1,000.
const maxConsumers = 1 << 20

const (
	bucketStream = "KV_"  // ADR-8
	objectStream = "OBJ_" // ADR-20
)

// Streams returns the configuration of every stream the topology consists of,
// those of the key-value buckets and of the object store among them, as it is
// created where nothing exists. The work queue comes first.
func (t Topology) Streams() []jetstream.StreamConfig {
	t = t.WithDefaults()
	all := []jetstream.StreamConfig{
		t.outStream(), t.deadStream(), t.replyStream(), t.advisoryStream(),
		t.bucket(t.Prefix.StateBucket()), t.ledgerBucket(), t.bodyStore(),
	}
	if t.Audit {
		all = append(all, t.auditStream())
	}
	if t.Registry {
		all = append(all, t.sourcesBucket())
	}
	if t.Reconcile > 0 {
		all = append(all, t.reconcileStream(), t.eventStream())
	}
	return all
}

// stream is what all streams have in common: on disk, replicated, and full
// means that a write is refused, never that something older is dropped.
func (t Topology) stream(name, about string, subjects ...string) jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name:              name,
		Description:       about,
		Subjects:          subjects,
		Retention:         jetstream.LimitsPolicy,
		Discard:           jetstream.DiscardNew,
		Storage:           jetstream.FileStorage,
		Replicas:          t.Replicas,
		Duplicates:        dedupWindow,
		MaxMsgs:           -1,
		MaxBytes:          -1,
		MaxMsgsPerSubject: -1,
		MaxMsgSize:        -1,
		MaxConsumers:      -1,
		Metadata:          map[string]string{},
	}
}

// outStream is the work queue. It takes no schedules, TTLs or roll-ups: with
// any of them a publisher could remove what others have stored.
func (t Topology) outStream() jetstream.StreamConfig {
	cfg := t.stream(t.Prefix.OutStream(), "Messages to be delivered to Redox.", t.Prefix.OutSubjects())
	cfg.Retention = jetstream.WorkQueuePolicy
	cfg.MaxConsumers = maxConsumers
	cfg.MaxBytes, cfg.MaxMsgs = t.QueueMaxBytes, t.QueueMaxMsgs
	cfg.RePublish = &jetstream.RePublish{Source: t.Prefix.OutSubjects(), Destination: t.Prefix.WakeSubjects(), HeadersOnly: true}
	return cfg
}

func (t Topology) deadStream() jetstream.StreamConfig {
	cfg := t.stream(t.Prefix.DeadStream(), "Dead letters: messages that were not delivered.", t.Prefix.String()+".dlq.>")
	cfg.MaxAge = t.DeadMaxAge
	cfg.Duplicates = min(dedupWindow, positive(t.DeadMaxAge, dedupWindow))
	cfg.AllowDirect = true
	return cfg
}

func (t Topology) replyStream() jetstream.StreamConfig {
	cfg := t.stream(t.Prefix.ReplyStream(), "Durable replies.", t.Prefix.String()+".reply.>")
	cfg.MaxAge = repliesAge
	cfg.AllowDirect = true // a caller may read its own subject, and needs no other right
	return cfg
}

// advisoryStream keeps what the server says about messages that it stopped
// delivering. Such an advisory is a core message: without a stream it is lost
// when nobody listens.
func (t Topology) advisoryStream() jetstream.StreamConfig {
	const advisory = "$JS.EVENT.ADVISORY.CONSUMER."
	out := t.Prefix.OutStream()
	cfg := t.stream(t.Prefix.AdvisoryStream(), "Advisories about "+out+".",
		advisory+"MAX_DELIVERIES."+out+".>", advisory+"MSG_TERMINATED."+out+".>")
	cfg.MaxAge = advisoryAge
	return cfg
}

func (t Topology) auditStream() jetstream.StreamConfig {
	cfg := t.stream(t.Prefix.AuditStream(), "Audit trail: one entry for each settlement.", t.Prefix.String()+".audit.*")
	cfg.MaxAge = t.AuditMaxAge
	cfg.Duplicates = min(dedupWindow, positive(t.AuditMaxAge, dedupWindow))
	return cfg
}

// bucket is a key-value bucket of one revision per key, as
// jetstream.CreateKeyValue makes it.
func (t Topology) bucket(name string) jetstream.StreamConfig {
	cfg := t.stream(bucketStream+name, "State that all workers share.", "$KV."+name+".>")
	cfg.MaxMsgsPerSubject = 1
	cfg.Duplicates = bucketWindow
	cfg.AllowRollup = true
	cfg.AllowDirect = true
	cfg.DenyDelete = true
	return cfg
}

func (t Topology) ledgerBucket() jetstream.StreamConfig {
	cfg := t.bucket(t.Prefix.LedgerBucket())
	cfg.Description = "Attempts and intents of messages that were not settled at once."
	cfg.AllowMsgTTL = true
	cfg.SubjectDeleteMarkerTTL = markerTTL
	cfg.AllowDirect = false // any replica answers a direct get, also one that has not yet the intent of a moment ago
	return cfg
}

func (t Topology) sourcesBucket() jetstream.StreamConfig {
	cfg := t.bucket(t.Prefix.SourcesBucket())
	cfg.Description = "Sources that are served besides those of files. No secrets."
	return cfg
}

// bodyStore is an object store as jetstream.CreateObjectStore makes it, but
// without direct get: any replica answers that, also one that has not yet the
// object stored a moment ago, and a body that seems to be missing holds its
// message.
func (t Topology) bodyStore() jetstream.StreamConfig {
	name := t.Prefix.BodyBucket()
	cfg := t.stream(objectStream+name, "Bodies over the size limit.", "$O."+name+".C.>", "$O."+name+".M.>")
	cfg.Duplicates = bucketWindow
	cfg.AllowRollup = true
	return cfg
}

func positive(d, otherwise time.Duration) time.Duration {
	if d > 0 {
		return d
	}
	return otherwise
}
