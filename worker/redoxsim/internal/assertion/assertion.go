// Package assertion reads and checks client assertions (RFC 7523, SMART's client-confidential-asymmetric)
// and the key sets that they are checked with, as strictly as Redox documents it.
package assertion

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/sha512"
	"encoding/base64"
	"math"
	"math/big"
	"slices"
	"strings"
	"time"

	"github.com/redoxworker/redoxworker/worker/redoxsim/internal/jsonread"
)

// Memory is how long an assertion that is not refused for its time could be presented again.
const Memory = maxAge + maxSkew

// Windows of a client assertion.
const (
	maxAge  = 300 * time.Second // iat in the past (Redox, Troubleshoot OAuth API key errors)
	maxSkew = 10 * time.Second  // iat in the future, same source
	maxLife = 300 * time.Second // exp after iat (SMART, client-confidential-asymmetric)
)

// Refusal is why a token request fails: Description is what Redox tells the client, Reason what the record tells
// besides.
type Refusal struct {
	Description string
	Reason      string
}

// Say is a refusal that tells the client why.
func Say(description string) *Refusal { return &Refusal{description, ""} }

// Blank is a refusal that tells the client nothing.
func Blank(reason string) *Refusal { return &Refusal{"", reason} }

// KeyNotFound is a refusal of a client or key that is not known.
func KeyNotFound(reason string) *Refusal {
	return &Refusal{"Public key not found, check client_id, kid and Redox dashboard settings", reason}
}

// Assertion is a parsed and not yet trusted client assertion.
type Assertion struct {
	Alg, Kid, typ, JKU string
	Iss, Sub, JTI      string
	aud                []string
	iat, exp, nbf      *float64 // seconds since 1970; nil when absent
	signed             []byte   // what the signature covers
	signature          []byte
}

// Parse takes a compact JWS apart. It is strict about the encoding: three parts, base64url without padding or
// stray bits, header and claims JSON objects without duplicate members.
func Parse(text string) (*Assertion, *Refusal) {
	parts := strings.Split(text, ".")
	if len(parts) != 3 {
		return nil, Blank("the assertion has not three parts")
	}
	var raw [3][]byte
	for i, part := range parts {
		b, err := base64.RawURLEncoding.Strict().DecodeString(part)
		if err != nil || strings.ContainsAny(part, "\r\n") {
			return nil, Blank("a part of the assertion is not base64url")
		}
		raw[i] = b
	}
	a := &Assertion{signed: []byte(parts[0] + "." + parts[1]), signature: raw[2]}
	if r := a.readHeader(raw[0]); r != nil {
		return nil, r
	}
	return a, a.readClaims(raw[1])
}

func (a *Assertion) readHeader(raw []byte) *Refusal {
	m, r := jwtObject(raw, "header")
	if r != nil {
		return r
	}
	kid, ok := m.Text("kid")
	if !ok || kid == "" {
		return &Refusal{"JWT header kid property is required", "kid is absent, empty or not a string"}
	}
	a.Kid = kid
	if a.Alg, ok = m.Text("alg"); !ok {
		return Blank("alg is absent or not a string")
	}
	if a.typ, ok = m.Text("typ"); !ok && m.Has("typ") {
		return Blank("typ is not a string")
	}
	if a.JKU, ok = m.Text("jku"); !ok && m.Has("jku") {
		return Blank("jku is not a string")
	}
	if m.Has("crit") {
		return Blank("the header demands an extension with crit")
	}
	return nil
}

