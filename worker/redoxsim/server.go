package redoxsim

import (
	"net/http"
	"sync"
	"time"

	"github.com/redoxworker/redoxworker/worker/redoxsim/internal/fhirpath"
)

// Paths that the simulator answers, as Redox has them.
const (
	PathToken        = "/v2/auth/token"     // OAuth client assertion
	PathAuthenticate = "/auth/authenticate" // legacy API key and secret
	PathRefresh      = "/auth/refreshToken" // legacy refresh token
	PathEndpoint     = "/endpoint"          // Data Model API, SENDs and REQUESTs
	PathQuery        = "/query"             // the old path of REQUESTs; a SEND here is answered 404
	PathFHIR         = fhirpath.Prefix      // /fhir/R4/, prefix of the FHIR API
	PathUpload       = "/upload"            // file store
	PathPlatform     = "/platform/v1/"      // prefix of the Platform API
	PathAdmin        = "/_sim/"             // prefix of the simulator's own routes
)

// Server simulates Redox. Its zero value serves. Exported fields are set before the first request and not changed
// afterwards; methods may be called at any time, from any goroutine.
type Server struct {
	// TokenTTL is the life of an OAuth token. Default 5m (Redox, Authenticating Redox APIs). expires_in is in whole
	// seconds, rounded down.
	TokenTTL time.Duration
	// LegacyTTL is the life of a legacy access token. Default 24h (Redox, legacy API keys).
	LegacyTTL time.Duration
	// TokenErrorStatus is the status of a refused token request. Default 400; Redox documents none.
	TokenErrorStatus int
	// Audiences are the accepted values of the assertion's aud. Default: the URL of the token endpoint as the client
	// addressed it.
	Audiences []string
	// Lenient accepts an assertion without aud, exp, jti or typ, as some shipped clients send it (inferred: they are in
	// use). A present value is checked all the same.
	Lenient bool

	// MaxBody is the largest accepted body in bytes. Default 10,000,000 (Redox, Error handling: 413); -1 off.
	MaxBody int64
	// MaxUpload is the largest accepted file in bytes. Default 30,000,000 (Redox, Quotas and constraints: 413); -1 off.
	MaxUpload int64
	// BlobURL begins the URIs of uploaded files. Default: scheme and host as the client addressed them.
	BlobURL string
	// RequireSource demands a Source ID on each message even when the key has a single source.
	RequireSource bool
	// AnyDataModel accepts names of data models that Redox does not have. By default they are refused: a missing space
	// in "Clinical Summary" is the usual mistake.
	AnyDataModel bool
	// Lax takes what recordings of 2024 show Redox's FHIR sandbox to take although its documents ask for more: Bundles
	// without a type or a MessageHeader, no Content-Type or application/json, a search without parameters, a read with a
	// body. The default is strict.
	Lax bool
	// Matches is how many resources a FHIR search finds, in pages of 10 or of what _count says. Default 1.
	Matches int
	// Export says what bulk exports have and how they behave.
	Export Export
	// Observe, when set, is told of each recorded arrival when its status is known, before the client is, and so
	// without the TraceID. It is called by the goroutines of requests, which wait for it.
	Observe func(Arrival)
	// Required lists further required fields, by "DataModel:EventType", as dotted paths. Default: "Device:New" needs
	// Device.ID (Redox, HTTP status codes).
	Required map[string][]string
	// IsQuery tells REQUESTs, answered in the response, from SENDs. Default: [IsQuery].
	IsQuery func(dataModel, eventType string) bool
	// Answer, when set, gives the body of a REQUEST's 200; nil means the built-in answer. The request is valid only
	// during the call; the result is not changed.
	Answer func(Request) []byte

	// Organization is the only organization that the Platform API knows. Default: any.
	Organization string
	// Deliver, when set, is asked at each attempt to deliver a SEND to its destination: [LogFailed] pauses the queue,
	// [LogPending] leaves the message where it is, "" lets [Server.FailDestination] decide. It must not call the server.
	Deliver func(Log) LogState
	// DeliverAfter is how long Redox takes to deliver a message. Default none: it is delivered when somebody looks.
	DeliverAfter time.Duration
	// LogLag is how long the Platform API does not know a log yet. Default none.
	LogLag time.Duration

	// Latency delays each answer of an API, token requests excepted. Default none.
	Latency time.Duration
	// Load is added to Latency: what more requests in flight do to the time of an answer. Default nothing.
	Load Load
	// Quota is the rolling limit per client. The zero value limits nothing; [RedoxQuota] is what Redox documents.
	Quota Quota
	// ClientIP names the client of a request for the quota and the record. Default: the host of RemoteAddr.
	ClientIP func(*http.Request) string
	// Now is the clock of tokens, assertions, quota and record. Default [time.Now].
	Now func() time.Time
	// HTTPClient fetches the key sets of [Server.AddJWKSURL]. Default: a client with a 5s timeout.
	HTTPClient *http.Client

	// Fault, when set, is asked first about each request, after its body was read; nil means no fault from it. It may
	// be called concurrently. The request is valid only during the call.
	Fault func(Request) *Fault
	// Seed changes which requests a rule with a Percent chooses. The same seed chooses the same messages.
	Seed uint64

	// NoRecord keeps no arrivals and no logs, and computes no digests, for benchmarks. Stats are kept.
	NoRecord bool
	// KeepBodies keeps the bodies of messages in the record and the content of uploaded files. Never those of token
	// requests. Without it nothing of a body stays but its size and digest.
	KeepBodies bool
	// MaxArrivals is how many arrivals are kept, and about how many logs; older ones are dropped and counted. Default
	// 250,000; -1 no limit.
	MaxArrivals int
	// MessageKey finds the key that names a message in the record. Default: the member _sim.key of the body, else the
	// first 32 hex digits of the body's SHA-256.
	MessageKey func(h http.Header, body []byte) string
	// NoAdmin turns the routes under /_sim/ off; they are then unknown paths.
	NoAdmin bool

	dir    directory
	tokens tokenStore
	log    recorder
	quota  quotaStore
	load   loadMeter
	faults faultBox
	blobs  blobStore
	logs   logStore
	bulk   bulkStore

	releaseMu sync.Mutex
	released  chan struct{}
}

// Release lets every request that hangs or is being delayed go on at once: a hanging one is dropped, a delayed one
// answered. Call it before shutting the HTTP server down.
func (s *Server) Release() {
	s.releaseMu.Lock()
	defer s.releaseMu.Unlock()
	if s.released != nil {
		close(s.released)
		s.released = nil
	}
}

func (s *Server) release() <-chan struct{} {
	s.releaseMu.Lock()
	defer s.releaseMu.Unlock()
	if s.released == nil {
		s.released = make(chan struct{})
	}
	return s.released
}

func (s *Server) now() time.Time {
	if s.Now != nil {
		return s.Now()
	}
	return time.Now()
}

func (s *Server) maxBody() int64 {
	if s.MaxBody == 0 {
		return 10_000_000
	}
	return s.MaxBody
}
