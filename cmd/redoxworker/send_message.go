package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"path/filepath"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/redoxworker/redoxworker/cmd/redoxworker/internal/cli"
	"github.com/redoxworker/redoxworker/config"
	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/outbox/lint"
	"github.com/redoxworker/redoxworker/worker/redox"
	"github.com/redoxworker/redoxworker/worker/service"
	"github.com/redoxworker/redoxworker/worker/service/access"
)

// messageFlags are the flags of a message that is published.
type messageFlags struct {
	File string `arg:"" optional:"" help:"File with the body; - or nothing is standard input. A read, --method GET, has none."`

	Source      string   `placeholder:"NAME" help:"Source to publish for. Default: the only one configured."`
	ID          given    `name:"id" placeholder:"ID" help:"Message id, unique within the source. Publishing it again within 10 minutes stores nothing, unless a single NATS server was restarted since and the message is settled. Default: a new one."`
	Kind        string   `enum:"data-model,fhir,file,platform" default:"data-model" help:"One of ${enum}."`
	Method      string   `placeholder:"VERB" help:"HTTP method, for fhir and platform."`
	Path        string   `placeholder:"PATH" help:"Path below the kind's base, for fhir (SLUG/Development/Patient/1) and platform (v1/…), with its query string; for fhir also a link of an answer as it stands. Blanks, | and the like are percent-encoded for you; a % itself is %25."`
	ContentType string   `name:"content-type" placeholder:"TYPE" help:"Media type of the body. Default: that of the kind; for a file, what its name says."`
	Accept      string   `placeholder:"TYPE" help:"Media type the answer should have. Default: that of the kind."`
	Header      []string `sep:"none" placeholder:"HEADER" help:"HTTP header of the request to Redox, such as 'Prefer: return=minimal'; may be repeated. Which may be set says redox.headers."`
	Lint        string   `placeholder:"DIR" help:"Compare data-model messages with Redox's JSON schemas, which you have downloaded to this directory (as patientadmin/newpatient.json), and warn of what does not fit. No value is printed."`
	LintStrict  bool     `name:"lint-strict" help:"With --lint: do not publish what does not fit, or has no schema there."`
	Deadline    deadline `placeholder:"WHEN" help:"Do not send it later: a time (RFC 3339) or from now (90s)."`
}

// given is a text that is not empty: an empty variable of a script must not mean that there is
// none.
type given string

// UnmarshalText serves the command line.
func (g *given) UnmarshalText(text []byte) error {
	if len(text) == 0 {
		return errors.New("it is empty; leave the flag out if there is none")
	}
	*g = given(text)
	return nil
}

// deadline is an instant, typed as one or as a duration from now.
type deadline struct{ time.Time }

// UnmarshalText serves the command line.
func (d *deadline) UnmarshalText(text []byte) (err error) {
	if wait, failed := time.ParseDuration(string(text)); failed == nil {
		if wait <= 0 {
			return fmt.Errorf("%s is no time to come; use 90s, say", text)
		}
		d.Time = time.Now().Add(wait)
		return nil
	}
	if d.Time, err = contract.ParseInstant(string(text)); err != nil {
		return errors.New("neither a time as 2026-01-31T12:00:00Z nor a duration as 90s")
	}
	return nil
}

// message without its body.
func (f messageFlags) message(source string) outbox.Message {
	return outbox.Message{
		ID: string(f.ID), Source: source, Kind: outbox.Kind(f.Kind), Method: f.Method, Path: f.Path,
		ContentType: f.contentType(), Accept: f.Accept, Header: f.header(), Deadline: f.Deadline.Time,
	}
}

// header are the HTTP headers, whose form checkHeaders has checked.
func (f messageFlags) header() http.Header {
	if len(f.Header) == 0 {
		return nil
	}
	h := make(http.Header, len(f.Header))
	for _, line := range f.Header {
		name, value, _ := strings.Cut(line, ":")
		h.Add(name, strings.Trim(value, " "))
	}
	return h
}

