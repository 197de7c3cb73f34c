package auth

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/golang-jwt/jwt/v5"

	"github.com/redoxworker/redoxworker/auth/internal/guard"
	"github.com/redoxworker/redoxworker/auth/internal/keyfile"
)

// Algorithm names a signature algorithm as JOSE does (RFC 7518).
type Algorithm string

// The algorithms that assertions are signed with. SMART requires servers to support RS384
// and ES384. Redox's own sample signs with RS384, and nothing shows that Redox takes any
// other than these two. The others are used only on request.
const (
	RS256 Algorithm = "RS256" // RSA, PKCS#1 v1.5, SHA-256
	RS384 Algorithm = "RS384" // RSA, PKCS#1 v1.5, SHA-384
	RS512 Algorithm = "RS512" // RSA, PKCS#1 v1.5, SHA-512
	PS256 Algorithm = "PS256" // RSA, PSS, SHA-256
	PS384 Algorithm = "PS384" // RSA, PSS, SHA-384
	PS512 Algorithm = "PS512" // RSA, PSS, SHA-512
	ES256 Algorithm = "ES256" // EC P-256, SHA-256
	ES384 Algorithm = "ES384" // EC P-384, SHA-384
	ES512 Algorithm = "ES512" // EC P-521, SHA-512
)

// scheme is what an algorithm stands for.
type scheme struct {
	method jwt.SigningMethod
	opts   crypto.SignerOpts
	curve  elliptic.Curve // nil means RSA
}

var schemes = map[Algorithm]scheme{
	RS256: {jwt.SigningMethodRS256, crypto.SHA256, nil},
	RS384: {jwt.SigningMethodRS384, crypto.SHA384, nil},
	RS512: {jwt.SigningMethodRS512, crypto.SHA512, nil},
	PS256: {jwt.SigningMethodPS256, pss(crypto.SHA256), nil},
	PS384: {jwt.SigningMethodPS384, pss(crypto.SHA384), nil},
	PS512: {jwt.SigningMethodPS512, pss(crypto.SHA512), nil},
	ES256: {jwt.SigningMethodES256, crypto.SHA256, elliptic.P256()},
	ES384: {jwt.SigningMethodES384, crypto.SHA384, elliptic.P384()},
	ES512: {jwt.SigningMethodES512, crypto.SHA512, elliptic.P521()},
}

// pss has a salt as long as the hash (RFC 7518, section 3.5).
func pss(h crypto.Hash) *rsa.PSSOptions {
	return &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: h}
}

// Algorithms returns all algorithms, sorted by name.
func Algorithms() []Algorithm { return slices.Sorted(maps.Keys(schemes)) }

// usual reports whether the algorithm is one that every server of SMART takes.
func (a Algorithm) usual() bool { return a == RS384 || a == ES384 }

// defaultOf returns the algorithm that a public key signs with where none is named.
func defaultOf(public crypto.PublicKey) Algorithm {
	p, ok := public.(*ecdsa.PublicKey)
	if !ok {
		return RS384
	}
	for _, a := range []Algorithm{ES256, ES384, ES512} {
		if schemes[a].curve == p.Curve {
			return a
		}
	}
	return ""
}

// fits reports whether a public key can be one of the algorithm.
func (s scheme) fits(public crypto.PublicKey) bool {
	if p, ok := public.(*ecdsa.PublicKey); ok {
		return s.curve == p.Curve
	}
	return s.curve == nil
}

// fitting lists the algorithms of a public key, for a sentence.
func fitting(public crypto.PublicKey) string {
	var names []string
	for _, a := range Algorithms() {
		if schemes[a].fits(public) {
			names = append(names, string(a))
		}
	}
	if len(names) < 2 {
		return strings.Join(names, "")
	}
	return strings.Join(names[:len(names)-1], ", ") + " or " + names[len(names)-1]
}

func algorithmError(a Algorithm) error {
	return keyfile.Error("algorithm %.20q is not taken: use RS256, RS384, RS512, PS256, PS384 or PS512 (RSA), or ES256, ES384 or ES512 (EC P-256, P-384, P-521)", string(a))
}

// checkPublic refuses what is too weak or of another kind than RSA and EC.
func checkPublic(public crypto.PublicKey) error {
	switch p := public.(type) {
	case *rsa.PublicKey:
		return checkRSA(p)
	case *ecdsa.PublicKey:
		if p.Curve == nil {
			return keyfile.Error("it is an EC key without a curve: %s", keyfile.MendNew)
		}
		if defaultOf(p) == "" {
			return keyfile.Error("it is an EC key on the curve %s, where P-256, P-384 or P-521 is needed: %s", p.Curve.Params().Name, keyfile.MendNew)
		}
		var err error
		if bad := guard.Call("the key", func() { _, err = p.ECDH() }); bad != nil || err != nil { // without numbers it panics
			return keyfile.Error("its public half is no point of its curve: download or generate it again")
		}
		return nil
	}
	return keyfile.Error("it is neither RSA nor EC: %s", keyfile.MendNew)
}

func checkRSA(p *rsa.PublicKey) error {
	if p.N == nil || p.N.Sign() <= 0 {
		return keyfile.Error("it is an RSA key without a modulus: %s", keyfile.MendNew)
	}
	if bits := p.N.BitLen(); bits < minRSABits || bits > maxRSABits {
		return keyfile.Error("the RSA key has %d bits, from %d to %d are taken: %s", bits, minRSABits, maxRSABits, keyfile.MendNew)
	}
	if p.E < 3 || p.E%2 == 0 {
		return keyfile.Error("the RSA key has the exponent %d, with which it protects nothing: %s", p.E, keyfile.MendNew)
	}
	return nil
}

// With returns the key for signing with an algorithm; "" changes nothing. It returns an
// error if the key is of another kind than the algorithm needs.
func (k Key) With(a Algorithm) (Key, error) {
	switch s, known := schemes[a]; {
	case a == "":
		return k, nil
	case !known:
		return Key{}, algorithmError(a)
	case k.k == nil:
		return Key{}, keyfile.Error("there is none")
	case !s.fits(k.k.public):
		return Key{}, keyfile.Error("%w", pairingError("it", k, a))
	case k.k.algorithm == a && k.k.named:
		return k, nil
	}
	other := *k.k
	other.algorithm, other.named = a, true
	return Key{&other}, nil
}

// pairingError says that a key cannot be used with an algorithm. It has no package prefix.
func pairingError(what string, k Key, a Algorithm) error {
	return fmt.Errorf("%s cannot sign %s, it is good for %s: change one of the two", what, a, fitting(k.k.public))
}

// unnamed says that a key signs with something that not every server takes, and that nobody
// asked for it. It has no package prefix.
func unnamed(what string, k Key) error {
	if k.k == nil || k.k.named || k.k.algorithm.usual() {
		return nil
	}
	return fmt.Errorf("%s signs %[2]s, which Redox is not known to take: set the algorithm to %[2]s where the server takes that, else use an RSA key or one on P-384",
		what, k.k.algorithm)
}
