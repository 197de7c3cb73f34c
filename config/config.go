package config

import "time"

// Config is everything that can be set, complete with defaults.
//
// Load makes it, and nothing changes it afterwards: it may be read by many goroutines. Maps and
// slices belong to the Config; copy them before a change.
//
// The tags of the fields are the table of all keys: key is the name in the file, doc the
// meaning, default the value when nothing is set (as written in YAML), values all that are
// allowed, least, most and below the bounds. A field whose name ends in File beside one of
// type Secret is a path: Load puts the text of that file into the Secret.
type Config struct {
	NATS    NATS              `key:"nats"`
	Redox   Redox             `key:"redox"`
	Keys    map[string]Key    `key:"keys"`
	Sources map[string]Source `key:"sources"`

	SourcesDir string `key:"sources_dir" kind:"directory" skip:"sources" doc:"directory of files with more sources and keys, followed while the worker runs"`
	Registry   bool   `key:"registry" default:"false" doc:"whether the sources of the registry in NATS are served, too; see redoxworker sources"`

	Order     Order     `key:"order"`
	Seal      Seal      `key:"seal"`
	Worker    Worker    `key:"worker"`
	Quota     Quota     `key:"quota"`
	Reply     Reply     `key:"reply"`
	DLQ       DLQ       `key:"dlq"`
	Queue     Queue     `key:"queue"`
	Bodies    Bodies    `key:"bodies"`
	Audit     Audit     `key:"audit"`
	Gateway   Gateway   `key:"gateway"`
	Reconcile Reconcile `key:"reconcile"`
	Outbox    Outbox    `key:"outbox"`
	Admin     Admin     `key:"admin"`
	Console   Console   `key:"console"`
	Log       Log       `key:"log"`

	meta meta
}

// NATS says how to connect, and under which names the streams are.
//
// At most one of Creds, NKey, User with Password, and Token is set, by value or by file. With
// Context set, the other connection settings that are not defaults (see Config.Origin) take
// precedence over those of the context.
type NATS struct {
	URL          URL    `key:"url" kind:"servers" default:"nats://127.0.0.1:4222" doc:"servers, separated by commas"`
	Creds        Secret `key:"creds" doc:"text of a NATS credentials file"`
	CredsFile    string `key:"creds_file" kind:"secret file" doc:"NATS credentials file (JWT and seed)"`
	NKey         Secret `key:"nkey" doc:"NKey seed"`
	NKeyFile     string `key:"nkey_file" kind:"secret file" doc:"file with an NKey seed"`
	User         string `key:"user" doc:"user name, with nats.password"`
	Password     Secret `key:"password" doc:"password of nats.user"`
	PasswordFile string `key:"password_file" kind:"secret file" doc:"file with the password of nats.user"`
	Token        Secret `key:"token" doc:"NATS authentication token"`
	TokenFile    string `key:"token_file" kind:"secret file" doc:"file with a NATS authentication token"`
	Context      string `key:"context" doc:"context of the nats command line tool to take the connection from"`
	InboxPrefix  string `key:"inbox_prefix" doc:"prefix of reply inboxes; empty means _INBOX"`
	TLS          TLS    `key:"tls"`
	Prefix       string `key:"prefix" default:"redox" doc:"first token of subjects and, in upper case, of streams and buckets"`
	Replicas     int    `key:"replicas" default:"1" values:"1 3 5" doc:"copies of each stream: 1 on one server, 3 on a cluster"`
	Provision    string `key:"provision" default:"auto" values:"auto never" doc:"whether run may create streams and buckets"`
}

// Values of NATS.Provision.
const (
	ProvisionAuto  = "auto"
	ProvisionNever = "never"
)

// TLS holds paths of PEM files; "" means the system's roots and no client
// certificate.
type TLS struct {
	CAFile   string `key:"ca_file" kind:"file" doc:"PEM file of the authority that signed the servers' certificates"`
	CertFile string `key:"cert_file" kind:"file" doc:"PEM file of the client certificate"`
	KeyFile  string `key:"key_file" kind:"file" is:"private" doc:"PEM file of the client certificate's key"`
}

