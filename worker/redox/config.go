package redox

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/worker/internal/guard"
	"github.com/redoxworker/redoxworker/worker/redox/internal/jsonscan"
)

// Credentials hand out the bearer tokens of one key.
type Credentials interface {
	// Bearer returns a token that is believed to be valid. It may block until one was
	// fetched and returns when ctx ends. It must be safe for concurrent use, and its
	// error must not hold a secret.
	Bearer(ctx context.Context) (string, error)
	// Invalidate says that Redox refused bearer. It must not block for long and must
	// drop only that token: a newer one stays.
	Invalidate(bearer string)
}

// Source is one configured sender.
type Source struct {
	// ID is the Redox Source ID. Required with a [KeyOAuth]. Without it no Redox-Source-Id
	// is sent, nothing is inserted into a body, and a Meta.Source.ID in one is left as it
	// is: a legacy key belongs to one source, which Redox then knows by the token (Redox,
	// Authenticate a legacy API key), and a user-level key belongs to none.
	ID string
	// Key names the credentials of the source, among those given to [New]. Required.
	Key string
	// KeyType of Key decides which kinds of messages the source may send. Default
	// [KeyOAuth].
	KeyType KeyType
	// Environment of the Source ID: "development", "staging" or "production". Required.
	// A message with Meta.Test true is refused for production.
	Environment string
	// AllowOtherSource lets messages bring another Meta.Source.ID, or MessageHeader.source.endpoint
	// of a FHIR message, than ID. That ID is then also their Redox-Source-Id, so that header
	// and body agree.
	AllowOtherSource bool
	// NoSlugGuard lets the paths of FHIR messages begin with anything: for a FHIR server that
	// is not Redox, whose paths have neither slug nor environment. Such a source sends kind
	// fhir only, as its token is not for Redox, and its ID may be empty with a [KeyOAuth].
	NoSlugGuard bool
}

// The environments of a [Source].
const (
	envDevelopment = "development"
	envStaging     = "staging"
	envProduction  = "production"
)

// Config of a [Client]. The zero value works.
type Config struct {
	// BaseURL of the API: scheme and host, and a path prefix if a gateway adds one.
	// http is refused except for loopback hosts, as it would show the token.
	// Default "https://api.redoxengine.com".
	BaseURL string
	// EndpointPath of data-model messages, below BaseURL. Default "/endpoint".
	EndpointPath string
	// FHIRPath is what the paths of FHIR messages are below, itself below BaseURL. Default
	// "/fhir/R4/".
	FHIRPath string
	// BlobURL of Redox's file store, like BaseURL. Default "https://blob.redoxengine.com".
	BlobURL string
	// Group names the egress group: what shares one public address, and so Redox's
	// quota. A 429 pauses "group:<Group>". Default "default".
	Group string
	// Timeout of one request, from dialing to the last byte of the answer. Default 150s,
	// as Redox may take 120s (Redox, Respond); −1 means none.
	Timeout time.Duration
	// MaxBody bounds the request body in bytes, Source ID included. Default 10,000,000:
	// Redox documents 10 MB (Error handling) and 40 MB (Quotas). −1 means no limit.
	MaxBody int64
	// MaxFile bounds one uploaded file in bytes. Default 30,000,000 (Redox, Files); −1
	// means no limit.
	MaxFile int64
	// MaxAnswer bounds what is read of the answer to a REQUEST, in bytes. Default
	// 40,000,000, the largest message Redox documents; −1 means no limit.
	MaxAnswer int64
	// MaxSendAnswer bounds what is read of the answer to a SEND, in bytes, and is itself
	// bounded by MaxAnswer. Where the message has no ReplyTo, an answer of more than 64 KiB
	// is looked through and not kept: [outbox.Answer] has no Body. Default 1,000,000; −1
	// means no limit but MaxAnswer.
	MaxSendAnswer int64
	// Room is called before more than 64 KiB of an answer are kept in memory, and before each
	// further growth, with the number of bytes. ctx is that of the attempt. With wait it may block
	// until ctx ends, and an error ends the attempt, which is repeated: only REQUESTs wait. Without
	// wait it must not block, and an error means that the answer is looked through and not kept.
	// Whoever grants the room takes it back when the answer is no longer needed: see AnswerRoom of
	// package worker. nil means that there is always room.
	Room func(ctx context.Context, bytes int64, wait bool) error
	// Offload of the files inside data-model messages. Default off.
	Offload Offload
	// StrictAnswers says what an answer is that Redox cannot have sent. Default StrictAuto.
	StrictAnswers StrictAnswers
	// Headers are the HTTP headers that messages may set, as [outbox.HeaderPolicy] has them. nil
	// means its default, an empty slice none. A message with another one is poison.
	Headers []string
	// UserAgent header. Default "redoxworker".
	UserAgent string
	// Transport sends the requests; share one between everything that talks to Redox.
	// nil means one made by [NewTransport] with defaults. With another implementation a
	// failed request counts as written more often than it was, unless its error says that
	// nothing was sent: an error in its chain has a method Attempted() bool that returns
	// false, as what package worker's NotAttempted returns. Then no attempt counts, and
	// what its Pauses() string names is paused, else the host; its RetryAfter()
	// time.Duration and SafeError() string are heard, its text is not shown. Where
	// connections of [NewTransport] have written something of the request all the same,
	// the outcome is unknown whatever the error says.
	Transport http.RoundTripper
	// Grant is the rate limit that the requests share with others. It is called before each request
	// of an attempt, and may wait as long as the attempt's context lasts. done, if not nil, is
	// called when the request is over, with whether any of it was sent. nil means no limit.
	Grant func(ctx context.Context) (done func(sent bool), err error)
	// Logger for debug records of each request; nil discards.
	Logger *slog.Logger
	// Registerer of the redoxworker_redox_* metrics; nil means they are not registered.
	Registerer prometheus.Registerer
}