func (a *Assertion) readClaims(raw []byte) *Refusal {
	m, r := jwtObject(raw, "claim set")
	if r != nil {
		return r
	}
	for name, into := range map[string]*string{"iss": &a.Iss, "sub": &a.Sub, "jti": &a.JTI} {
		text, ok := m.Text(name)
		if !ok && m.Has(name) {
			return Blank(name + " is not a string")
		}
		*into = text
	}
	for name, into := range map[string]**float64{"iat": &a.iat, "exp": &a.exp, "nbf": &a.nbf} {
		if !m.Has(name) {
			continue
		}
		n, ok := m.Number(name)
		if !ok {
			return Blank(name + " is not a number")
		}
		*into = &n
	}
	aud, ok := m.Texts("aud")
	if !ok && m.Has("aud") {
		return Blank("aud is neither a string nor a list of strings")
	}
	a.aud = aud
	return nil
}

func jwtObject(raw []byte, what string) (jsonread.List, *Refusal) {
	list, ok, isObject := jsonread.Document(raw)
	if !ok {
		return nil, Blank("the " + what + " is not JSON")
	}
	if !isObject {
		return nil, Blank("the " + what + " is not a JSON object")
	}
	if _, twice := list.Duplicate(); twice {
		return nil, Blank("the " + what + " has a duplicate member")
	}
	return list, nil
}

// Verify checks the signature with the key that kid named.
func (a *Assertion) Verify(pub crypto.PublicKey) *Refusal {
	sum := sha512.Sum384(a.signed)
	switch k := pub.(type) {
	case *rsa.PublicKey:
		if a.Alg != "RS384" {
			return KeyNotFound("alg is " + a.Alg + " and the key of that kid is RSA")
		}
		if rsa.VerifyPKCS1v15(k, crypto.SHA384, sum[:], a.signature) != nil {
			return Blank("the signature is wrong")
		}
	case *ecdsa.PublicKey:
		if a.Alg != "ES384" {
			return KeyNotFound("alg is " + a.Alg + " and the key of that kid is EC")
		}
		const half = 48 // RFC 7518, 3.4: R and S, full length, no ASN.1
		if len(a.signature) != 2*half {
			return Blank("an ES384 signature has 96 bytes")
		}
		r := new(big.Int).SetBytes(a.signature[:half])
		s := new(big.Int).SetBytes(a.signature[half:])
		if !ecdsa.Verify(k, sum[:], r, s) {
			return Blank("the signature is wrong")
		}
	default:
		return KeyNotFound("no key")
	}
	return nil
}

// Check judges the claims at the given time. lenient lets absent ones pass that shipped clients leave out.
func (a *Assertion) Check(now time.Time, audiences []string, lenient bool) *Refusal {
	t := float64(now.UnixNano()) / 1e9
	switch {
	case a.Iss == "" || a.Sub == "":
		return &Refusal{"Unexpected sub claim value", "iss or sub is absent or empty"}
	case a.Iss != a.Sub:
		return &Refusal{"Unexpected sub claim value", "iss and sub differ"}
	case a.typ == "" && !lenient:
		return Blank("typ is absent")
	case a.typ != "" && !strings.EqualFold(a.typ, "JWT"):
		return Blank("typ is not JWT")
	case len(a.aud) == 0 && !lenient:
		return Blank("aud is absent")
	case len(a.aud) > 0 && !slices.ContainsFunc(a.aud, func(v string) bool { return slices.Contains(audiences, v) }):
		return Blank("aud is not the token URL")
	case a.iat == nil:
		return Blank("iat is absent")
	case math.IsInf(*a.iat, 0) || *a.iat < t-maxAge.Seconds():
		return Blank("iat is more than 300 s in the past")
	case *a.iat > t+maxSkew.Seconds():
		return Blank("iat is more than 10 s in the future")
	case a.exp == nil && !lenient:
		return Blank("exp is absent")
	case a.exp != nil && *a.exp <= t:
		return Blank("exp is in the past")
	case a.exp != nil && *a.exp > *a.iat+maxLife.Seconds():
		return Blank("exp is more than 300 s after iat")
	case a.nbf != nil && *a.nbf > t+maxSkew.Seconds():
		return Blank("nbf is in the future")
	case a.JTI == "" && !lenient:
		return Blank("jti is absent or empty")
	}
	return nil
}