// Redox says where Redox is and what bounds requests to it.
type Redox struct {
	Region string `key:"region" default:"us" values:"us ca" doc:"where Redox keeps the organization: the hosts of base_url and blob_url unless they are set"`
	// BaseURL has no slash at its end, nor have BlobURL and LegacyURL.
	BaseURL          string        `key:"base_url" kind:"url" default:"https://api.redoxengine.com" doc:"Redox's API"`
	BlobURL          string        `key:"blob_url" kind:"url" default:"https://blob.redoxengine.com" doc:"Redox's file store"`
	TokenURL         string        `key:"token_url" kind:"url" doc:"OAuth token endpoint; empty means base_url + /v2/auth/token"`
	LegacyURL        string        `key:"legacy_url" kind:"url" doc:"parent of authenticate and refreshToken; empty means base_url + /auth"`
	EndpointPath     string        `key:"endpoint_path" default:"/endpoint" doc:"path of the data model API below base_url"`
	FHIRPath         string        `key:"fhir_path" default:"/fhir/R4/" doc:"path of the FHIR API below base_url"`
	Timeout          time.Duration `key:"timeout" default:"150s" least:"1ms" doc:"longest wait for one HTTP answer"`
	MaxBody          int64         `key:"max_body" default:"10MB" least:"1" doc:"largest body of a message"`
	MaxFile          int64         `key:"max_file" default:"30MB" least:"1" doc:"largest file to upload"`
	MaxAnswer        MaxAnswer     `key:"max_answer"`
	StrictAnswers    string        `key:"strict_answers" default:"auto" values:"auto on off" doc:"whether an answer that Redox cannot have sent decides nothing, such as the page of a sign-in or firewall; auto means also a 2xx without a Meta, unless endpoint_path is changed"`
	Offload          Offload       `key:"offload"`
	Headers          []string      `key:"headers" default:"Prefer,If-*,X-Sender-Organization-Id,X-User-Id" doc:"HTTP headers that messages may set, in any case; * stands for any letters"`
	OrganizationID   string        `key:"organization_id" doc:"id of the organization in Redox's dashboard, to look up logs over the Platform API"`
	CAFile           string        `key:"ca_file" kind:"file" doc:"PEM file of a private authority; empty means the system's"`
	ClientCertFile   string        `key:"client_cert_file" kind:"file" doc:"PEM file of the certificate to show to a server that asks for one, such as a gateway with mutual TLS"`
	ClientKeyFile    string        `key:"client_key_file" kind:"file" is:"private" doc:"PEM file of the key of redox.client_cert_file"`
	IdleTimeout      time.Duration `key:"idle_timeout" default:"50s" least:"0s" doc:"how long a connection may be idle and be used again, unless the server says less; 0s means no limit"`
	MaxConnectionAge time.Duration `key:"max_connection_age" default:"5m" least:"0s" doc:"how long after it was opened a connection may be used again; 0s means no limit"`
	HTTP2            string        `key:"http2" default:"auto" values:"auto on off" doc:"whether requests go over HTTP/2 to hosts that offer it; auto means where worker.concurrency is 256 or more"`
	ProxyURL         URL           `key:"proxy_url" kind:"proxy" doc:"HTTP, HTTPS or SOCKS5 proxy; empty means HTTPS_PROXY and NO_PROXY"`
}

// Values of Redox.HTTP2.
const (
	HTTP2Auto = "auto" // HTTP2On where Worker.Concurrency is 256 or more
	HTTP2On   = "on"   // with hosts that offer it
	HTTP2Off  = "off"
)

// Values of Redox.StrictAnswers.
const (
	StrictAuto = "auto" // StrictOn, but without a look for Meta where EndpointPath is changed
	StrictOn   = "on"   // an answer to a data-model message has a Meta, and no answer is a page of HTML
	StrictOff  = "off"  // every 2xx delivers, and every page of HTML with another status refuses
)

// Values of Redox.Region. The Canadian API host is documented (Redox, Authenticate with
// JWT); that of the Canadian file store is not, and is a guess.
const (
	RegionUS = "us"
	RegionCA = "ca"
)

// MaxAnswer bounds what is read of an answer, in bytes.
type MaxAnswer struct {
	Send    int64 `key:"send" default:"1MB" least:"1" doc:"how much of an answer to a SEND is read"`
	Request int64 `key:"request" default:"40MB" least:"1" doc:"how much of an answer to a REQUEST is read; answers share bodies.memory"`
}

