package access

import (
	"context"
	"log/slog"
	"time"

	"github.com/redoxworker/redoxworker/config"
	"github.com/redoxworker/redoxworker/worker"
	"github.com/redoxworker/redoxworker/worker/redox"
	"github.com/redoxworker/redoxworker/worker/service/buildinfo"
	"github.com/redoxworker/redoxworker/worker/service/internal/pemfile"
)

// Transport is the one pool of connections to Redox, for messages and tokens.
type Transport struct {
	*redox.Transport
	certificate *clientCertificate
}

// NewTransport returns the transport of a configuration. It reads the client certificate; see
// [Transport.Run] for what follows its files. Close it with CloseIdleConnections. The error is a
// [config.Mistake].
func NewTransport(c *config.Config) (*Transport, error) {
	r := c.Redox
	if err := pemfile.CheckCA("redox.ca_file", r.CAFile); err != nil {
		return nil, err
	}
	shown, err := newClientCertificate(r)
	if err != nil {
		return nil, err
	}
	t, err := redox.NewTransport(redox.TransportConfig{
		CAFile: r.CAFile, ProxyURL: r.ProxyURL.Reveal(), Concurrency: c.Worker.Concurrency,
		ClientCertificate: shown.get(), IdleTimeout: orOff(r.IdleTimeout), MaxConnectionAge: orOff(r.MaxConnectionAge), HTTP2: redox.HTTP2(r.HTTP2)})
	if err != nil {
		return nil, config.Mistake{Err: err}
	}
	shown.changed(t.CloseIdleConnections)
	return &Transport{t, shown}, nil
}

// Run reads the client certificate again when its files change, until ctx ends. A certificate that
// cannot be used leaves the previous one in use. Without a certificate Run returns at once.
func (t *Transport) Run(ctx context.Context, log *slog.Logger) error {
	return t.certificate.keep(ctx, log)
}

// RedoxConfig returns the configuration of a client to Redox, without what a running service adds:
// grants of the quota, the store of uploads, metrics and log. version is that of the program; ""
// means what the build says.
func RedoxConfig(c *config.Config, t *Transport, version string) redox.Config {
	r := c.Redox
	return redox.Config{
		BaseURL: r.BaseURL, EndpointPath: r.EndpointPath, FHIRPath: r.FHIRPath, BlobURL: r.BlobURL, Group: c.Quota.Group,
		Timeout: r.Timeout, MaxBody: r.MaxBody, MaxFile: r.MaxFile, Offload: redox.Offload{Enabled: r.Offload.Enabled, Over: r.Offload.Over},
		MaxAnswer: r.MaxAnswer.Request, MaxSendAnswer: r.MaxAnswer.Send, StrictAnswers: redox.StrictAnswers(r.StrictAnswers), Room: worker.AnswerRoom,
		Headers: Headers(c), UserAgent: "redoxworker/" + buildinfo.Read(version).Version, Transport: t,
	}
}

// Headers returns the HTTP headers that messages may set; never nil, which would mean a default.
func Headers(c *config.Config) []string { return append([]string{}, c.Redox.Headers...) }

// orOff turns the configuration's "0 means never" into the library's −1.
func orOff(v time.Duration) time.Duration {
	if v == 0 {
		return -1
	}
	return v
}
