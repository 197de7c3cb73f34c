package auth

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"slices"
	"strings"

	"github.com/MicahParks/jwkset"
)

// parseJWK takes a private JWK, or the one private key of a JWK set.
func parseJWK(data []byte, id string) (Key, error) {
	if data[0] == '[' {
		return Key{}, keyError("it is a JSON list: give one JWK, {\"kty\":…}")
	}
	var set struct {
		jwkset.JWKMarshal
		Keys []jwkset.JWKMarshal `json:"keys"`
	}
	if err := json.Unmarshal(data, &set); err != nil {
		return Key{}, keyError("it is not a JWK, the JSON cannot be read: copy the file again") // the JSON error may quote the data
	}
	if set.Keys == nil {
		return fromJWK(set.JWKMarshal, id)
	}
	private := slices.DeleteFunc(set.Keys, func(m jwkset.JWKMarshal) bool {
		return m.D == "" || id != "" && m.KID != id
	})
	switch len(private) {
	case 1:
		return fromJWK(private[0], id)
	case 0:
		return Key{}, keyError("the JWK set has no private key %s: give the private half", quoteID(id))
	}
	return Key{}, keyError("the JWK set has %d private keys: name one by its kid", len(private))
}

func quoteID(id string) string {
	if id == "" {
		return "in it"
	}
	return "with kid " + strings.ToValidUTF8(`"`+id+`"`, "?")
}

// fromJWK checks the metadata that a server would check too, then the numbers.
func fromJWK(m jwkset.JWKMarshal, id string) (Key, error) {
	if err := checkJWK(m, id); err != nil {
		return Key{}, err
	}
	if id == "" {
		id = m.KID
	}
	bare := jwkset.JWKMarshal{
		KTY: m.KTY, CRV: m.CRV, X: m.X, Y: m.Y, D: m.D,
		N: m.N, E: m.E, P: m.P, Q: m.Q, DP: m.DP, DQ: m.DQ, QI: m.QI,
	}
	private, err := jwkset.NewJWKFromMarshal(bare, jwkset.JWKMarshalOptions{Private: true}, jwkset.JWKValidateOptions{})
	if err != nil {
		return Key{}, keyError("the numbers of the JWK do not make a key: download or generate it again")
	}
	k, err := newKey(private.Key(), id)
	if err != nil {
		return Key{}, err
	}
	if m.ALG != "" && string(m.ALG) != string(k.Algorithm()) {
		return Key{}, keyError("the JWK says alg %.20q, this key signs %s: register one with alg %s", string(m.ALG), k.Algorithm(), k.Algorithm())
	}
	return k, nil
}

func checkJWK(m jwkset.JWKMarshal, id string) error {
	switch {
	case m.KTY == jwkset.KtyOct:
		return keyError("it is a symmetric key (kty oct): %s", mendNew)
	case m.KTY != jwkset.KtyRSA && m.KTY != jwkset.KtyEC:
		return keyError("kty %.20q is not taken: %s", string(m.KTY), mendNew)
	case m.D == "":
		return keyError("the JWK is the public half (no d): give the private one, Redox gets the public one")
	case m.KTY == jwkset.KtyEC && (m.X == "" || m.Y == ""):
		return keyError("the JWK has no x and y: give a complete one")
	case m.KTY == jwkset.KtyRSA && (m.P == "" || m.Q == "" || m.DP == "" || m.DQ == "" || m.QI == ""):
		return keyError("the RSA JWK lacks p, q, dp, dq or qi: give a complete one, or PEM")
	case len(m.OTH) > 0:
		return keyError("the RSA JWK has more than two primes: %s", mendNew)
	case len(m.N) > maxRSABits/4:
		return keyError("the RSA JWK has more than %d bits: %s", maxRSABits, mendNew)
	case m.USE != "" && m.USE != jwkset.UseSig:
		return keyError("the JWK is not for signing (use %.20q): %s", string(m.USE), mendNew)
	case len(m.KEYOPS) > 0 && !slices.Contains(m.KEYOPS, jwkset.KeyOpsSign):
		return keyError("the JWK is not for signing (key_ops lacks sign): %s", mendNew)
	case id != "" && m.KID != "" && m.KID != id:
		return keyError("the JWK's kid is %q but %q is configured: remove one of the two", clip(m.KID, 64), clip(id, 64))
	}
	return nil
}

// marshalJWK writes a key with the metadata that servers look for. ory/fosite,
// for one, wants use sig.
func (k Key) marshalJWK(private bool) (jwkset.JWKMarshal, error) {
	if k.k == nil {
		return jwkset.JWKMarshal{}, keyError("there is none")
	}
	j, err := jwkset.NewJWKFromKey(k.k.signer, jwkset.JWKOptions{
		Marshal:  jwkset.JWKMarshalOptions{Private: private},
		Metadata: jwkset.JWKMetadataOptions{ALG: jwkset.ALG(k.k.algorithm), KID: k.k.id, USE: jwkset.UseSig},
	})
	if err != nil {
		return jwkset.JWKMarshal{}, keyError("write as JWK: %w", err)
	}
	return j.Marshal(), nil
}

// MarshalJWK returns the private key as indented JSON Web Key.
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

// JWKS returns the public halves as an indented JSON Web Key Set. Zero keys and
// repetitions of a kid are left out, so that current and next may be given as
// they are. SMART wants the current and the succeeding key in the set during a
// rotation.
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
		return nil, keyError("write as JSON: %w", err)
	}
	return b.Bytes(), nil
}
