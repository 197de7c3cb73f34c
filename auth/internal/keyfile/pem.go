// Package keyfile reads private keys in the forms that people have, and says what a file
// is that holds none.
package keyfile

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"

	"github.com/redoxworker/redoxworker/auth/secret"
)

// MaxBytes bounds a file with a private key, which has under 8 KB in any form.
const MaxBytes = 65536

// ErrKey is wrapped by every error of this package.
var ErrKey = errors.New("unusable private key")

// Error says why a key cannot be used and what to do about it.
func Error(format string, args ...any) error {
	return fmt.Errorf("auth: %w: "+format, append([]any{ErrKey}, args...)...)
}

// Read is what a file holds: a private key of any type, and what a JWK says of it.
type Read struct {
	Private   any
	ID        string // the kid that was asked for, else the JWK's
	Algorithm string // the JWK's alg
}

// Parse reads a private key: PEM as PKCS#8, PKCS#1 or SEC1, a private JWK, or a JWK set with
// one private key in it. Its errors never quote the data.
func Parse(data []byte, id string) (Read, error) {
	if len(data) > MaxBytes {
		return Read{}, Error("it has %d bytes, a private key has less than %d: is this the right file?", len(data), MaxBytes)
	}
	whole := data // DER may end in what looks like white space
	data = secret.Content(data)
	switch {
	case len(data) == 0:
		return Read{}, Error("it is empty: write the private key into it")
	case data[0] == '{' || data[0] == '[':
		return parseJWK(data, id)
	case bytes.HasPrefix(data, []byte("-----BEGIN ")):
		return parsePEM(data, id)
	case bytes.Contains(data, []byte("-----BEGIN ")):
		return parsePEM(data[bytes.Index(data, []byte("-----BEGIN ")):], id)
	}
	return Read{}, unreadableKind(whole)
}

// parsePEM takes the one private key of a PEM file, past certificates and EC
// parameters.
func parsePEM(data []byte, id string) (Read, error) {
	if !bytes.ContainsAny(data, "\n") {
		data = bytes.ReplaceAll(data, []byte(`\r`), nil)
		data = bytes.ReplaceAll(data, []byte(`\n`), []byte("\n"))
	}
	var found *pem.Block
	other := foreignLabel(data)
	for {
		var b *pem.Block
		if b, data = pem.Decode(data); b == nil {
			break
		}
		if !strings.HasSuffix(b.Type, "PRIVATE KEY") {
			other = b.Type
			continue
		}
		if found != nil {
			return Read{}, Error("the file has more than one private key: keep one")
		}
		found = b
	}
	if found == nil {
		return Read{}, noPrivateBlock(other)
	}
	private, err := parseBlock(found)
	if err != nil {
		return Read{}, err
	}
	return Read{Private: private, ID: id}, nil
}

// foreignLabel is that of the first block if it is none of a private key: what looks like PEM
// and is not, as the armor of PGP with its checksum, has no block that can be decoded.
func foreignLabel(data []byte) string {
	_, rest, _ := bytes.Cut(data, []byte("-----BEGIN "))
	label, _, ok := bytes.Cut(rest, []byte("-----"))
	if !ok || bytes.HasSuffix(label, []byte("PRIVATE KEY")) {
		return ""
	}
	return string(label)
}

func noPrivateBlock(other string) error {
	switch other {
	case "":
		return Error("the PEM is cut off or its lines are joined: copy the file again, with its line ends")
	case "PUBLIC KEY", "RSA PUBLIC KEY":
		return Error("it is the public half: %s", MendPublic)
	case "CERTIFICATE", "TRUSTED CERTIFICATE", "X509 CERTIFICATE":
		return Error("it is a certificate: give the private key that belongs to it")
	case "CERTIFICATE REQUEST", "NEW CERTIFICATE REQUEST":
		return Error("it is a certificate request: give the private key that belongs to it")
	case "EC PARAMETERS", "DSA PARAMETERS", "DH PARAMETERS":
		return Error("it holds the parameters of a key and no key: %s", MendNew)
	case "PGP PRIVATE KEY BLOCK", "PGP PUBLIC KEY BLOCK":
		return Error("it is a PGP key: %s", MendNew)
	case "PKCS7", "PKCS12":
		return Error("it is a container of certificates: give the private key")
	}
	return Error("the PEM has no PRIVATE KEY block: give the private key")
}

func parseBlock(b *pem.Block) (any, error) {
	if strings.Contains(b.Headers["Proc-Type"], "ENCRYPTED") {
		return nil, encryptedError()
	}
	switch b.Type {
	case "ENCRYPTED PRIVATE KEY":
		return nil, encryptedError()
	case "OPENSSH PRIVATE KEY":
		return nil, openSSHKind(b.Bytes)
	case "DSA PRIVATE KEY":
		return nil, Error("it is a DSA key: %s", MendNew)
	}
	if what, mend := kindOf(b.Bytes); what != "" {
		return nil, Error("it is %s: %s", what, mend)
	}
	// The label may be wrong: what is in the block decides.
	private, err := x509.ParsePKCS8PrivateKey(b.Bytes)
	for _, parse := range []func([]byte) (any, error){
		func(der []byte) (any, error) { return x509.ParsePKCS1PrivateKey(der) },
		func(der []byte) (any, error) { return x509.ParseECPrivateKey(der) },
	} {
		if err == nil {
			break
		}
		if other, otherErr := parse(b.Bytes); otherErr == nil {
			private, err = other, nil
		}
	}
	if err != nil {
		return nil, Error("PEM block %.40q cannot be read: it is damaged or no key of RSA or EC; copy the file again, or %s", b.Type, MendNew)
	}
	return private, nil
}

func encryptedError() error { return Error("it is encrypted: %s", MendPhrase) }
