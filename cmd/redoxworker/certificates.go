package main

import (
	"crypto/tls"
	"crypto/x509"
	"os"

	"github.com/redoxworker/redoxworker/config"
)

// checkCA says what is wrong with a file of certificates to trust, by its key; none is
// fine. The clients that read it know nothing of the key.
func checkCA(key, file string) error {
	if file == "" {
		return nil
	}
	pem, err := os.ReadFile(file)
	if err != nil {
		return usagef("%s: %w", key, err)
	}
	if !x509.NewCertPool().AppendCertsFromPEM(pem) {
		return usagef("%s: file %q holds no PEM certificate; give the certificate of the CA", key, file)
	}
	return nil
}

// checkTLS does the same for all files of the connection to NATS.
func checkTLS(c config.TLS) error {
	if err := checkCA("nats.tls.ca_file", c.CAFile); err != nil || c.CertFile == "" {
		return err
	}
	if _, err := tls.LoadX509KeyPair(c.CertFile, c.KeyFile); err != nil {
		return usagef("nats.tls.cert_file: file %q and nats.tls.key_file are no pair of certificate and key in PEM: %w", c.CertFile, err)
	}
	return nil
}