// Offload says whether large files inside data-model and FHIR messages are uploaded first.
type Offload struct {
	Enabled bool  `key:"enabled" default:"false" doc:"whether large files inside Media, Notes and Results messages and in the attachments of FHIR are uploaded first and replaced by their URI"`
	Over    int64 `key:"over" default:"200KB" least:"1" doc:"size of a file above which it is uploaded first"`
}

// Key holds the credentials of one Redox API key. Which fields are used depends on Type; the others
// are zero.
type Key struct {
	Type     string `key:"type" default:"oauth" values:"oauth legacy user" doc:"user is an OAuth key for the Platform API"`
	ClientID string `key:"client_id" types:"oauth user" is:"required" doc:"client id of the key, from Redox's dashboard"`
	// KID is taken from the private key where that is a JWK with a kid.
	KID            string  `key:"kid" types:"oauth user" is:"required" doc:"key id; read from a private key that is a JWK with one"`
	PrivateKey     Secret  `key:"private_key" types:"oauth user" doc:"private key, PEM or JWK"`
	PrivateKeyFile string  `key:"private_key_file" kind:"secret file" types:"oauth user" is:"required" doc:"file with the private key, PEM or JWK"`
	Next           NextKey `key:"next"`
	Algorithm      string  `key:"algorithm" values:"RS256 RS384 RS512 PS256 PS384 PS512 ES256 ES384 ES512" types:"oauth user" doc:"what the key signs with; empty means RS384 for RSA and ES384 for EC keys on P-384, which Redox takes; others are for other servers"`
	// Audience is Redox.TokenURL where it is not set.
	Audience   string `key:"audience" types:"oauth user" doc:"aud of the client assertion; empty means redox.token_url"`
	Scope      string `key:"scope" types:"oauth user" doc:"scope to ask for; empty asks for none"`
	Mode       string `key:"mode" default:"cached" values:"cached per-request" doc:"whether a token serves until it expires or for one request"`
	Pool       int    `key:"pool" default:"1" least:"1" most:"64" types:"oauth user" doc:"tokens held at once"`
	APIKey     Secret `key:"api_key" types:"legacy" doc:"API key"`
	APIKeyFile string `key:"api_key_file" kind:"secret file" types:"legacy" is:"required" doc:"file with the API key"`
	Secret     Secret `key:"secret" types:"legacy" doc:"secret of the API key"`
	SecretFile string `key:"secret_file" kind:"secret file" types:"legacy" is:"required" doc:"file with the secret of the API key"`
}

// NextKey is the second key pair of a rotation. It is unset when PrivateKey is.
type NextKey struct {
	KID            string `key:"kid" types:"oauth user" doc:"key id of the next key pair of a rotation"`
	PrivateKey     Secret `key:"private_key" types:"oauth user" doc:"the next private key, PEM or JWK"`
	PrivateKeyFile string `key:"private_key_file" kind:"secret file" types:"oauth user" doc:"file with the next private key"`
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
	// ID is in lower case.
	ID          string `key:"id" is:"required" doc:"Redox's Source ID, a UUID; may be left out with a key of type legacy or user, and where slug_guard is off"`
	Key         string `key:"key" is:"required" doc:"name of the key under keys"`
	Environment string `key:"environment" default:"development" values:"development staging production" doc:"Redox environment of the source"`
	SlugGuard   string `key:"slug_guard" default:"on" values:"on off" doc:"whether the path of a FHIR message begins with a slug and the environment of the source; off is for other FHIR servers than Redox: such a source sends kind fhir only, and id may be left out"`
	OnUnknown   string `key:"on_unknown" default:"resend" values:"resend hold" doc:"what to do when a request was written and no answer came"`
	// Hold lists patterns in which * stands for either part.
	Hold []string `key:"hold" doc:"DataModel.EventType patterns that hold although on_unknown is resend"`
}

// Values of Source.Environment, Source.SlugGuard and Source.OnUnknown.
const (
	EnvironmentDevelopment = "development"
	EnvironmentStaging     = "staging"
	EnvironmentProduction  = "production"

	SlugGuardOn  = "on"
	SlugGuardOff = "off"

	OnUnknownResend = "resend"
	OnUnknownHold   = "hold"
)

// Order is about messages that have an order key.
type Order struct {
	AfterDeadLetter string `key:"after_dead_letter" default:"continue" values:"continue hold" doc:"what becomes of the messages behind a dead letter of the same order key"`
	Secret          Secret `key:"secret" skip:"order secret" doc:"turns order keys into tokens and keys the ids of the queue; publishers and the gateway only"`
	SecretFile      string `key:"secret_file" kind:"secret file" skip:"order secret" doc:"file with the order secret"`
}

