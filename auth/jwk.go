package auth

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"slices"

	"github.com/MicahParks/jwkset"

	"github.com/redoxworker/redoxworker/auth/internal/keyfile"
)

// marshalJWK writes a key with the metadata that servers look for. ory/fosite,
// for one, wants use sig.
func (k Key) marshalJWK(private bool) (jwkset.JWKMarshal, error) {
	if k.k == nil {
		return jwkset.JWKMarshal{}, keyfile.Error("there is none")
	}
	var material any = k.k.public
	if private && k.k.private == nil {
		return jwkset.JWKMarshal{}, errElsewhere()
	}
	if private {
		material = k.k.private
	}
	j, err := jwkset.NewJWKFromKey(material, jwkset.JWKOptions{
		Marshal:  jwkset.JWKMarshalOptions{Private: private},
		Metadata: jwkset.JWKMetadataOptions{ALG: jwkset.ALG(k.k.algorithm), KID: k.k.id, USE: jwkset.UseSig},
	})
	if err != nil {
		return jwkset.JWKMarshal{}, keyfile.Error("write as JWK: %w", err)
	}
	return j.Marshal(), nil
}

// MarshalJWK returns the private key as indented JSON Web Key. That of a [Signer] is
// an error.
func (k Key) MarshalJWK() ([]byte, error) { return k.jwk(true) }

// PublicJWK returns the public half as indented JSON Web Key: what is pasted
// into the Redox dashboard.
func (k Key) PublicJWK() ([]byte, error) { return k.jwk(false) }

func (k Key) jwk(private bool) ([]byte, error) {
	m, err := k.marshalJWK(private)
	if err != nil {
		return nil, err
	}
	return indent(m)
}

// Thumbprint returns the RFC 7638 SHA-256 thumbprint of the public half in
// base64url, "" of the zero Key.
func (k Key) Thumbprint() string {
	m, err := k.marshalJWK(false)
	if err != nil {
		return ""
	}
	return thumbprint(m)
}

// thumbprint hashes the required members in the order of RFC 7638, section 3.2.
func thumbprint(m jwkset.JWKMarshal) string {
	text := `{"crv":"` + string(m.CRV) + `","kty":"EC","x":"` + m.X + `","y":"` + m.Y + `"}`
	if m.KTY == jwkset.KtyRSA {
		text = `{"e":"` + m.E + `","kty":"RSA","n":"` + m.N + `"}`
	}
	sum := sha256.Sum256([]byte(text))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// JWKS returns the public halves as an indented JSON Web Key Set. It leaves out zero keys
// and repetitions of a kid, so that current and next can be passed as they are. SMART
// wants the current and the succeeding key in the set during a rotation.
func JWKS(keys ...Key) ([]byte, error) {
	set := jwkset.JWKSMarshal{Keys: []jwkset.JWKMarshal{}}
	for _, k := range keys {
		if k.IsZero() || slices.ContainsFunc(set.Keys, func(m jwkset.JWKMarshal) bool { return m.KID == k.ID() }) {
			continue
		}
		m, err := k.marshalJWK(false)
		if err != nil {
			return nil, err
		}
		set.Keys = append(set.Keys, m)
	}
	return indent(set)
}

func indent(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetIndent("", "  ")
	if err := e.Encode(v); err != nil {
		return nil, keyfile.Error("write as JSON: %w", err)
	}
	return b.Bytes(), nil
}
