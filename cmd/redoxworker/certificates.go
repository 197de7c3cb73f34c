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
	_, err := readPair("nats.tls.cert_file", c.CertFile, "nats.tls.key_file", c.KeyFile)
	return err
}

// readPair reads a certificate and its key, and names both of their keys where they are none.
func readPair(certKey, certFile, keyKey, keyFile string) (*tls.Certificate, error) {
	pair, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		return nil, usagef("%s: file %q and %s are no pair of certificate and key in PEM: %w", certKey, certFile, keyKey, err)
	}
	return &pair, nil
}
