package auth

import (
	"crypto/elliptic"
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"strings"
	"testing"

	"github.com/redoxworker/redoxworker/auth/internal/keyfile"
)

func der(v any) []byte { return must(asn1.Marshal(v)) }

// algorithm is an AlgorithmIdentifier.
type algorithm struct {
	ID     asn1.ObjectIdentifier
	Params asn1.RawValue `asn1:"optional"`
}

// pkcs8Of is a PKCS#8 structure of any kind of key.
func pkcs8Of(id asn1.ObjectIdentifier, params ...any) []byte {
	a := algorithm{ID: id}
	if len(params) > 0 {
		a.Params = asn1.RawValue{FullBytes: der(params[0])}
	}
	return der(struct {
		Version   int
		Algorithm algorithm
		Key       []byte
	}{0, a, []byte("0123456789abcdef")})
}

// explicitCurve is the part of explicit parameters that tells the curve: its prime.
func explicitCurve(c elliptic.Curve) any {
	return struct{ P any }{struct{ P []byte }{c.Params().P.Bytes()}}
}

func sec1With(params []byte) []byte {
	return der(struct {
		Version int
		Key     []byte
		Params  asn1.RawValue
	}{1, []byte("0123456789abcdef"), asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 0, IsCompound: true, Bytes: params}})
}

func openSSH(kind string) []byte {
	text := func(s string) string { return string(binary.BigEndian.AppendUint32(nil, uint32(len(s)))) + s }
	return []byte("openssh-key-v1\x00" + text("none") + text("none") + text("") + "\x00\x00\x00\x01" + text(text(kind)+"numbers") + text("private"))
}

