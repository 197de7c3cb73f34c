package keyfile

import (
	"bytes"
	"crypto/elliptic"
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"encoding/binary"
	"strings"

	"github.com/redoxworker/redoxworker/auth/secret"
)

// What helps where a file holds no usable key.
const (
	MendNew     = "make another key (redoxworker keys new --out key.pem) and register its public half"
	MendPublic  = "give the private one, Redox gets the public one"
	MendDER     = "convert it with openssl pkey -inform DER -in FILE -out key.pem"
	MendPKCS12  = "take the key out of it with openssl pkcs12 -in FILE -nocerts -nodes -out key.pem (with -legacy, if it is an old one)"
	MendCurve   = "write it with the curve's name: openssl ec -in FILE -param_enc named_curve -out key.pem"
	MendPhrase  = "write it without a passphrase (openssl pkey -in FILE -out key.pem) and protect the file with its mode, 0600"
	MendUTF16   = "write it as UTF-8: iconv -f UTF-16 -t UTF-8 FILE > key.pem"
	MendOpenSSH = "convert it, in place, with ssh-keygen -p -m PKCS8 -N '' -f FILE"
)

// algorithmNames are the kinds of keys that can sign nothing that Redox takes, by their
// object identifiers.
var algorithmNames = map[string]string{
	"1.2.840.113549.1.1.10":   "an RSA-PSS key",
	"1.2.840.10040.4.1":       "a DSA key",
	"1.2.840.10046.2.1":       "a Diffie-Hellman key",
	"1.2.840.113549.1.3.1":    "a Diffie-Hellman key",
	"1.3.101.110":             "an X25519 key",
	"1.3.101.111":             "an X448 key",
	"1.3.101.112":             "an Ed25519 key",
	"1.3.101.113":             "an Ed448 key",
	"1.2.156.10197.1.301":     "an SM2 key",
	"2.16.840.1.101.3.4.3.17": "an ML-DSA key",
	"2.16.840.1.101.3.4.3.18": "an ML-DSA key",
	"2.16.840.1.101.3.4.3.19": "an ML-DSA key",
}

var curveNames = map[string]string{
	"1.3.132.0.10":          "secp256k1",
	"1.3.132.0.33":          "P-224",
	"1.2.840.10045.3.1.1":   "P-192",
	"1.2.840.10045.3.1.7":   "P-256",
	"1.3.132.0.34":          "P-384",
	"1.3.132.0.35":          "P-521",
	"1.3.36.3.3.2.8.1.1.7":  "brainpoolP256r1",
	"1.3.36.3.3.2.8.1.1.11": "brainpoolP384r1",
	"1.3.36.3.3.2.8.1.1.13": "brainpoolP512r1",
}

// sequence is the members of an ASN.1 SEQUENCE, nil when der is none.
func sequence(der []byte) []asn1.RawValue {
	var outer asn1.RawValue
	if rest, err := asn1.Unmarshal(der, &outer); err != nil || len(rest) > 0 || outer.Class != asn1.ClassUniversal || outer.Tag != asn1.TagSequence {
		return nil
	}
	var members []asn1.RawValue
	for inner := outer.Bytes; len(inner) > 0; {
		var m asn1.RawValue
		rest, err := asn1.Unmarshal(inner, &m)
		if err != nil {
			return nil
		}
		members, inner = append(members, m), rest
	}
	return members
}

func is(m []asn1.RawValue, i, tag int) bool {
	return i < len(m) && m[i].Class == asn1.ClassUniversal && m[i].Tag == tag
}

func oid(v asn1.RawValue) string {
	var id asn1.ObjectIdentifier
	if _, err := asn1.Unmarshal(v.FullBytes, &id); err != nil {
		return ""
	}
	return id.String()
}

