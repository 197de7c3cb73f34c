// Package pemfile reads certificates that settings name. The clients that use them know
// nothing of the settings; the errors here name both.
package pemfile

import (
	"crypto/tls"
	"crypto/x509"
	"os"

	"github.com/redoxworker/redoxworker/config"
)

// CheckCA says what is wrong with a file of certificates to trust; "" is none, and fine. key
// is the setting that names the file.
func CheckCA(key, file string) error {
	if file == "" {
		return nil
	}
	pem, err := os.ReadFile(file)
	if err != nil {
		return config.Mistakef("%s: %w", key, err)
	}
	if !x509.NewCertPool().AppendCertsFromPEM(pem) {
		return config.Mistakef("%s: file %q holds no PEM certificate; give the certificate of the CA", key, file)
	}
	return nil
}

// ReadPair reads a certificate and its key. An error names both of their settings.
func ReadPair(certKey, certFile, keyKey, keyFile string) (*tls.Certificate, error) {
	pair, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		return nil, config.Mistakef("%s: file %q and %s are no pair of certificate and key in PEM: %w", certKey, certFile, keyKey, err)
	}
	return &pair, nil
}
