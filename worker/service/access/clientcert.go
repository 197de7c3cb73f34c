package access

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"sync/atomic"

	"github.com/redoxworker/redoxworker/auth"
	"github.com/redoxworker/redoxworker/auth/filewatch"
	"github.com/redoxworker/redoxworker/config"
	"github.com/redoxworker/redoxworker/worker/service/internal/pemfile"
)

// clientCertificate is what is shown to a server that asks for a certificate. It follows its
// files. A nil one is none.
type clientCertificate struct {
	cert, key string // files
	current   atomic.Pointer[tls.Certificate]
	fresh     func() // called after a change
}

// newClientCertificate reads the certificate of the configuration; nil when it has none.
func newClientCertificate(r config.Redox) (*clientCertificate, error) {
	if r.ClientCertFile == "" {
		return nil, nil
	}
	c := &clientCertificate{cert: r.ClientCertFile, key: r.ClientKeyFile, fresh: func() {}}
	return c, c.read()
}

func (c *clientCertificate) read() error {
	pair, err := pemfile.ReadPair("redox.client_cert_file", c.cert, "redox.client_key_file", c.key)
	if err == nil {
		c.current.Store(pair)
	}
	return err
}

// get is what a transport asks for the certificate; nil when there is none ever.
func (c *clientCertificate) get() func() *tls.Certificate {
	if c == nil {
		return nil
	}
	return c.current.Load
}

// changed says what to do when there is another certificate: connections that have shown the
// one before are of no use any longer. It is called before keep.
func (c *clientCertificate) changed(do func()) {
	if c != nil {
		c.fresh = do
	}
}

// keep reads the certificate again when its files change, until ctx ends. What cannot be used
// leaves the one before in use.
func (c *clientCertificate) keep(ctx context.Context, log *slog.Logger) error {
	if c == nil {
		return nil
	}
	watcher, err := filewatch.New([]string{c.cert, c.key}, func() error {
		if err := c.read(); err != nil {
			return err
		}
		if line := auth.Exposure(c.key); line != "" {
			log.Warn("a key or secret file is open to others", "key", "redox.client_key_file", "detail", line)
		}
		c.fresh()
		return nil
	}, filewatch.Config{Logger: log})
	if err != nil {
		return fmt.Errorf("redox.client_cert_file: watching its files: %w", err)
	}
	if err := c.read(); err != nil {
		log.Error("the client certificate cannot be used any more, the one before stays in use", "error", err)
	}
	return watcher.Run(ctx)
}
