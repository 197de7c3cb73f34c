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
	whole := data // DER may end in what looks like white space
	data = secret.Content(data)
	switch {
	case len(data) == 0:
		return Key{}, keyError("it is empty: write the private key into it")
	case data[0] == '{' || data[0] == '[':
		return parseJWK(data, id)
	case bytes.HasPrefix(data, []byte("-----BEGIN ")):
		return parsePEM(data, id)
	case bytes.Contains(data, []byte("-----BEGIN ")):
		return parsePEM(data[bytes.Index(data, []byte("-----BEGIN ")):], id)
	}
	return Key{}, unreadableKind(whole)
}

// parsePEM takes the one private key of a PEM file, past certificates and EC
// parameters.
func parsePEM(data []byte, id string) (Key, error) {
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
		return keyError("the PEM is cut off or its lines are joined: copy the file again, with its line ends")
	case "PUBLIC KEY", "RSA PUBLIC KEY":
		return keyError("it is the public half: %s", mendPublic)
	case "CERTIFICATE", "TRUSTED CERTIFICATE", "X509 CERTIFICATE":
		return keyError("it is a certificate: give the private key that belongs to it")
	case "CERTIFICATE REQUEST", "NEW CERTIFICATE REQUEST":
		return keyError("it is a certificate request: give the private key that belongs to it")
	case "EC PARAMETERS", "DSA PARAMETERS", "DH PARAMETERS":
		return keyError("it holds the parameters of a key and no key: %s", mendNew)
	case "PGP PRIVATE KEY BLOCK", "PGP PUBLIC KEY BLOCK":
		return keyError("it is a PGP key: %s", mendNew)
	case "PKCS7", "PKCS12":
		return keyError("it is a container of certificates: give the private key")
	}
	return keyError("the PEM has no PRIVATE KEY block: give the private key")
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
		return nil, keyError("it is a DSA key: %s", mendNew)
	}
	if what, mend := kindOf(b.Bytes); what != "" {
		return nil, keyError("it is %s: %s", what, mend)
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
		return nil, keyError("PEM block %.40q cannot be read: it is damaged or no key of RSA or EC; copy the file again, or %s", b.Type, mendNew)
	}
	return private, nil
}

func encryptedError() error { return keyError("it is encrypted: %s", mendPhrase) }
