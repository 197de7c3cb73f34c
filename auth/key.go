package auth

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"

	"github.com/redoxworker/redoxworker/auth/internal/keyfile"
)

// Algorithm names a signature algorithm as JOSE does.
type Algorithm string

// The two algorithms that SMART requires of a client (SMART App Launch,
// asymmetric authentication). Redox's own sample signs with RS384.
const (
	RS384 Algorithm = "RS384" // RSA, PKCS#1 v1.5, SHA-384
	ES384 Algorithm = "ES384" // EC P-384, SHA-384
)

// Sizes of RSA keys, in bits.
const (
	minRSABits = 2048 // RFC 7518, section 3.3
	maxRSABits = 8192 // beyond it one signature takes seconds
	newRSABits = 3072 // what GenerateKey makes: as strong as SHA-384 needs
)

// Key is a private key with its id. Every printed form shows the id and the
// algorithm only. A Key is immutable and safe for concurrent use; the zero
// value is no key.
type Key struct{ k *key }

// key is behind a pointer so that fmt cannot reach the private numbers through
// an unexported field of another struct.
type key struct {
	signer    crypto.Signer // *rsa.PrivateKey or *ecdsa.PrivateKey
	algorithm Algorithm
	id        string
}

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
	read, err := keyfile.Parse(data, id)
	if err != nil {
		return Key{}, err
	}
	k, err := newKey(read.Private, read.ID)
	if err != nil {
		return Key{}, err
	}
	if a := read.Algorithm; a != "" && a != string(k.Algorithm()) {
		return Key{}, keyfile.Error("the JWK says alg %.20q, this key signs %s: register one with alg %s", a, k.Algorithm(), k.Algorithm())
	}
	return k, nil
}

// newKey checks a private key of any type against what Redox and SMART take.
func newKey(private any, id string) (Key, error) {
	if err := checkKeyID(id); err != nil {
		return Key{}, err
	}
	switch p := private.(type) {
	case *rsa.PrivateKey:
		if err := checkRSA(p); err != nil {
			return Key{}, err
		}
		return Key{&key{p, RS384, id}}, nil
	case *ecdsa.PrivateKey:
		if p.Curve != elliptic.P384() {
			return Key{}, keyfile.Error("it is an EC key on the curve %s, where ES384 needs P-384: %s", p.Curve.Params().Name, keyfile.MendNew)
		}
		if err := checkEC(p); err != nil {
			return Key{}, err
		}
		return Key{&key{p, ES384, id}}, nil
	default:
		return Key{}, keyfile.Error("it is neither RSA nor EC: %s", keyfile.MendNew)
	}
}

func checkRSA(p *rsa.PrivateKey) error {
	if bits := p.N.BitLen(); bits < minRSABits || bits > maxRSABits {
		return keyfile.Error("the RSA key has %d bits, from %d to %d are taken: %s", bits, minRSABits, maxRSABits, keyfile.MendNew)
	}
	if err := p.Validate(); err != nil {
		return keyfile.Error("its numbers do not belong together (%w): the file is damaged, download or generate it again", err)
	}
	return nil
}

// checkEC looks whether the public half is the private one's: a JWK carries both,
// and nothing else compares them.
func checkEC(p *ecdsa.PrivateKey) error {
	d, err := p.Bytes() // may be memory of the key itself: not to be cleared
	if err != nil {
		return keyfile.Error("its private number is too large: the file is damaged, download or generate it again")
	}
	own, err := ecdsa.ParseRawPrivateKey(elliptic.P384(), d)
	if err != nil || !own.PublicKey.Equal(&p.PublicKey) {
		return keyfile.Error("its private and public halves do not belong together: download or generate it again")
	}
	return nil
}

func checkKeyID(id string) error {
	if len(id) > 256 {
		return keyfile.Error("its kid has %d bytes, at most 256 are taken: give it a shorter one", len(id))
	}
	for _, r := range id {
		if r < 0x20 || r == 0x7f {
			return keyfile.Error("its kid has a control character in it: remove that")
		}
	}
	return nil
}

// GenerateKey makes a new key pair for the algorithm: RSA of 3072 bits, or EC
// on P-384. An empty id becomes the RFC 7638 thumbprint of the public half.
func GenerateKey(a Algorithm, id string) (Key, error) {
	var private any
	var err error
	switch a {
	case RS384:
		private, err = rsa.GenerateKey(rand.Reader, newRSABits)
	case ES384:
		private, err = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	default:
		return Key{}, algorithmError(a)
	}
	if err != nil {
		return Key{}, fmt.Errorf("auth: generate %s key: %w", a, err)
	}
	k, err := newKey(private, id)
	if err != nil || id != "" {
		return k, err
	}
	return newKey(private, k.Thumbprint())
}

func algorithmError(a Algorithm) error {
	return keyfile.Error("algorithm %.20q is not taken: use RS384 (RSA) or ES384 (EC P-384)", string(a))
}

// ID returns the kid, "" when the key has none.
func (k Key) ID() string {
	if k.k == nil {
		return ""
	}
	return k.k.id
}

// Algorithm returns RS384 or ES384, "" of the zero Key.
func (k Key) Algorithm() Algorithm {
	if k.k == nil {
		return ""
	}
	return k.k.algorithm
}

// IsZero reports whether there is no key.
func (k Key) IsZero() bool { return k.k == nil }

// Public returns the public half, *rsa.PublicKey or *ecdsa.PublicKey, nil of
// the zero Key.
func (k Key) Public() crypto.PublicKey {
	if k.k == nil {
		return nil
	}
	return k.k.signer.Public()
}

// MarshalPEM returns the private key as PKCS#8 PEM. The kid is not in it.
func (k Key) MarshalPEM() ([]byte, error) {
	if k.k == nil {
		return nil, keyfile.Error("there is none")
	}
	der, err := x509.MarshalPKCS8PrivateKey(k.k.signer)
	if err != nil {
		return nil, keyfile.Error("write as PKCS#8: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

// String names the key by algorithm and id.
func (k Key) String() string {
	if k.k == nil {
		return "no key"
	}
	return fmt.Sprintf("%s key %q", k.k.algorithm, k.k.id)
}

// Format writes what String returns, whatever the verb and flags.
func (k Key) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, k.String()) }

// MarshalText returns what String returns; encoding/json uses it too.
func (k Key) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// MarshalYAML returns what String returns.
func (k Key) MarshalYAML() (any, error) { return k.String(), nil }

// LogValue returns what String returns.
func (k Key) LogValue() slog.Value { return slog.StringValue(k.String()) }