// WithDefaults returns c with every default filled in but that of Transport.
func (c Config) WithDefaults() Config {
	c.BaseURL = cmp.Or(c.BaseURL, "https://api.redoxengine.com")
	c.EndpointPath = cmp.Or(c.EndpointPath, defaultEndpoint)
	c.FHIRPath = cmp.Or(c.FHIRPath, defaultFHIR)
	c.BlobURL = cmp.Or(c.BlobURL, "https://blob.redoxengine.com")
	c.Group = cmp.Or(c.Group, "default")
	c.Timeout = cmp.Or(c.Timeout, 150*time.Second)
	c.MaxBody = cmp.Or(c.MaxBody, 10_000_000)
	c.MaxFile = cmp.Or(c.MaxFile, 30_000_000)
	c.MaxAnswer = cmp.Or(c.MaxAnswer, 40_000_000)
	c.MaxSendAnswer = cmp.Or(c.MaxSendAnswer, 1_000_000)
	c.Offload.Over = cmp.Or(c.Offload.Over, 200_000)
	c.UserAgent = cmp.Or(c.UserAgent, "redoxworker")
	c.StrictAnswers = cmp.Or(c.StrictAnswers, StrictAuto)
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}

// Validate reports every problem of c, each named by its field. It expects defaults
// filled in.
func (c Config) Validate() error {
	var errs []error
	bad := func(cond bool, format string, args ...any) {
		if cond {
			errs = append(errs, fmt.Errorf("redox: "+format, args...))
		}
	}
	if _, err := newTargets(c); err != nil {
		errs = append(errs, err)
	}
	bad(c.Timeout <= 0 && c.Timeout != -1, "Timeout: %v; use more than 0s, or -1 for none", c.Timeout)
	bad(c.MaxBody < -1, "MaxBody: %d; use 1 or more, or -1 for no limit", c.MaxBody)
	bad(c.MaxFile < -1, "MaxFile: %d; use 1 or more, or -1 for no limit", c.MaxFile)
	bad(c.MaxAnswer < -1, "MaxAnswer: %d; use 1 or more, or -1 for no limit", c.MaxAnswer)
	bad(c.MaxSendAnswer < -1, "MaxSendAnswer: %d; use 1 or more, or -1 for no limit", c.MaxSendAnswer)
	errs = append(errs, c.Offload.validate(), outbox.HeaderPolicy{Allow: c.Headers}.Validate())
	bad(c.Offload.Uploads != nil && guard.IsNil(c.Offload.Uploads), "Offload.Uploads: a nil %T; leave it out to remember nothing", c.Offload.Uploads)
	bad(!c.StrictAnswers.known(), "StrictAnswers: %q; use %s, %s or %s", string(c.StrictAnswers), StrictAuto, StrictOn, StrictOff)
	bad(!validHeaderValue(c.UserAgent), "UserAgent: has characters that no header may have")
	return errors.Join(errs...)
}

// validate reports every problem of a source, each named by it.
func (s Source) validate(name string, keys map[string]Credentials) error {
	var errs []error
	bad := func(cond bool, format string, args ...any) {
		if cond {
			errs = append(errs, fmt.Errorf("redox: source %s: "+format, append([]any{name}, args...)...))
		}
	}
	bad(!s.KeyType.known(), "KeyType: %q; use %s, %s or %s", s.KeyType, KeyOAuth, KeyLegacy, KeyUser)
	bad(s.ID == "" && s.KeyType.needsSourceID() && !s.NoSlugGuard, "ID is empty; set the Source ID that Redox shows for it")
	bad(s.ID != "" && !jsonscan.IsIdentifier(s.ID), "ID: use letters, digits and -")
	bad(s.Key == "", "Key is empty; name one of the keys")
	bad(s.Key != "" && keys[s.Key] == nil, "Key: there are no credentials named %q", s.Key)
	bad(keys[s.Key] != nil && guard.IsNil(keys[s.Key]), "Key: the credentials named %q are a nil %T", s.Key, keys[s.Key])
	switch s.Environment {
	case envDevelopment, envStaging, envProduction:
	default:
		bad(true, "Environment: %q; use %s, %s or %s", s.Environment, envDevelopment, envStaging, envProduction)
	}
	return errors.Join(errs...)
}

