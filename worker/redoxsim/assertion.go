package redoxsim

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/sha512"
	"encoding/base64"
	"math"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Windows of a client assertion.
const (
	maxAge  = 300 * time.Second // iat in the past (Redox, Troubleshoot OAuth API key errors)
	maxSkew = 10 * time.Second  // iat in the future, same source
	maxLife = 300 * time.Second // exp after iat (SMART, client-confidential-asymmetric)
)

// refusal is why a token request fails: what Redox tells the client, and what the record tells us.
type refusal struct {
	description string
	reason      string
}

func blank(reason string) *refusal { return &refusal{"", reason} }

func keyNotFound(reason string) *refusal {
	return &refusal{"Public key not found, check client_id, kid and Redox dashboard settings", reason}
}

// assertion is a parsed and not yet trusted client assertion.
type assertion struct {
	alg, kid, typ, jku string
	iss, sub, jti      string
	aud                []string
	iat, exp, nbf      *float64 // seconds since 1970; nil when absent
	signed             []byte   // what the signature covers
	signature          []byte
}

// parseAssertion takes a compact JWS apart. It is strict about the encoding: three parts, base64url without padding or
// stray bits, header and claims JSON objects without duplicate members.
func parseAssertion(text string) (*assertion, *refusal) {
	parts := strings.Split(text, ".")
	if len(parts) != 3 {
		return nil, blank("the assertion has not three parts")
	}
	var raw [3][]byte
	for i, part := range parts {
		b, err := base64.RawURLEncoding.Strict().DecodeString(part)
		if err != nil || strings.ContainsAny(part, "\r\n") {
			return nil, blank("a part of the assertion is not base64url")
		}
		raw[i] = b
	}
	a := &assertion{signed: []byte(parts[0] + "." + parts[1]), signature: raw[2]}
	if r := a.readHeader(raw[0]); r != nil {
		return nil, r
	}
	return a, a.readClaims(raw[1])
}

func (a *assertion) readHeader(raw []byte) *refusal {
	m, r := jwtObject(raw, "header")
	if r != nil {
		return r
	}
	kid, ok := m.text("kid")
	if !ok || kid == "" {
		return &refusal{"JWT header kid property is required", "kid is absent, empty or not a string"}
	}
	a.kid = kid
	if a.alg, ok = m.text("alg"); !ok {
		return blank("alg is absent or not a string")
	}
	if a.typ, ok = m.text("typ"); !ok && m.has("typ") {
		return blank("typ is not a string")
	}
	if a.jku, ok = m.text("jku"); !ok && m.has("jku") {
		return blank("jku is not a string")
	}
	if m.has("crit") {
		return blank("the header demands an extension with crit")
	}
	return nil
}

func (a *assertion) readClaims(raw []byte) *refusal {
	m, r := jwtObject(raw, "claim set")
	if r != nil {
		return r
	}
	for name, into := range map[string]*string{"iss": &a.iss, "sub": &a.sub, "jti": &a.jti} {
		text, ok := m.text(name)
		if !ok && m.has(name) {
			return blank(name + " is not a string")
		}
		*into = text
	}
	for name, into := range map[string]**float64{"iat": &a.iat, "exp": &a.exp, "nbf": &a.nbf} {
		if !m.has(name) {
			continue
		}
		n, ok := m.number(name)
		if !ok {
			return blank(name + " is not a number")
		}
		*into = &n
	}
	aud, ok := m.texts("aud")
	if !ok && m.has("aud") {
		return blank("aud is neither a string nor a list of strings")
	}
	a.aud = aud
	return nil
}

// jwtMembers are the members of a JOSE header or claim set.
type jwtMembers []member

func jwtObject(raw []byte, what string) (jwtMembers, *refusal) {
	list, ok, isObject := document(raw)
	if !ok {
		return nil, blank("the " + what + " is not JSON")
	}
	if !isObject {
		return nil, blank("the " + what + " is not a JSON object")
	}
	seen := make(map[string]bool, len(list))
	for _, m := range list {
		if seen[m.name] {
			return nil, blank("the " + what + " has a duplicate member")
		}
		seen[m.name] = true
	}
	return list, nil
}