// checkHeaders refuses what is no header, and one that the workers of the configuration at hand
// would refuse. A value may be patient data, and is not quoted.
func (f messageFlags) checkHeaders(c *config.Config) error {
	for _, line := range f.Header {
		if _, _, ok := strings.Cut(line, ":"); !ok {
			return cli.Usagef("--header: it has no colon; write a name, a colon and a value, as in 'Prefer: return=minimal'")
		}
	}
	err := outbox.HeaderPolicy{Allow: access.Headers(c)}.Check(f.header())
	var refused *outbox.ContractError
	if errors.As(err, &refused) {
		return cli.Usagef("--header: %s %s", strings.TrimPrefix(refused.Part, contract.RequestHeaderPrefix), refused.Reason)
	}
	return err
}

// checkPath refuses a FHIR message that the workers of the configuration at hand would refuse: one
// that does not say where to. Everything else about a path is checked when the message is
// published.
func (f messageFlags) checkPath(source config.Source) error {
	path, _, _ := strings.Cut(strings.TrimPrefix(f.Path, "/"), "?")
	if f.Kind == string(outbox.KindFHIR) && source.SlugGuard == config.SlugGuardOn && !strings.Contains(path, "/") {
		return cli.Usagef("--path: kind fhir needs one that begins with the destination's slug and the environment, as in hospital/Development/Patient/1")
	}
	return nil
}

// contentType is the flag, or for a file what the end of its name says.
func (f messageFlags) contentType() string {
	if f.ContentType != "" || f.Kind != string(outbox.KindFile) {
		return f.ContentType
	}
	return mime.TypeByExtension(filepath.Ext(f.File))
}

// bodyless reports whether the message has no body to read: a read, or a delete without
// a file. Standard input is then left alone, as it may never end.
func (f messageFlags) bodyless(a *cli.App) bool {
	if f.File != "" || f.Kind != string(outbox.KindFHIR) && f.Kind != string(outbox.KindPlatform) {
		return false
	}
	switch f.Method {
	case http.MethodGet, http.MethodHead, http.MethodDelete:
		return true
	case "": // a read, unless there is something on standard input
		return cli.IsTerminal(a.Stdin)
	}
	return false
}

// body reads one whole body.
func (f messageFlags) body(in io.Reader, limit int64, setting string) ([]byte, error) {
	body, err := io.ReadAll(io.LimitReader(in, limit+1))
	if err != nil {
		return nil, fmt.Errorf("reading the body: %w", err)
	}
	if int64(len(body)) > limit {
		return nil, tooLarge(limit, setting)
	}
	return body, f.checkBody(body)
}

func tooLarge(limit int64, setting string) error {
	return &outbox.SizeError{What: "body", Size: -1, Limit: limit, Name: "limit " + setting}
}

// checkBody refuses what no worker could send. The error names a place in the body and quotes
// nothing of it.
func (f messageFlags) checkBody(body []byte) error {
	switch {
	case len(body) > 0 && (f.Method == http.MethodGet || f.Method == http.MethodHead):
		return errors.New("method " + f.Method + " does not go with a body; leave it out, or POST a search to _search")
	case f.Kind == string(outbox.KindFile) && len(body) == 0:
		return errors.New("the file is empty, which Redox does not take")
	case f.Kind == string(outbox.KindDataModel) && len(body) == 0:
		return errors.New("the body is empty; a data-model message is a JSON document")
	}
	m := f.message("")
	m.Body = body
	return redox.CheckBody(m)
}

// linting compares messages with schemas before they are published.
type linting struct {
	linter *lint.Linter
	strict bool
	said   map[string]bool // what is said once, however many messages it is about
}

// linting looks for the schemas of --lint; nil where there is no such flag.
func (f messageFlags) linting() (*linting, error) {
	switch {
	case f.Lint == "" && f.LintStrict:
		return nil, cli.Usagef("--lint-strict: goes with --lint, which names the directory with the schemas")
	case f.Lint == "":
		return nil, nil
	case f.Kind != string(outbox.KindDataModel):
		return nil, cli.Usagef("--lint: is for data-model messages; leave it out for kind %s", f.Kind)
	}
	linter, err := lint.New(f.Lint)
	if err != nil {
		return nil, cli.Usagef("--lint: %w", err)
	}
	return &linting{linter: linter, strict: f.LintStrict, said: map[string]bool{}}, nil
}

