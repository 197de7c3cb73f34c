package auth

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"

	"github.com/redoxworker/redoxworker/auth/internal/keyfile"
)

// Sizes of RSA keys, in bits.
const (
	minRSABits = 2048 // RFC 7518, section 3.3
	maxRSABits = 8192 // beyond it one signature takes seconds
	newRSABits = 3072 // what GenerateKey makes: as strong as SHA-384 needs
)

// Key is a signing key with its id: a private key, or a [Signer]. Every printed form shows the id and the
// algorithm only. A Key is immutable and safe for concurrent use; the zero
// value is no key.
type Key struct{ k *key }

// key is behind a pointer so that fmt cannot reach the private numbers through
// an unexported field of another struct.
type key struct {
	private   crypto.Signer // *rsa.PrivateKey or *ecdsa.PrivateKey; nil with a far one
	far       *elsewhere    // what signs elsewhere
	public    crypto.PublicKey
	algorithm Algorithm
	named     bool // somebody asked for the algorithm
	id        string
}

// ParsePrivateKey reads a private key in any of the usual forms: PEM as PKCS#8, PKCS#1 or SEC1, a
// private JWK, or a JWK set with one private key in it. It takes RSA keys of 2048 to 8192 bits
// and EC keys on P-256, P-384 and P-521. They sign RS384, ES256, ES384 and ES512, unless a JWK
// says another alg: see [Key.With] and [OAuthConfig].
//
// id is the kid under which the public half is registered. "" takes the JWK's
// own; a PEM has none, and [NewOAuth] refuses a key without. An id that differs
// from the JWK's is an error: Redox would not find the key.
//
// A PEM whose line ends are written as \n, usual in an environment variable, is accepted. Any other
// input is an error that wraps [ErrKey] and says what to do. It never quotes the data.
func ParsePrivateKey(data []byte, id string) (Key, error) {
	read, err := keyfile.Parse(data, id)
	if err != nil {
		return Key{}, err
	}
	k, err := newKey(read.Private, read.ID)
	if err != nil {
		return Key{}, err
	}
	with, err := k.With(Algorithm(read.Algorithm))
	if err != nil {
		return Key{}, keyfile.Error("the JWK says alg %.20q, this key is good for %s: register one with alg %s", read.Algorithm, fitting(k.Public()), fitting(k.Public()))
	}
	return with, nil
}

// newKey checks a private key of any type against what servers take.
func newKey(private any, id string) (Key, error) {
	if err := checkKeyID(id); err != nil {
		return Key{}, err
	}
	signer, ok := private.(crypto.Signer)
	if !ok {
		return Key{}, keyfile.Error("it is neither RSA nor EC: %s", keyfile.MendNew)
	}
	public := signer.Public()
	if err := checkPublic(public); err != nil {
		return Key{}, err
	}
	if err := checkHalves(private); err != nil {
		return Key{}, err
	}
	return Key{&key{private: signer, public: public, algorithm: defaultOf(public), id: id}}, nil
}

// checkHalves looks whether the public half is the private one's: a JWK carries both,
// and nothing else compares them.
func checkHalves(private any) error {
	if p, ok := private.(*rsa.PrivateKey); ok {
		if err := p.Validate(); err != nil {
			return keyfile.Error("its numbers do not belong together (%w): the file is damaged, download or generate it again", err)
		}
		return nil
	}
	p, ok := private.(*ecdsa.PrivateKey)
	if !ok {
		return keyfile.Error("it is neither RSA nor EC: %s", keyfile.MendNew)
	}
	d, err := p.Bytes() // may be memory of the key itself: not to be cleared
	if err != nil {
		return keyfile.Error("its private number is too large: the file is damaged, download or generate it again")
	}
	own, err := ecdsa.ParseRawPrivateKey(p.Curve, d)
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

// GenerateKey makes a new key pair for the algorithm: RSA of 3072 bits, or EC on
// the algorithm's curve. An empty id becomes the RFC 7638 thumbprint of the public
// half.
func GenerateKey(a Algorithm, id string) (Key, error) {
	of, known := schemes[a]
	if !known {
		return Key{}, algorithmError(a)
	}
	var private any
	var err error
	if of.curve == nil {
		private, err = rsa.GenerateKey(rand.Reader, newRSABits)
	} else {
		private, err = ecdsa.GenerateKey(of.curve, rand.Reader)
	}
	if err != nil {
		return Key{}, fmt.Errorf("auth: generate %s key: %w", a, err)
	}
	k, err := newKey(private, id)
	if err == nil && id == "" {
		k, err = newKey(private, k.Thumbprint())
	}
	if err != nil {
		return Key{}, err
	}
	return k.With(a)
}

// ID returns the kid, "" when the key has none.
func (k Key) ID() string {
	if k.k == nil {
		return ""
	}
	return k.k.id
}

// Algorithm returns what the key signs with, "" of the zero Key.
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
	return k.k.public
}

// MarshalPEM returns the private key as PKCS#8 PEM. The kid is not in it. That of a
// [Signer] is an error.
func (k Key) MarshalPEM() ([]byte, error) {
	if k.k == nil {
		return nil, keyfile.Error("there is none")
	}
	if k.k.private == nil {
		return nil, errElsewhere()
	}
	der, err := x509.MarshalPKCS8PrivateKey(k.k.private)
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
