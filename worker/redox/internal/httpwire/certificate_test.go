package httpwire

import (
	"crypto/tls"
	"testing"
	"testing/synctest"

	"github.com/redoxworker/redoxworker/worker/workertest/bubble"
)

// A session that comes after the certificate has changed may have been begun with the one
// before, and is not resumed as that of the new one.
func TestSessions_ThatComeLate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		old, next := &tls.Certificate{Certificate: [][]byte{[]byte("old")}}, &tls.Certificate{Certificate: [][]byte{[]byte("next")}}
		current := old
		s := &sessions{ClientSessionCache: tls.NewLRUClientSessionCache(4), current: func() *tls.Certificate { return current }}
		kept := func() bool { _, ok := s.Get("host"); return ok }
		if s.Put("host", new(tls.ClientSessionState)); !kept() {
			t.Error("a session of the only certificate is not kept")
		}
		current = next
		if s.Put("host", new(tls.ClientSessionState)); kept() {
			t.Error("a session of the old certificate is resumed under the new one")
		}
		bubble.Sleep(lateSession)
		if s.Put("host", new(tls.ClientSessionState)); !kept() {
			t.Error("a session of the new certificate is not kept")
		}
	})
}
