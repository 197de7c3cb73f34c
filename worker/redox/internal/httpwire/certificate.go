package httpwire

import (
	"crypto/sha256"
	"crypto/tls"
	"sync"
	"time"
)

// showCertificate has connections show the certificate that current returns.
func showCertificate(cfg *tls.Config, current func() *tls.Certificate) {
	cfg.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		if c := current(); c != nil {
			return c, nil
		}
		return new(tls.Certificate), nil // none
	}
	cfg.ClientSessionCache = &sessions{ClientSessionCache: cfg.ClientSessionCache, current: current}
}

// sessions keeps apart the sessions of different certificates: one that is resumed is that of
// the certificate it was begun with, whatever is shown now.
type sessions struct {
	tls.ClientSessionCache
	current func() *tls.Certificate

	mu    sync.Mutex
	shown *tls.Certificate
	since time.Time // when another certificate was seen to be current; zero: never
}

// lateSession is how long after the certificate has changed a session may come that was begun
// with the one before. Over TLS 1.3 it comes after the handshake.
const lateSession = 30 * time.Second

// Get finds a session begun with the certificate that is current.
func (s *sessions) Get(key string) (*tls.ClientSessionState, bool) {
	of, _ := s.of(key)
	return s.ClientSessionCache.Get(of)
}

// Put keeps a session, unless it is not sure which certificate it was begun with.
func (s *sessions) Put(key string, state *tls.ClientSessionState) {
	if of, sure := s.of(key); sure || state == nil {
		s.ClientSessionCache.Put(of, state)
	}
}

func (s *sessions) of(key string) (of string, sure bool) {
	c := s.current()
	s.mu.Lock()
	if c != s.shown {
		if s.shown != nil {
			s.since = time.Now()
		}
		s.shown = c
	}
	sure = s.since.IsZero() || time.Since(s.since) >= lateSession
	s.mu.Unlock()
	if c == nil || len(c.Certificate) == 0 {
		return key, sure
	}
	sum := sha256.Sum256(c.Certificate[0])
	return key + "\x00" + string(sum[:]), sure
}