// StrictAnswers says what is made of an answer that Redox cannot have sent, such as the page of a
// sign-in, or the answer of whoever else listens at Config.BaseURL.
type StrictAnswers string

// The values of [Config.StrictAnswers].
const (
	// StrictAuto means StrictOn, but for answers without a Meta where EndpointPath is not
	// Redox's own: then an integration engine takes the messages, and answers as it likes.
	StrictAuto StrictAnswers = "auto"
	// StrictOn: an answer to a data-model message that is no JSON object with a Meta, and a page
	// of HTML to a message of any kind that did not ask for one, leave the outcome of a SEND
	// unknown, and are no answer to a REQUEST. A page of HTML with 3xx, 403, 404, 405 or 407 refuses
	// nothing: the message is tried again. They all count as trouble of the host.
	StrictOn StrictAnswers = "on"
	// StrictOff: every 2xx delivers, and [outbox.Answer] has a Flag; a page of HTML with any other
	// status is what Redox would have sent.
	StrictOff StrictAnswers = "off"
)

func (s StrictAnswers) known() bool { return s == StrictAuto || s == StrictOn || s == StrictOff }

// defaultEndpoint is the path of Redox's Data Model API.
const defaultEndpoint = "/endpoint"

// strictMeta reports whether an answer to a data-model message has to have a Meta.
func (c *Config) strictMeta() bool {
	return c.StrictAnswers == StrictOn || c.StrictAnswers == StrictAuto && c.EndpointPath == defaultEndpoint
}

// Offload says whether large files inside data-model and FHIR messages are uploaded first and
// replaced by their URI, as Redox recommends over 200 KB (Redox, Send a file). It concerns base64
//
//   - in Media.FileContents, in Note.FileContents with ContentType "Base64 Encoded", and in
//     Orders[].Results[].Value with ValueType "Encapsulated Data", where the URI takes its place;
//   - in the data of what is an Attachment in FHIR R4, also in a Bundle and in contained resources,
//     where "data" becomes "url", and the base64 the URI. Size, hash and contentType are those of
//     the file, and stay.
//
// All other bytes of the message stay as they are. Base64 is read in each form that RFC 2045 and
// RFC 4648 have. The same file at two places is uploaded twice: nothing says that Redox lets one
// URI be used twice.
//
// For FHIR, Redox documents this of DocumentReference (Redox, Send a file via the FHIR API), and
// says that the file goes to the endpoint for files by way of Binary; the address it has for that
// was not to be found, so that it is BlobURL here, as for data models. That Redox fetches what the
// attachments of other resources refer to is FHIR's rule, and documented nowhere: try it before
// messages depend on it.
//
// Messages of a source with NoSlugGuard keep their files: they go to another FHIR server.
//
// What could be a file and stays in its message is counted by redoxworker_redox_files_left_total,
// by reason, at each attempt.
type Offload struct {
	// Enabled switches it on. Default off.
	Enabled bool
	// Over is the size in bytes of the file itself above which it is uploaded. Default
	// 200,000.
	Over int64
	// Uploads remembers what was uploaded. nil remembers nothing: a message that comes
	// again uploads its files again.
	Uploads Uploads
}

// Uploads remembers the URIs of files that were uploaded for messages, so that a message
// that comes again, after a crash or a failure, does not upload them a second time. It
// must be safe for concurrent use. The error must hold no secret.
type Uploads interface {
	// Uploaded returns the URI that Keep was given for a file of the source; "" when
	// there is none. file is 64 hex digits.
	Uploaded(ctx context.Context, source, file string) (uri string, err error)
	// Keep stores the URI for at least as long as the message may come again.
	Keep(ctx context.Context, source, file, uri string) error
}

func (o Offload) validate() error {
	if o.Over < 0 {
		return fmt.Errorf("redox: Offload.Over: %d; use 1 or more", o.Over)
	}
	return nil
}

// KeyType is the kind of a Redox API key. It decides what the key may be used for.
type KeyType string

// The types of keys.
const (
	// KeyOAuth is an organization-level OAuth key: everything but the Platform API. ""
	// means this one.
	KeyOAuth KeyType = "oauth"
	// KeyLegacy is a legacy key: the Data Model API and its files, not FHIR (Redox,
	// Authenticate a legacy API key), and not the Platform API.
	KeyLegacy KeyType = "legacy"
	// KeyUser is a user-level key: the Platform API only (Redox, Authenticate a
	// user-level API key).
	KeyUser KeyType = "user"
)

func (t KeyType) known() bool {
	return t == "" || t == KeyOAuth || t == KeyLegacy || t == KeyUser
}

// needsSourceID reports whether a source on such a key must say who it is: an OAuth key
// may serve several sources.
func (t KeyType) needsSourceID() bool { return t == "" || t == KeyOAuth }
