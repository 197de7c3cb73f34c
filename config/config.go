package config

import "time"

// Config is everything that can be set, complete with defaults.
//
// Load makes it, and nothing changes it afterwards: it may be read from many
// goroutines. Maps and slices belong to the Config; copy before changing.
type Config struct {
	NATS    NATS              // connection and what lies in NATS
	Redox   Redox             // the far side
	Keys    map[string]Key    // credentials by name
	Sources map[string]Source // senders by name
	// SourcesDir is a directory of files with more sources and keys, see ReadDir; "" means none.
	SourcesDir string
	Registry   bool    // whether there are also the sources of the registry in NATS; default false
	Order      Order   // ordered messages
	Worker     Worker  // delivery
	Quota      Quota   // Redox's request limit
	Reply      Reply   // where replies may go
	DLQ        DLQ     // dead letters
	Queue      Queue   // what may wait
	Bodies     Bodies  // bodies in the object store
	Audit      Audit   // the trail of settlements
	Gateway    Gateway // the request gateway
	Admin      Admin   // HTTP for operators
	Log        Log     // the log
	// Reconcile follows delivered messages until Redox reports their end.
	Reconcile Reconcile

	meta meta
}

// NATS says how to connect, and under which names the streams are.
//
// At most one of Creds, NKey, User with Password, and Token is set, by value or
// by file. With Context set, the other connection settings that are not
// defaults (see Config.Origin) go over those of the context.
type NATS struct {
	URL          URL    // comma list; default nats://127.0.0.1:4222
	Creds        Secret // text of a credentials file
	CredsFile    string // path of a credentials file; Creds then holds its text
	NKey         Secret // NKey seed
	NKeyFile     string // path of a file with the seed; NKey then holds it
	User         string // with Password
	Password     Secret // with User
	PasswordFile string // path; Password then holds its text
	Token        Secret // NATS authentication token
	TokenFile    string // path; Token then holds its text
	Context      string // name of a context of the nats CLI
	InboxPrefix  string // "" means _INBOX
	TLS          TLS
	Prefix       string // of subjects; upper case in names of streams; default redox
	Replicas     int    // of streams: 1, 3 or 5; default 1
	Provision    string // ProvisionAuto or ProvisionNever: may run create streams
}

// Values of NATS.Provision.
const (
	ProvisionAuto  = "auto"
	ProvisionNever = "never"
)

// TLS holds paths of PEM files; "" means the system's roots and no client
// certificate.
type TLS struct {
	CAFile   string
	CertFile string // with KeyFile
	KeyFile  string // with CertFile
}

// Redox says where Redox is and what its requests are bound by.
type Redox struct {
	Region         string        // RegionUS (default) or RegionCA: the defaults of BaseURL and BlobURL
	BaseURL        string        // no slash at its end; default https://api.redoxengine.com, or that of the region
	BlobURL        string        // no slash at its end; default https://blob.redoxengine.com, or that of the region
	TokenURL       string        // default BaseURL + /v2/auth/token
	LegacyURL      string        // parent of authenticate and refreshToken; default BaseURL + /auth
	EndpointPath   string        // below BaseURL; default /endpoint
	Timeout        time.Duration // of one HTTP request; default 150s
	MaxBody        int64         // bytes of one message; default 10 MB (10,000,000)
	MaxFile        int64         // bytes of one uploaded file; default 30 MB (30,000,000)
	MaxAnswer      MaxAnswer     // bytes of one answer
	Offload        Offload       // of files inside messages
	OrganizationID string        // id of the organization, for the Platform API; "" means unknown
	CAFile         string        // PEM file of a private CA; "" means the system's roots
	ProxyURL       URL           // "" means HTTPS_PROXY and NO_PROXY as Go knows them

	ClientCertFile   string        // PEM file of the certificate to show, with ClientKeyFile; "" means none
	ClientKeyFile    string        // PEM file of its key, with ClientCertFile
	IdleTimeout      time.Duration // of a connection; default 50s; 0 means no limit
	MaxConnectionAge time.Duration // after which a connection is not used again; default 5m; 0 means no limit
}

// Values of Redox.Region. The Canadian API host is documented (Redox, Authenticate with
// JWT); that of the Canadian file store is not, and is a guess.
const (
	RegionUS = "us"
	RegionCA = "ca"
)

// MaxAnswer bounds what is read of an answer, in bytes.
type MaxAnswer struct {
	Send    int64 // to a SEND; default 1 MB (1,000,000)
	Request int64 // to a REQUEST; default 40 MB (40,000,000)
}

// Offload says whether large files inside data-model messages are uploaded first.
type Offload struct {
	Enabled bool  // default false
	Over    int64 // bytes of a file above which it is uploaded; default 200 KB (200,000)
}

// Key is the credentials of one Redox API key. Which fields are used depends on
// Type; the others are zero.
type Key struct {
	Type           string  // KeyOAuth, KeyLegacy or KeyUser; default oauth
	ClientID       string  // oauth, user
	KID            string  // oauth, user; taken from the private key where that is a JWK with a kid
	PrivateKey     Secret  // oauth, user: PEM or JWK
	PrivateKeyFile string  // path; PrivateKey then holds its text
	Next           NextKey // oauth, user: the key that is to replace this one
	Algorithm      string  // RS384 or ES384; "" means what the private key calls for
	Audience       string  // aud of the assertion; default Redox.TokenURL
	Scope          string  // "" asks for none
	Mode           string  // ModeCached or ModePerRequest; default cached
	Pool           int     // tokens held at once, 1 to 64; default 1
	APIKey         Secret  // legacy
	APIKeyFile     string  // path; APIKey then holds its text
	Secret         Secret  // legacy
	SecretFile     string  // path; Secret then holds its text
}