func (m jwtMembers) has(name string) bool {
	_, found, _ := lookup(m, name)
	return found
}

func (m jwtMembers) text(name string) (string, bool) {
	value, _, _ := lookup(m, name)
	return isText(value)
}

func (m jwtMembers) texts(name string) ([]string, bool) {
	value, _, _ := lookup(m, name)
	if text, ok := isText(value); ok {
		return []string{text}, true
	}
	list, ok := elements(value)
	if !ok {
		return nil, false
	}
	texts := make([]string, 0, len(list))
	for _, e := range list {
		text, ok := isText(e)
		if !ok {
			return nil, false
		}
		texts = append(texts, text)
	}
	return texts, true
}

func (m jwtMembers) number(name string) (float64, bool) {
	value, _, _ := lookup(m, name)
	n, err := strconv.ParseFloat(string(value), 64)
	return n, err == nil && len(value) > 0 && value[0] != '"'
}

// verify checks the signature with the key that kid named.
func (a *assertion) verify(pub crypto.PublicKey) *refusal {
	sum := sha512.Sum384(a.signed)
	switch k := pub.(type) {
	case *rsa.PublicKey:
		if a.alg != "RS384" {
			return keyNotFound("alg is " + a.alg + " and the key of that kid is RSA")
		}
		if rsa.VerifyPKCS1v15(k, crypto.SHA384, sum[:], a.signature) != nil {
			return blank("the signature is wrong")
		}
	case *ecdsa.PublicKey:
		if a.alg != "ES384" {
			return keyNotFound("alg is " + a.alg + " and the key of that kid is EC")
		}
		const half = 48 // RFC 7518, 3.4: R and S, full length, no ASN.1
		if len(a.signature) != 2*half {
			return blank("an ES384 signature has 96 bytes")
		}
		r := new(big.Int).SetBytes(a.signature[:half])
		s := new(big.Int).SetBytes(a.signature[half:])
		if !ecdsa.Verify(k, sum[:], r, s) {
			return blank("the signature is wrong")
		}
	default:
		return keyNotFound("no key")
	}
	return nil
}

// check judges the claims at the given time. lenient lets absent ones pass that shipped clients leave out.
func (a *assertion) check(now time.Time, audiences []string, lenient bool) *refusal {
	t := float64(now.UnixNano()) / 1e9
	switch {
	case a.iss == "" || a.sub == "":
		return &refusal{"Unexpected sub claim value", "iss or sub is absent or empty"}
	case a.iss != a.sub:
		return &refusal{"Unexpected sub claim value", "iss and sub differ"}
	case a.typ == "" && !lenient:
		return blank("typ is absent")
	case a.typ != "" && !strings.EqualFold(a.typ, "JWT"):
		return blank("typ is not JWT")
	case len(a.aud) == 0 && !lenient:
		return blank("aud is absent")
	case len(a.aud) > 0 && !slices.ContainsFunc(a.aud, func(v string) bool { return slices.Contains(audiences, v) }):
		return blank("aud is not the token URL")
	case a.iat == nil:
		return blank("iat is absent")
	case math.IsInf(*a.iat, 0) || *a.iat < t-maxAge.Seconds():
		return blank("iat is more than 300 s in the past")
	case *a.iat > t+maxSkew.Seconds():
		return blank("iat is more than 10 s in the future")
	case a.exp == nil && !lenient:
		return blank("exp is absent")
	case a.exp != nil && *a.exp <= t:
		return blank("exp is in the past")
	case a.exp != nil && *a.exp > *a.iat+maxLife.Seconds():
		return blank("exp is more than 300 s after iat")
	case a.nbf != nil && *a.nbf > t+maxSkew.Seconds():
		return blank("nbf is in the future")
	case a.jti == "" && !lenient:
		return blank("jti is absent or empty")
	}
	return nil
}
