package assertion

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
)

// jwk is a public JSON Web Key (RFC 7517). D is there only to refuse private keys.
type jwk struct {
	Kty string `json:"kty"`
	Kid string `json:"kid"`
	Use string `json:"use"`
	N   string `json:"n"`
	E   string `json:"e"`
	Crv string `json:"crv"`
	X   string `json:"x"`
	Y   string `json:"y"`
	D   string `json:"d"`
}

// ParseSet reads a JWK set into keys by kid. Every key needs kid and kty (Redox, Create an OAuth API key).
func ParseSet(text []byte) (map[string]crypto.PublicKey, error) {
	var set struct {
		Keys []jwk `json:"keys"`
	}
	if err := json.Unmarshal(text, &set); err != nil {
		return nil, fmt.Errorf("redoxsim: key set is not JSON: %w", err)
	}
	if len(set.Keys) == 0 {
		return nil, errors.New("redoxsim: key set has no member keys, or it is empty")
	}
	keys := make(map[string]crypto.PublicKey, len(set.Keys))
	for i, k := range set.Keys {
		pub, err := k.public()
		if err != nil {
			return nil, fmt.Errorf("redoxsim: key %d of the set: %w", i, err)
		}
		if _, twice := keys[k.Kid]; twice {
			return nil, fmt.Errorf("redoxsim: key %d of the set: its kid appears twice", i)
		}
		keys[k.Kid] = pub
	}
	return keys, nil
}

func (k jwk) public() (crypto.PublicKey, error) {
	switch {
	case k.D != "":
		return nil, errors.New("it is a private key: publish the public half only")
	case k.Kid == "":
		return nil, errors.New("it has no kid")
	case k.Use != "" && k.Use != "sig":
		return nil, fmt.Errorf("its use is %q, not sig", k.Use)
	}
	var pub crypto.PublicKey
	var err error
	switch k.Kty {
	case "RSA":
		pub, err = k.rsa()
	case "EC":
		pub, err = k.ec()
	default:
		return nil, fmt.Errorf("its kty is %q, not RSA or EC", k.Kty)
	}
	if err != nil {
		return nil, err
	}
	return pub, CheckKey(pub)
}

func (k jwk) rsa() (*rsa.PublicKey, error) {
	n, err := base64.RawURLEncoding.DecodeString(k.N)
	if err != nil {
		return nil, fmt.Errorf("n: %w", err)
	}
	e, err := base64.RawURLEncoding.DecodeString(k.E)
	if err != nil || len(e) == 0 || len(e) > 4 {
		return nil, errors.New("e is not an exponent of 1 to 4 bytes")
	}
	return &rsa.PublicKey{N: new(big.Int).SetBytes(n), E: int(new(big.Int).SetBytes(e).Int64())}, nil
}

func (k jwk) ec() (*ecdsa.PublicKey, error) {
	if k.Crv != "P-384" {
		return nil, fmt.Errorf("its crv is %q, not P-384", k.Crv)
	}
	const size = 48 // RFC 7518, 6.2.1.2: full-length coordinates
	x, errX := base64.RawURLEncoding.DecodeString(k.X)
	y, errY := base64.RawURLEncoding.DecodeString(k.Y)
	if errX != nil || errY != nil || len(x) != size || len(y) != size {
		return nil, fmt.Errorf("x and y must be %d bytes each, base64url without padding", size)
	}
	point := append(append([]byte{4}, x...), y...)
	pub, err := ecdsa.ParseUncompressedPublicKey(elliptic.P384(), point)
	if err != nil {
		return nil, fmt.Errorf("x and y are not on P-384: %w", err)
	}
	return pub, nil
}

// CheckKey refuses keys that neither RS384 nor ES384 could use safely.
func CheckKey(pub crypto.PublicKey) error {
	switch k := pub.(type) {
	case *rsa.PublicKey:
		if k == nil || k.N == nil || k.N.BitLen() < 2048 || k.N.BitLen() > 16384 || k.N.Bit(0) == 0 {
			return errors.New("redoxsim: an RSA key must have from 2048 to 16384 bits and an odd modulus")
		}
		if k.E < 3 || k.E&1 == 0 {
			return errors.New("redoxsim: an RSA exponent must be odd and at least 3")
		}
	case *ecdsa.PublicKey:
		if k == nil || k.Curve != elliptic.P384() {
			return errors.New("redoxsim: an EC key must be on P-384")
		}
	default:
		return fmt.Errorf("redoxsim: %T is not an RSA or EC public key", pub)
	}
	return nil
}