// Seal says whether what messages have of a patient is encrypted where it rests.
type Seal struct {
	RingFile string `key:"ring_file" kind:"new file" is:"private" doc:"file with the ring of keys that seal and open messages, followed while it is used; empty seals nothing"`
	Require  bool   `key:"require" default:"false" doc:"whether a message that is not sealed is refused"`
}

// Values of Order.AfterDeadLetter.
const (
	AfterContinue = "continue"
	AfterHold     = "hold"
)

// Worker bounds delivery.
type Worker struct {
	Concurrency  int           `key:"concurrency" default:"64" least:"1" most:"10000" doc:"messages in flight in one process; each source with work has its first beyond that, too"`
	AckWait      time.Duration `key:"ack_wait" default:"30s" least:"1s" doc:"lease of a message; another worker takes it when it is not renewed; to shorten it, stop all workers first"`
	DrainTimeout time.Duration `key:"drain_timeout" default:"30s" least:"0s" doc:"how long messages in flight may take to finish at shutdown"`
	BreakerAfter int           `key:"breaker_after" default:"5" least:"0" most:"1000000" doc:"requests in a row that fail before what they have in common (a destination, a source, a host) is paused for all; 0 means never"`
	Retry        Retry         `key:"retry"`
}

// Retry says when a message is tried again and when it is given up.
type Retry struct {
	Initial       time.Duration `key:"initial" default:"2s" least:"1ms" doc:"wait before the second attempt; doubles from there"`
	Max           time.Duration `key:"max" default:"10m" least:"1ms" doc:"longest wait between attempts"`
	MaxAge        time.Duration `key:"max_age" default:"24h" least:"0s" doc:"how long a SEND is tried before it is given up, pauses not counted; 0s means never"`
	RequestMaxAge time.Duration `key:"request_max_age" default:"5m" least:"1ms" doc:"age at which a REQUEST without a deadline is given up"`
	MaxAttempts   int           `key:"max_attempts" default:"0" least:"0" most:"1000000" doc:"attempts after which a message is given up; 0 means no limit"`
	PoisonAfter   int           `key:"poison_after" default:"5" least:"0" most:"1000000" doc:"attempts without an end, alone, after which a message is poison; 0 means never"`
}

// Quota is Redox's limit on requests.
type Quota struct {
	Requests        int           `key:"requests" default:"7500" least:"1" most:"100000000" doc:"requests allowed in each window"`
	Per             time.Duration `key:"per" default:"5m" least:"1s" doc:"length of the rolling window"`
	Group           string        `key:"group" default:"default" doc:"egress group: the workers that share one public address"`
	Scope           string        `key:"scope" default:"fleet" values:"fleet process none" doc:"who shares the quota"`
	ReserveRequests float64       `key:"reserve_requests" default:"0.2" least:"0" below:"1" doc:"share of the quota kept for waiting REQUESTs"`
}

// Values of Quota.Scope.
const (
	ScopeFleet   = "fleet"
	ScopeProcess = "process"
	ScopeNone    = "none"
)

// Reply lists the subjects to which a reply may go besides the source's own below <prefix>.reply.
type Reply struct {
	Allow []string `key:"allow" default:"_INBOX.>" doc:"subjects that replies may go to besides <prefix>.reply.<source>.>; {source} is replaced"`
}

// DLQ is about dead letters.
type DLQ struct {
	MaxAge time.Duration `key:"max_age" default:"0s" least:"0s" doc:"age at which dead letters are deleted; 0s means never"`
}

// Queue bounds the queue. A full queue refuses publishers and drops nothing. A bound that was set
// at NATS by hand stays if there is none here.
type Queue struct {
	// MaxBytes counts headers, too. -1 and 0 mean no bound.
	MaxBytes int64 `key:"max_bytes" default:"-1" least:"-1" doc:"bytes that the queue may hold; publishers are refused when it is full; -1 means what NATS has room for"`
	// MaxMsgs counts those of all sources. -1 and 0 mean no bound.
	MaxMsgs int `key:"max_msgs" default:"-1" least:"-1" doc:"messages that the queue may hold; publishers are refused when it is full; -1 means no bound"`
	// MaxShare is enforced by the gateway, and by an outbox.Publisher that is given it.
	MaxShare float64 `key:"max_share" default:"0.5" least:"0.01" most:"1" doc:"part of a queue that has a bound that one source may fill through the gateway; 1 means all of it"`
}

