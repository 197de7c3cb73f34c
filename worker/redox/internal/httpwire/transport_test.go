package httpwire

import (
	"crypto/tls"
	"strings"
	"testing"
	"time"
)

// A proxy that opens no tunnel is told apart by its status, with what helps.
func TestProxyRefusal_SaysWhatHelps(t *testing.T) {
	t.Parallel()
	for status, want := range map[int]string{407: "give the proxy's URL the right user and password", 401: "the right user and password", 403: "that it lets this host through", 502: "check the proxy's URL"} {
		if got := (&ProxyRefusal{Status: status}).Error(); !strings.Contains(got, want) {
			t.Errorf("%d: %s", status, got)
		}
	}
}

func TestNew_Settings(t *testing.T) {
	t.Parallel()
	tr := New(Config{Concurrency: 500, IdleTimeout: time.Minute, HTTP2: true})
	if tr.http.MaxIdleConnsPerHost != 500 || tr.http.MaxConnsPerHost != 0 || !tr.http.DisableCompression ||
		tr.http.IdleConnTimeout != time.Minute || tr.http.TLSClientConfig.MinVersion != tls.VersionTLS12 {
		t.Errorf("%+v", tr)
	}
	if tr := New(Config{IdleTimeout: -1}); tr.http.IdleConnTimeout != 0 {
		t.Error(tr.http.IdleConnTimeout)
	}
}
