package natslink

import (
	"crypto/x509"
	"errors"
	"strings"
	"testing"
)

// A refusal by TLS names the setting that mends it.
func TestNATSReason_NamesTheSettingOfTLS(t *testing.T) {
	t.Parallel()
	for want, err := range map[string]error{
		"nats.tls.ca_file":   x509.UnknownAuthorityError{},
		"nats.url":           x509.HostnameError{Certificate: &x509.Certificate{}, Host: "127.0.0.1"},
		"nats.tls.cert_file": errors.New("remote error: tls: certificate required"),
	} {
		if got := natsReason(err); !strings.Contains(got.Error(), "; give "+want+" ") {
			t.Errorf("%v: %v, want %s", err, got, want)
		}
	}
}