// Bodies is about bodies too large for a message, which lie in the object store.
type Bodies struct {
	Memory      int64         `key:"memory" default:"256MB" least:"1MB" doc:"bodies from the object store, and answers to REQUESTs, that may be in memory at once; more of them wait"`
	OrphanAfter time.Duration `key:"orphan_after" default:"24h" least:"1h" doc:"age at which a body in the object store that nothing names is removed"`
}

// Audit says where the entry of each settlement is kept. Both may be set. What operators do is
// always entered in the audit stream, and in the file if there is one.
type Audit struct {
	File   string        `key:"file" kind:"new file" doc:"file that an entry of each settlement, and of what operators do, is appended to; empty means none"`
	Stream bool          `key:"stream" default:"false" doc:"whether an entry of each settlement is stored in the audit stream"`
	MaxAge time.Duration `key:"max_age" default:"0s" least:"0s" doc:"age at which entries of the audit stream are deleted; 0s means never"`
}

// Gateway is the NATS micro service for plain clients.
type Gateway struct {
	Enabled bool          `key:"enabled" default:"true" doc:"whether run serves the request gateway"`
	MaxWait time.Duration `key:"max_wait" default:"150s" least:"1ms" doc:"deadline of a gateway request that has none"`
}

// Reconcile asks Redox's Platform API what became of the logs of delivered messages.
type Reconcile struct {
	Enabled  bool          `key:"enabled" default:"false" doc:"whether run follows delivered messages until Redox reports them delivered or failed"`
	Key      string        `key:"key" doc:"name of the user-level key to ask with; empty means the only one"`
	Interval time.Duration `key:"interval" default:"1m" least:"1s" doc:"wait before a log is looked at first; doubles from there"`
	GiveUp   time.Duration `key:"give_up" default:"24h" least:"1s" doc:"age at which a log is no longer followed"`
}

// Outbox is the table of an application's database from which run relays to the queue.
type Outbox struct {
	Driver      string        `key:"driver" values:"postgres mysql sqlite" doc:"kind of database of the SQL outbox that run relays from; empty means that there is none"`
	DSN         Secret        `key:"dsn" doc:"where the database is, as its driver has it: postgres://user:password@host/db, user:password@tcp(host:3306)/db, or a file of SQLite"`
	DSNFile     string        `key:"dsn_file" kind:"secret file" doc:"file with outbox.dsn"`
	Table       string        `key:"table" default:"redox_outbox" doc:"name of the table; those of the other tables begin with it"`
	Batch       int           `key:"batch" default:"256" least:"1" most:"4096" doc:"rows that are published under one lock"`
	Concurrency int           `key:"concurrency" default:"64" least:"1" most:"10000" doc:"messages that are published at once"`
	Poll        time.Duration `key:"poll" default:"1s" least:"20ms" doc:"longest wait between two looks at an idle table"`
	Notify      bool          `key:"notify" default:"false" doc:"whether run listens for what PostgreSQL tells of new rows, besides looking by itself; whoever writes rows has to notify"`
	OnLate      string        `key:"on_late" default:"resend" values:"resend hold" doc:"what to do with a message that may be in the queue already, when the queue may have forgotten its id"`
}

// Values of Outbox.Driver and Outbox.OnLate.
const (
	DriverPostgres = "postgres"
	DriverMySQL    = "mysql"
	DriverSQLite   = "sqlite"

	LateResend = "resend"
	LateHold   = "hold"
)

// Admin is the HTTP listener for operators.
type Admin struct {
	// Listen is "" for no listener.
	Listen string `key:"listen" default:"127.0.0.1:8466" doc:"host:port of /livez, /readyz, /metrics and /version; off means none"`
	// MetricSources bounds the series of sources.
	MetricSources int `key:"metric_sources" default:"100" least:"1" most:"100000" doc:"sources with metrics of their own, those in need first; all others share the label value (other)"`
}

// Log says what is logged, and how.
type Log struct {
	Level  string `key:"level" default:"info" values:"debug info warn error" doc:"least level that is logged"`
	Format string `key:"format" default:"auto" values:"auto tint json" doc:"auto is tint on a terminal and json elsewhere"`
}