// check answers what there is to warn of, or why the message is refused. It is for one goroutine.
func (l *linting) check(ctx context.Context, m outbox.Message) (warning, refused error) {
	if l == nil {
		return nil, nil
	}
	err := l.linter.Check(ctx, m)
	switch unfit := errors.As(err, new(*lint.Error)); {
	case err == nil || l.strict || ctx.Err() != nil:
		return nil, err
	case unfit:
		return err, nil
	case l.said[err.Error()]:
		return nil, nil
	}
	l.said[err.Error()] = true
	return err, nil
}

// publisher to the configured NATS.
type publisher struct {
	*outbox.Publisher
	conn   *nats.Conn
	config *config.Config
	source string
}

func (p *publisher) close() { p.conn.Close() }

// loadSource reads the settings a publisher needs, neither keys nor Redox's among them, and
// finds the source to publish for. The order secret is read only for an order key, and for
// an id that may come again: the queue knows the repeats of all that have the same secret.
func (f messageFlags) loadSource(a *cli.App, ordered bool) (*config.Config, string, error) {
	skip := config.PartKeys | config.PartSources
	if !ordered && f.ID == "" {
		skip |= config.PartOrderSecret
	}
	c, err := a.Load(skip)
	if err != nil {
		return nil, "", err
	}
	if err := f.checkHeaders(c); err != nil {
		return nil, "", err
	}
	source := f.Source
	if source == "" || len(c.Sources) > 0 && !c.Registry { // which may have it
		if source, err = only("source", f.Source, c.Sources); err != nil {
			return nil, "", err
		}
	}
	if err := contract.CheckSource(source); err != nil {
		return nil, "", cli.Usagef("--source: %w", err)
	}
	return c, source, f.checkPath(c.Sources[source])
}

// newPublisher connects.
func newPublisher(ctx context.Context, a *cli.App, c *config.Config, source string) (*publisher, error) {
	log, err := a.Logger(c.Log)
	if err != nil {
		return nil, err
	}
	conn, js, err := cli.ConnectOnce(ctx, c, log)
	if err != nil {
		return nil, err
	}
	cfg := outbox.PublisherConfig{Prefix: contract.Prefix(c.NATS.Prefix), ClaimCheck: true}
	if c.Order.Secret.IsSet() {
		cfg.OrderSecret = []byte(c.Order.Secret.Reveal())
	}
	if cfg.Ring, err = service.OpenRing(c, nil); err != nil {
		conn.Close()
		return nil, err
	}
	cfg.RequireSeal = c.Seal.Require
	p, err := outbox.NewPublisher(js, cfg)
	if err != nil {
		conn.Close()
		return nil, cli.Usagef("order.secret: %w", err) // all else was checked by the configuration
	}
	return &publisher{Publisher: p, conn: conn, config: c, source: source}, nil
}

// await publishes m and waits for its reply.
func (p *publisher) await(ctx context.Context, m outbox.Message, timeout time.Duration) (outbox.Reply, error) {
	waiting, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	r, err := p.Request(waiting, m)
	switch {
	case errors.Is(err, outbox.ErrNoReply) && ctx.Err() == nil:
		return r, fmt.Errorf("message %s: stored, and no reply within %s; `redoxworker status` shows whether a worker serves source %s and what its messages wait for", m.ID, timeout, p.source)
	case errors.Is(err, outbox.ErrDuplicate):
		return r, fmt.Errorf("message %s of source %s: published before, and its reply goes where the first one asked for it; another --id sends it a second time", m.ID, p.source)
	}
	return r, err
}

// partFlags are the flags that give parts of a message.
var partFlags = map[string]string{
	contract.HeaderMessageID: "--id", contract.HeaderMethod: "--method", contract.HeaderPath: "--path",
	contract.HeaderContentType: "--content-type", contract.HeaderAccept: "--accept",
}

// flagError names the flag whose value broke the contract: what the user typed. replyTo is
// the one that the reply subject comes from.
func flagError(err error, replyTo string) error {
	var refused *outbox.ContractError
	if !errors.As(err, &refused) {
		return err
	}
	flag := partFlags[refused.Part]
	if refused.Part == contract.HeaderReplyTo {
		flag = replyTo
	}
	if flag == "" {
		return err
	}
	return cli.Usagef("%s: it %s; see redoxworker --help", flag, refused.Reason)
}
