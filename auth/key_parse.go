package auth

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"strings"

	"github.com/redoxworker/redoxworker/auth/secret"
)

// ParsePrivateKey reads a private key in any of the forms people have: PEM as
// PKCS#8, PKCS#1 or SEC1, a private JWK, or a JWK set with one private key in
// it. RSA keys of 2048 to 8192 bits and EC keys on P-384 are taken.
//
// id is the kid under which the public half is registered. "" takes the JWK's
// own; a PEM has none, and [NewOAuth] refuses a key without. An id that differs
// from the JWK's is an error: Redox would not find the key.
//
// A PEM whose line ends were written as \n (an environment variable, usually)
// is understood. Everything else is an error that wraps [ErrKey] and says what
// to do; it never quotes the data.
func ParsePrivateKey(data []byte, id string) (Key, error) {
	if len(data) > maxKeyFile {
		return Key{}, keyError("it has %d bytes, a private key has less than %d: is this the right file?", len(data), maxKeyFile)
	}
	data = secret.Content(data)
	switch {
	case len(data) == 0:
		return Key{}, keyError("it is empty: write the private key into it")
	case data[0] == '{' || data[0] == '[':
		return parseJWK(data, id)
	case bytes.HasPrefix(data, []byte("-----BEGIN ")):
		return parsePEM(data, id)
	case data[0] == 0x30:
		return Key{}, keyError("it looks like DER: convert it with openssl pkey -inform DER -in FILE -out key.pem")
	case bytes.Contains(data, []byte("-----BEGIN ")):
		return parsePEM(data[bytes.Index(data, []byte("-----BEGIN ")):], id)
	}
	return Key{}, keyError("it is neither PEM (-----BEGIN PRIVATE KEY-----) nor a JWK ({\"kty\":…}): give a private key in one of these forms")
}

// parsePEM takes the one private key of a PEM file, past certificates and EC
// parameters.
func parsePEM(data []byte, id string) (Key, error) {
	if !bytes.ContainsAny(data, "\n") {
		data = bytes.ReplaceAll(data, []byte(`\r`), nil)
		data = bytes.ReplaceAll(data, []byte(`\n`), []byte("\n"))
	}
	var found *pem.Block
	var other string
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
			return Key{}, keyError("the file has more than one private key: keep one")
		}
		found = b
	}
	if found == nil {
		return Key{}, noPrivateBlock(other)
	}
	private, err := parseBlock(found)
	if err != nil {
		return Key{}, err
	}
	return newKey(private, id)
}

func noPrivateBlock(other string) error {
	switch other {
	case "":
		return keyError("the PEM is cut off or its lines are joined: copy the file again, with its line ends")
	case "PUBLIC KEY", "RSA PUBLIC KEY":
		return keyError("it is the public half: give the private one, Redox gets the public one")
	case "CERTIFICATE":
		return keyError("it is a certificate: give the private key")
	}
	return keyError("the PEM has no PRIVATE KEY block: give the private key")
}

func parseBlock(b *pem.Block) (any, error) {
	if strings.Contains(b.Headers["Proc-Type"], "ENCRYPTED") {
		return nil, encryptedError()
	}
	var private any
	var err error
	switch b.Type {
	case "PRIVATE KEY":
		private, err = x509.ParsePKCS8PrivateKey(b.Bytes)
	case "RSA PRIVATE KEY":
		private, err = x509.ParsePKCS1PrivateKey(b.Bytes)
	case "EC PRIVATE KEY":
		private, err = x509.ParseECPrivateKey(b.Bytes)
	case "ENCRYPTED PRIVATE KEY":
		return nil, encryptedError()
	case "OPENSSH PRIVATE KEY":
		return nil, keyError("it is in OpenSSH's own form: convert it with ssh-keygen -p -m PKCS8 -N '' -f FILE")
	default:
		return nil, keyError("PEM block %.40q is not taken: make an RSA key of 2048 bits or more, or an EC key on P-384", b.Type)
	}
	if err != nil {
		return nil, keyError("PEM block %q cannot be read (%w): copy the file again, or write it anew with openssl pkey -in FILE -out key.pem", b.Type, err)
	}
	return private, nil
}

func encryptedError() error {
	return keyError("it is encrypted: write it without a passphrase (openssl pkey -in FILE -out key.pem) and protect the file with its mode, 0600")
}