// kindOf says what a DER structure is that cannot be used, and what helps; "" when it is a
// key that can be, or nothing that is known.
func kindOf(der []byte) (what, mend string) {
	m := sequence(der)
	switch {
	case is(m, 0, asn1.TagInteger) && is(m, 1, asn1.TagSequence) && is(m, 2, asn1.TagOctetString): // PKCS#8
		algorithm := sequence(m[1].FullBytes)
		if len(algorithm) == 0 {
			return "", ""
		}
		id := oid(algorithm[0])
		if id == "1.2.840.10045.2.1" && len(algorithm) > 1 {
			return curveKind(algorithm[1])
		}
		return algorithmNames[id], MendNew
	case is(m, 0, asn1.TagInteger) && is(m, 1, asn1.TagOctetString): // SEC1
		for _, v := range m[2:] {
			var params asn1.RawValue
			if v.Class == asn1.ClassContextSpecific && v.Tag == 0 {
				_, _ = asn1.Unmarshal(v.Bytes, &params)
				return curveKind(params)
			}
		}
	case len(m) == 6 && is(m, 5, asn1.TagInteger) && is(m, 1, asn1.TagInteger):
		return "a DSA key", MendNew
	case is(m, 0, asn1.TagInteger) && is(m, 1, asn1.TagSequence) && len(m[0].Bytes) == 1 && m[0].Bytes[0] == 3:
		return "a PKCS#12 container", MendPKCS12
	case len(m) == 2 && is(m, 0, asn1.TagSequence) && is(m, 1, asn1.TagOctetString):
		return "encrypted, in DER", "write it without a passphrase (openssl pkey -inform DER -in FILE -out key.pem) and protect the file with its mode, 0600"
	case len(m) == 2 && is(m, 0, asn1.TagSequence) && is(m, 1, asn1.TagBitString):
		return "the public half", MendPublic
	}
	if _, err := x509.ParseCertificate(der); err == nil {
		return "a certificate", "give the private key that belongs to it"
	}
	if _, err := x509.ParseCertificateRequest(der); err == nil {
		return "a certificate request", "give the private key that belongs to it"
	}
	return "", ""
}

// curveKind names the curve of an EC key that cannot be used.
func curveKind(params asn1.RawValue) (what, mend string) {
	if params.Class == asn1.ClassUniversal && params.Tag == asn1.TagSequence {
		for _, curve := range []elliptic.Curve{elliptic.P256(), elliptic.P384(), elliptic.P521()} {
			if bytes.Contains(params.FullBytes, curve.Params().P.Bytes()) {
				return "an EC key that spells its curve out (explicit parameters)", MendCurve
			}
		}
		return "an EC key that spells its curve out (explicit parameters), and it is none of P-256, P-384 and P-521", MendNew
	}
	id := oid(params)
	switch name := curveNames[id]; {
	case id == "" || name == "P-256" || name == "P-384" || name == "P-521":
		return "", ""
	case name != "":
		return "an EC key on the curve " + name + ", where P-256, P-384 or P-521 is needed", MendNew
	}
	return "an EC key on another curve than P-256, P-384 and P-521", MendNew
}

// unreadableKind is the error of data that is neither PEM nor JSON.
func unreadableKind(data []byte) error {
	if len(data) > 0 && data[0] == 0x30 {
		what, mend := kindOf(data)
		if what == "" {
			what, mend = "DER", MendDER
		}
		return Error("it is %s: %s", what, mend)
	}
	data = secret.Content(data)
	text := string(data[:min(len(data), 64)])
	for _, known := range []struct{ begins, what, mend string }{
		{"ssh-", "an OpenSSH public key", MendPublic},
		{"ecdsa-sha2-", "an OpenSSH public key", MendPublic},
		{"---- BEGIN SSH2 PUBLIC KEY", "an SSH public key", MendPublic},
		{"PuTTY-User-Key-File", "a key of PuTTY", MendNew},
		{"\xfe\xed\xfe\xed", "a Java key store", MendNew},
		{"\xce\xce\xce\xce", "a Java key store", MendNew},
		{"\xff\xfe", "text in UTF-16, as some shells of Windows write it", MendUTF16},
		{"\xfe\xff", "text in UTF-16, as some shells of Windows write it", MendUTF16},
	} {
		if strings.HasPrefix(text, known.begins) {
			return Error("it is %s: %s", known.what, known.mend)
		}
	}
	if der, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(string(data)), "")); err == nil && len(der) > 32 && der[0] == 0x30 {
		return Error("it is base64 without the lines BEGIN and END: convert it with openssl base64 -d -in FILE | openssl pkey -inform DER -out key.pem (with -A after -d where it is one line)")
	}
	return Error("it is neither PEM nor a JWK: give a private key in one of these forms, as redoxworker keys new writes them")
}

// openSSHKind is the error of a key in OpenSSH's own form: a magic, the names of cipher and
// derivation, their options, a count, and the public half, which begins with the type.
func openSSHKind(body []byte) error {
	rest, ok := bytes.CutPrefix(body, []byte("openssh-key-v1\x00"))
	field := func() (f []byte) {
		if len(rest) < 4 || uint64(len(rest)-4) < uint64(binary.BigEndian.Uint32(rest)) {
			rest = nil
			return nil
		}
		n := 4 + int(binary.BigEndian.Uint32(rest))
		f, rest = rest[4:n], rest[n:]
		return f
	}
	if ok {
		field()
		field()
		field()
		rest = rest[min(4, len(rest)):]
		rest = field()
		switch kind := string(field()); kind {
		case "", "ssh-rsa", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521":
		default:
			return Error("it is an OpenSSH key of type %.40q, which is neither RSA nor EC: %s", kind, MendNew)
		}
	}
	return Error("it is in OpenSSH's own form: %s", MendOpenSSH)
}