// Each file is named for what it is, with a mend that was tried with openssl or ssh-keygen.
func TestParsePrivateKey_SaysWhatTheFileIs(t *testing.T) {
	t.Parallel()
	ec := asn1.ObjectIdentifier{1, 2, 840, 10045, 2, 1}
	pbes2 := algorithm{ID: asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 13}}
	public := must(x509.MarshalPKIXPublicKey(&ecNumbers().PublicKey))
	private := must(x509.MarshalPKCS8PrivateKey(ecNumbers()))
	for name, c := range map[string]struct {
		der         []byte
		what, mends string
	}{
		"RSA-PSS":             {pkcs8Of(asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 10}), "an RSA-PSS key", keyfile.MendNew},
		"DSA":                 {pkcs8Of(asn1.ObjectIdentifier{1, 2, 840, 10040, 4, 1}), "a DSA key", keyfile.MendNew},
		"DSA, traditional":    {der([]int{0, 1, 2, 3, 4, 5}), "a DSA key", keyfile.MendNew},
		"X25519":              {pkcs8Of(asn1.ObjectIdentifier{1, 3, 101, 110}), "an X25519 key", keyfile.MendNew},
		"Ed25519":             {pkcs8Of(asn1.ObjectIdentifier{1, 3, 101, 112}), "an Ed25519 key", keyfile.MendNew},
		"ML-DSA":              {pkcs8Of(asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 3, 18}), "an ML-DSA key", keyfile.MendNew},
		"secp256k1":           {pkcs8Of(ec, asn1.ObjectIdentifier{1, 3, 132, 0, 10}), "secp256k1", keyfile.MendNew},
		"secp256k1, SEC1":     {sec1With(der(asn1.ObjectIdentifier{1, 3, 132, 0, 10})), "secp256k1", keyfile.MendNew},
		"P-224":               {pkcs8Of(ec, asn1.ObjectIdentifier{1, 3, 132, 0, 33}), "P-224", keyfile.MendNew},
		"brainpool":           {pkcs8Of(ec, asn1.ObjectIdentifier{1, 3, 36, 3, 3, 2, 8, 1, 1, 11}), "brainpoolP384r1", keyfile.MendNew},
		"another curve":       {pkcs8Of(ec, asn1.ObjectIdentifier{1, 2, 3, 4}), "another curve", keyfile.MendNew},
		"explicit P-384":      {pkcs8Of(ec, explicitCurve(elliptic.P384())), "explicit parameters", keyfile.MendCurve},
		"explicit P-256":      {pkcs8Of(ec, explicitCurve(elliptic.P256())), "explicit parameters", keyfile.MendCurve},
		"explicit, SEC1":      {sec1With(der(explicitCurve(elliptic.P384()))), "explicit parameters", keyfile.MendCurve},
		"explicit P-224":      {pkcs8Of(ec, explicitCurve(elliptic.P224())), "it is none of P-256, P-384 and P-521", keyfile.MendNew},
		"public":              {public, "the public half", keyfile.MendPublic},
		"encrypted in DER":    {der(struct{ A, B any }{pbes2, []byte("x")}), "encrypted", "openssl pkey -inform DER"},
		"PKCS#12":             {der(struct{ V, A any }{3, algorithm{ID: asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 1}}}), "a PKCS#12 container", keyfile.MendPKCS12},
		"a good key":          {private, "DER", keyfile.MendDER},
		"a good key, SEC1":    {must(x509.MarshalECPrivateKey(ecNumbers())), "DER", keyfile.MendDER},
		"OpenSSH public":      {[]byte("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5 a@b"), "an OpenSSH public key", keyfile.MendPublic},
		"PuTTY":               {[]byte("PuTTY-User-Key-File-3: ssh-rsa\n"), "a key of PuTTY", keyfile.MendNew},
		"Java":                {[]byte("\xfe\xed\xfe\xed\x00\x00"), "a Java key store", keyfile.MendNew},
		"UTF-16":              {[]byte("\xff\xfe-\x00-\x00-\x00"), "in UTF-16", keyfile.MendUTF16},
		"UTF-16, big endian":  {[]byte("\xfe\xff\x00-\x00-\x00-"), "in UTF-16", keyfile.MendUTF16},
		"base64 alone":        {[]byte(base64.StdEncoding.EncodeToString(private)), "without the lines BEGIN and END", "openssl base64 -d"},
		"OpenSSH, RSA":        {pemOf("OPENSSH PRIVATE KEY", openSSH("ssh-rsa")), "OpenSSH's own form", keyfile.MendOpenSSH},
		"OpenSSH, Ed25519":    {pemOf("OPENSSH PRIVATE KEY", openSSH("ssh-ed25519")), `of type "ssh-ed25519"`, keyfile.MendNew},
		"OpenSSH, cut off":    {pemOf("OPENSSH PRIVATE KEY", openSSH("ssh-rsa")[:20]), "OpenSSH's own form", keyfile.MendOpenSSH},
		"certificate request": {pemOf("CERTIFICATE REQUEST", []byte("x")), "a certificate request", "private key"},
		"EC parameters":       {pemOf("EC PARAMETERS", []byte("x")), "no key", keyfile.MendNew},
		"PGP":                 {pemOf("PGP PRIVATE KEY BLOCK", []byte("x")), "a PGP key", keyfile.MendNew},
		"PGP, as gpg writes":  {[]byte("-----BEGIN PGP PRIVATE KEY BLOCK-----\n\neA==\n=iV0r\n-----END PGP PRIVATE KEY BLOCK-----\n"), "a PGP key", keyfile.MendNew},
		"PGP public":          {[]byte("-----BEGIN PGP PUBLIC KEY BLOCK-----\n\neA==\n=iV0r\n-----END PGP PUBLIC KEY BLOCK-----\n"), "a PGP key", keyfile.MendNew},
		"NATS credentials":    {[]byte("-----BEGIN NATS USER JWT-----\neA==\n------END NATS USER JWT------\n"), "no PRIVATE KEY block", "give the private key"},
		"PEM cut off":         {[]byte("-----BEGIN PRIVATE KEY-----\neA==\n"), "cut off", "copy the file again"},
	} {
		forms := map[string][]byte{"as it is": c.der}
		if c.der[0] == 0x30 && c.what != "DER" {
			forms["in PEM"] = pemOf("PRIVATE KEY", c.der)
		}
		for form, data := range forms {
			_, err := ParsePrivateKey(data, "k")
			if !errors.Is(err, ErrKey) || !strings.Contains(err.Error(), c.what) || !strings.Contains(err.Error(), c.mends) {
				t.Errorf("%s, %s: %v\nwant %q and %q", name, form, err, c.what, c.mends)
			}
		}
	}
}
