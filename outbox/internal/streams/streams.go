package streams

import (
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

const (
	// DedupWindow is how long the server knows a Nats-Msg-Id: in memory, so that
	// a single server that is restarted knows those of stored messages alone.
	DedupWindow = 10 * time.Minute
	// bucketWindow is the server's own default, which jetstream.CreateKeyValue asks for.
	bucketWindow = 2 * time.Minute
	repliesAge   = 24 * time.Hour
	advisoryAge  = 30 * 24 * time.Hour
	// markerTTL is how long the ledger shows that a key expired. Setting it is
	// what allows a TTL of its own for each key (ADR-48).
	markerTTL = time.Minute
)

// MaxConsumers is that of the work queue and of the replies. -1 would be the server's own bound, 1,000.
const MaxConsumers = 1 << 20

// What begins the name of the stream of a key-value bucket (ADR-8), and of an object store (ADR-20).
const (
	BucketPrefix = "KV_"
	ObjectPrefix = "OBJ_"
)

// Names are those of streams, buckets and subjects: a contract.Prefix has them.
type Names interface {
	String() string
	OutStream() string
	DeadStream() string
	ReplyStream() string
	AdvisoryStream() string
	AuditStream() string
	ReconcileStream() string
	EventStream() string
	StateBucket() string
	SourcesBucket() string
	LedgerBucket() string
	BodyBucket() string
	OutSubjects() string
	WakeSubjects() string
	ReconcileSubject(source string) string
	EventSubject(source, what string) string
}

// Set is what a topology may be told, with its defaults; see topology.Topology.
type Set struct {
	Names                       Names
	Replicas                    int
	QueueMaxBytes, QueueMaxMsgs int64
	DeadMaxAge                  time.Duration
	AuditMaxAge                 time.Duration
	Registry                    bool
	Reconcile                   time.Duration
}

// Configs returns the configuration of every stream of the set,
// those of the key-value buckets and of the object store among them, as it is
// created where nothing exists. The work queue comes first.
func (s Set) Configs() []jetstream.StreamConfig {
	all := []jetstream.StreamConfig{
		s.outStream(), s.deadStream(), s.replyStream(), s.advisoryStream(),
		s.bucket(s.Names.StateBucket()), s.ledgerBucket(), s.bodyStore(), s.auditStream(),
	}
	if s.Registry {
		all = append(all, s.sourcesBucket())
	}
	if s.Reconcile > 0 {
		all = append(all, s.reconcileStream(), s.eventStream())
	}
	return all
}

// stream is what all streams have in common: on disk, replicated, and full
// means that a write is refused, never that something older is dropped.
func (s Set) stream(name, about string, subjects ...string) jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name:              name,
		Description:       about,
		Subjects:          subjects,
		Retention:         jetstream.LimitsPolicy,
		Discard:           jetstream.DiscardNew,
		Storage:           jetstream.FileStorage,
		Replicas:          s.Replicas,
		Duplicates:        DedupWindow,
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
func (s Set) outStream() jetstream.StreamConfig {
	cfg := s.stream(s.Names.OutStream(), "Messages to be delivered to Redox.", s.Names.OutSubjects())
	cfg.Retention = jetstream.WorkQueuePolicy
	cfg.MaxConsumers = MaxConsumers
	cfg.MaxBytes, cfg.MaxMsgs = s.QueueMaxBytes, s.QueueMaxMsgs
	cfg.RePublish = &jetstream.RePublish{Source: s.Names.OutSubjects(), Destination: s.Names.WakeSubjects(), HeadersOnly: true}
	return cfg
}

func (s Set) deadStream() jetstream.StreamConfig {
	cfg := s.stream(s.Names.DeadStream(), "Dead letters: messages that were not delivered.", s.Names.String()+".dlq.>")
	cfg.MaxAge = s.DeadMaxAge
	cfg.Duplicates = min(DedupWindow, positive(s.DeadMaxAge, DedupWindow))
	cfg.AllowDirect = true
	return cfg
}

func (s Set) replyStream() jetstream.StreamConfig {
	cfg := s.stream(s.Names.ReplyStream(), "Durable replies.", s.Names.String()+".reply.>")
	cfg.MaxAge = repliesAge
	cfg.MaxConsumers = MaxConsumers // a reader for each source
	cfg.AllowDirect = true          // a caller may read its own subject, and needs no other right
	return cfg
}

// advisoryStream keeps what the server says about messages that it stopped
// delivering. Such an advisory is a core message: without a stream it is lost
// when nobody listens.
func (s Set) advisoryStream() jetstream.StreamConfig {
	const advisory = "$JS.EVENT.ADVISORY.CONSUMER."
	out := s.Names.OutStream()
	cfg := s.stream(s.Names.AdvisoryStream(), "Advisories about "+out+".",
		advisory+"MAX_DELIVERIES."+out+".>", advisory+"MSG_TERMINATED."+out+".>")
	cfg.MaxAge = advisoryAge
	return cfg
}

func (s Set) auditStream() jetstream.StreamConfig {
	cfg := s.stream(s.Names.AuditStream(), "Audit trail: what operators did, and one entry for each settlement where that is asked for.", s.Names.String()+".audit.>")
	cfg.MaxAge = s.AuditMaxAge
	cfg.Duplicates = min(DedupWindow, positive(s.AuditMaxAge, DedupWindow))
	return cfg
}

// bucket is a key-value bucket of one revision per key, as
// jetstream.CreateKeyValue makes it.
func (s Set) bucket(name string) jetstream.StreamConfig {
	cfg := s.stream(BucketPrefix+name, "State that all workers share.", "$KV."+name+".>")
	cfg.MaxMsgsPerSubject = 1
	cfg.Duplicates = bucketWindow
	cfg.AllowRollup = true
	cfg.AllowDirect = true
	cfg.DenyDelete = true
	return cfg
}

func (s Set) ledgerBucket() jetstream.StreamConfig {
	cfg := s.bucket(s.Names.LedgerBucket())
	cfg.Description = "Attempts and intents of messages that were not settled at once."
	cfg.AllowMsgTTL = true
	cfg.SubjectDeleteMarkerTTL = markerTTL
	cfg.AllowDirect = false // any replica answers a direct get, also one that has not yet the intent of a moment ago
	return cfg
}

func (s Set) sourcesBucket() jetstream.StreamConfig {
	cfg := s.bucket(s.Names.SourcesBucket())
	cfg.Description = "Sources that are served besides those of files. No secrets."
	return cfg
}

// bodyStore is an object store as jetstream.CreateObjectStore makes it, but
// without direct get: any replica answers that, also one that has not yet the
// object stored a moment ago, and a body that seems to be missing holds its
// message.
func (s Set) bodyStore() jetstream.StreamConfig {
	name := s.Names.BodyBucket()
	cfg := s.stream(ObjectPrefix+name, "Bodies over the size limit.", "$O."+name+".C.>", "$O."+name+".M.>")
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
