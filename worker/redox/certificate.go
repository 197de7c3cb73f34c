package redox

import (
	"crypto/sha256"
	"crypto/tls"
)

// showCertificate has connections show the certificate that current returns.
func showCertificate(cfg *tls.Config, current func() *tls.Certificate) {
	cfg.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		if c := current(); c != nil {
			return c, nil
		}
		return new(tls.Certificate), nil // none
	}
	cfg.ClientSessionCache = sessions{ClientSessionCache: cfg.ClientSessionCache, current: current}
}

// sessions keeps apart the sessions of different certificates: one that is resumed is that of
// the certificate it was begun with, whatever is shown now.
type sessions struct {
	tls.ClientSessionCache
	current func() *tls.Certificate
}

// Get finds a session begun with the certificate that is current.
func (s sessions) Get(key string) (*tls.ClientSessionState, bool) {
	return s.ClientSessionCache.Get(s.of(key))
}

// Put keeps a session.
func (s sessions) Put(key string, state *tls.ClientSessionState) {
	s.ClientSessionCache.Put(s.of(key), state)
}

func (s sessions) of(key string) string {
	c := s.current()
	if c == nil || len(c.Certificate) == 0 {
		return key
	}
	sum := sha256.Sum256(c.Certificate[0])
	return key + "\x00" + string(sum[:])
}