// NextKey is the second key pair of a rotation. It is unset when PrivateKey is.
type NextKey struct {
	KID            string
	PrivateKey     Secret
	PrivateKeyFile string
}

// Values of Key.Type and Key.Mode.
const (
	KeyOAuth  = "oauth"
	KeyLegacy = "legacy"
	KeyUser   = "user"

	ModeCached     = "cached"
	ModePerRequest = "per-request"
)

// Source is one sender.
type Source struct {
	ID          string   // Redox's Source ID, a UUID in lower case
	Key         string   // name in Config.Keys
	Environment string   // EnvironmentDevelopment (default), EnvironmentStaging or EnvironmentProduction
	OnUnknown   string   // OnUnknownResend (default) or OnUnknownHold
	Hold        []string // DataModel.EventType that hold although OnUnknown is resend; * stands for either part
}

// Values of Source.Environment and Source.OnUnknown.
const (
	EnvironmentDevelopment = "development"
	EnvironmentStaging     = "staging"
	EnvironmentProduction  = "production"

	OnUnknownResend = "resend"
	OnUnknownHold   = "hold"
)

// Order is about messages that have an order key.
type Order struct {
	AfterDeadLetter string // AfterContinue (default) or AfterHold
	Secret          Secret // of the HMAC that makes tokens; publishers and the gateway only
	SecretFile      string // path; Secret then holds its text
}

// Values of Order.AfterDeadLetter.
const (
	AfterContinue = "continue"
	AfterHold     = "hold"
)

// Worker bounds delivery.
type Worker struct {
	Concurrency  int           // messages in flight, 1 to 10,000; default 64
	AckWait      time.Duration // lease of a message, at least 1s; default 30s
	DrainTimeout time.Duration // at shutdown; 0 hands everything back at once; default 30s
	BreakerAfter int           // failures in a row that pause a host; 0 never; default 5
	Retry        Retry
}

// Retry says when a message is tried again and when it is given up.
type Retry struct {
	Initial       time.Duration // before the second attempt; default 2s
	Max           time.Duration // at least Initial; default 10m
	MaxAge        time.Duration // how long a SEND is tried, pauses not counted; 0 never gives up; default 24h
	RequestMaxAge time.Duration // of a REQUEST without a deadline; default 5m
	MaxAttempts   int           // 0 (default) means no limit
	PoisonAfter   int           // attempts without an end, alone; 0 never; default 5
}

// Quota is Redox's limit on requests.
type Quota struct {
	Requests        int           // per Per; default 7500
	Per             time.Duration // rolling window; default 5m
	Group           string        // egress group: what shares one address; default "default"
	Scope           string        // ScopeFleet (default), ScopeProcess or ScopeNone
	ReserveRequests float64       // share kept for REQUESTs, 0 to below 1; default 0.2
}

// Values of Quota.Scope.
const (
	ScopeFleet   = "fleet"
	ScopeProcess = "process"
	ScopeNone    = "none"
)

// Reply lists the subjects that a reply may go to besides the source's own
// below <prefix>.reply.
type Reply struct {
	Allow []string // NATS patterns; {source} stands for the source; default _INBOX.>
}

// DLQ is about dead letters.
type DLQ struct {
	MaxAge time.Duration // 0 (default) keeps them until somebody deletes them
}

// Queue bounds what waits. A publisher is refused when the queue is full; nothing is dropped.
// A bound that was set at NATS by hand stays where there is none here.
type Queue struct {
	MaxBytes int64 // of messages with their headers; -1 (default) and 0 mean no bound
	MaxMsgs  int   // of messages of all sources; -1 (default) and 0 mean no bound
}

// Bodies is about bodies too large for a message, which lie in the object store.
type Bodies struct {
	Memory      int64         // bytes of them in memory at once; default 256 MB (256,000,000)
	OrphanAfter time.Duration // age at which one that nothing names is removed; at least 1h; default 24h
}

// Audit says where an entry of each settlement is kept. Both may be set.
type Audit struct {
	File   string        // path; "" means none
	Stream bool          // in the stream REDOX_AUDIT; default false
	MaxAge time.Duration // of entries in the stream; 0 (default) keeps them
}

// Gateway is the NATS micro service for plain clients.
type Gateway struct {
	Enabled bool          // default true
	MaxWait time.Duration // deadline of a request that has none; default 150s
}

// Reconcile asks Redox's Platform API what became of the logs of delivered messages.
type Reconcile struct {
	Enabled  bool          // default false
	Key      string        // name in Config.Keys of a user-level key; default the only one
	Interval time.Duration // before a log is looked at first; doubles from there; default 1m
	GiveUp   time.Duration // age at which a log is no longer followed; default 24h
}

// Admin is the HTTP listener for operators.
type Admin struct {
	Listen string // host:port; "" means no listener, in a file written as off; default 127.0.0.1:8466
}

// Log says what is logged, and how.
type Log struct {
	Level  string // debug, info (default), warn or error
	Format string // auto (default: tint on a terminal, else json), tint or json
}
