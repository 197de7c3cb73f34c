package auth

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"maps"
	"strings"
	"testing"
)

func pemOf(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

func pkcs8(private any) []byte {
	return pemOf("PRIVATE KEY", must(x509.MarshalPKCS8PrivateKey(private)))
}

func sec1(p *ecdsa.PrivateKey) []byte {
	return pemOf("EC PRIVATE KEY", must(x509.MarshalECPrivateKey(p)))
}

// jwkOf returns a private JWK with some members changed; a nil one is removed.
func jwkOf(k Key, changes map[string]any) []byte {
	m := map[string]any{}
	if err := json.Unmarshal(must(k.MarshalJWK()), &m); err != nil {
		panic(err)
	}
	maps.Copy(m, changes)
	maps.DeleteFunc(m, func(_ string, v any) bool { return v == nil })
	return must(json.Marshal(m))
}

func jwkSet(jwks ...[]byte) []byte {
	raw := []json.RawMessage{}
	for _, j := range jwks {
		raw = append(raw, j)
	}
	return must(json.Marshal(map[string]any{"keys": raw}))
}

func TestParsePrivateKey_Taken(t *testing.T) {
	t.Parallel()
	r, e := rsaNumbers(), ecNumbers()
	ecParams := pemOf("EC PARAMETERS", []byte{0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22})
	for name, c := range map[string]struct {
		data   []byte
		id     string
		wantID string
		alg    Algorithm
	}{
		"PKCS#8 RSA":               {pkcs8(r), "k1", "k1", RS384},
		"PKCS#8 EC":                {pkcs8(e), "k1", "k1", ES384},
		"PKCS#8 as PKCS#1":         {pemOf("RSA PRIVATE KEY", must(x509.MarshalPKCS8PrivateKey(r))), "k1", "k1", RS384},
		"SEC1 as PKCS#8":           {pemOf("PRIVATE KEY", must(x509.MarshalECPrivateKey(e))), "k1", "k1", ES384},
		"PKCS#1":                   {pemOf("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(r)), "k1", "k1", RS384},
		"SEC1":                     {sec1(e), "k1", "k1", ES384},
		"SEC1 after parameters":    {append(ecParams, sec1(e)...), "k1", "k1", ES384},
		"PEM without kid":          {pkcs8(r), "", "", RS384},
		"PEM with CRLF":            {[]byte(strings.ReplaceAll(string(pkcs8(e)), "\n", "\r\n")), "k1", "k1", ES384},
		"PEM on one line":          {[]byte(strings.ReplaceAll(string(pkcs8(e)), "\n", `\n`)), "k1", "k1", ES384},
		"PEM on one line, CRLF":    {[]byte(strings.ReplaceAll(string(pkcs8(e)), "\n", `\r\n`)), "k1", "k1", ES384},
		"PEM with BOM and space":   {append([]byte("\xef\xbb\xbf \n"), pkcs8(e)...), "k1", "k1", ES384},
		"PEM after openssl's text": {append([]byte("Private-Key: (384 bit)\npriv:\n    00:01\n"), sec1(e)...), "k1", "k1", ES384},
		"PEM with a certificate":   {append(pemOf("CERTIFICATE", []byte("x")), pkcs8(e)...), "k1", "k1", ES384},
		"JWK RSA":                  {jwkOf(rsaKey("j1"), nil), "", "j1", RS384},
		"JWK EC":                   {jwkOf(ecKey("j1"), nil), "", "j1", ES384},
		"JWK with the same kid":    {jwkOf(ecKey("j1"), nil), "j1", "j1", ES384},
		"JWK without kid":          {jwkOf(ecKey("j1"), map[string]any{"kid": nil}), "k1", "k1", ES384},
		"JWK without any kid":      {jwkOf(ecKey("j1"), map[string]any{"kid": nil}), "", "", ES384},
		"JWK without alg and use":  {jwkOf(ecKey("j1"), map[string]any{"alg": nil, "use": nil}), "", "j1", ES384},
		"JWK with key_ops":         {jwkOf(rsaKey("j1"), map[string]any{"use": nil, "key_ops": []string{"sign"}}), "", "j1", RS384},
		"JWK with x5u, unvisited":  {jwkOf(ecKey("j1"), map[string]any{"x5u": "http://localhost:1/x"}), "", "j1", ES384},
		"JWK set with one":         {jwkSet(jwkOf(ecKey("j1"), nil)), "", "j1", ES384},
		"JWK set, public and ours": {jwkSet(must(rsaKey("p").PublicJWK()), jwkOf(ecKey("j1"), nil)), "", "j1", ES384},
		"JWK set, named":           {jwkSet(jwkOf(rsaKey("j2"), nil), jwkOf(ecKey("j1"), nil)), "j2", "j2", RS384},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k, err := ParsePrivateKey(c.data, c.id)
			if err != nil {
				t.Fatal(err)
			}
			if k.ID() != c.wantID || k.Algorithm() != c.alg {
				t.Errorf("got %s, want %s with kid %q", k, c.alg, c.wantID)
			}
			want := ecKey("").Thumbprint()
			if c.alg == RS384 {
				want = rsaKey("").Thumbprint()
			}
			if k.Thumbprint() != want {
				t.Error("the numbers are others")
			}
		})
	}
}

// refusals are data that are no usable key, and a part of the mend.
func refusals() map[string]struct {
	data []byte
	id   string
	want string
} {
	p224, p256 := must(ecdsa.GenerateKey(elliptic.P224(), rand.Reader)), must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	_, ed, _ := ed25519.GenerateKey(rand.Reader)
	encrypted := pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Headers: map[string]string{"Proc-Type": "4,ENCRYPTED"}, Bytes: []byte("x")})
	two := append(pkcs8(ecNumbers()), pkcs8(rsaNumbers())...)
	tampered := jwkOf(rsaKey("j"), map[string]any{"p": json.RawMessage(must(json.Marshal("AQAB")))})
	otherD := must(ecdsa.GenerateKey(elliptic.P384(), rand.Reader))
	var d map[string]any
	_ = json.Unmarshal(jwkOf(must(newKey(otherD, "")), nil), &d)
	type refusal = struct {
		data []byte
		id   string
		want string
	}
	return map[string]refusal{
		"empty":                {nil, "k", "write the private key into it"},
		"white space":          {[]byte(" \n\t"), "k", "write the private key into it"},
		"garbage":              {[]byte("hunter2-hunter2"), "k", "in one of these forms"},
		"DER":                  {must(x509.MarshalPKCS8PrivateKey(ecNumbers())), "k", "openssl pkey -inform DER"},
		"too large":            {make([]byte, 70000), "k", "right file"},
		"cut off":              {pkcs8(rsaNumbers())[:200], "k", "copy the file again"},
		"lines joined":         {[]byte(strings.ReplaceAll(string(pkcs8(ecNumbers())), "\n", " ")), "k", "copy the file again"},
		"damaged inside":       {pemOf("PRIVATE KEY", []byte("not DER")), "k", "copy the file again"},
		"public PEM":           {pemOf("PUBLIC KEY", must(x509.MarshalPKIXPublicKey(&rsaNumbers().PublicKey))), "k", "give the private one"},
		"certificate":          {pemOf("CERTIFICATE", []byte("x")), "k", "give the private key"},
		"other block":          {pemOf("X509 CRL", []byte("x")), "k", "give the private key"},
		"encrypted PKCS#8":     {pemOf("ENCRYPTED PRIVATE KEY", []byte("x")), "k", "without a passphrase"},
		"encrypted PKCS#1":     {encrypted, "k", "without a passphrase"},
		"OpenSSH":              {pemOf("OPENSSH PRIVATE KEY", []byte("x")), "k", "ssh-keygen"},
		"DSA":                  {pemOf("DSA PRIVATE KEY", []byte("x")), "k", "it is a DSA key: make another key"},
		"two keys":             {two, "k", "keep one"},
		"P-224":                {pkcs8(p224), "k", "redoxworker keys new"},
		"Ed25519":              {pkcs8(ed), "k", "it is an Ed25519 key: make another key"},
		"RSA 1024":             {pkcs8(must(rsa.GenerateKey(rand.Reader, 1024))), "k", "make another key"},
		"kid too long":         {pkcs8(ecNumbers()), strings.Repeat("k", 300), "a shorter one"},
		"kid with control":     {pkcs8(ecNumbers()), "a\nb", "remove that"},
		"JSON list":            {[]byte(`[{}]`), "k", "give one JWK"},
		"JSON cut off":         {[]byte(`{"kty":"EC","d":"AAAA`), "k", "copy the file again"},
		"empty object":         {[]byte(`{}`), "k", "make another key"},
		"JWK public":           {must(ecKey("j").PublicJWK()), "", "give the private one"},
		"JWK oct":              {[]byte(`{"kty":"oct","k":"c2VjcmV0"}`), "", "make another key"},
		"JWK OKP":              {[]byte(`{"kty":"OKP","crv":"Ed25519","x":"AA","d":"AA"}`), "", "make another key"},
		"JWK P-256, ES384":     {jwkOf(must(newKey(p256, "j")), map[string]any{"alg": "ES384"}), "", "this key is good for ES256"},
		"JWK with other d":     {jwkOf(ecKey("j"), map[string]any{"d": d["d"]}), "", "download or generate it again"},
		"JWK RSA tampered":     {tampered, "", "download or generate it again"},
		"JWK RSA only d":       {jwkOf(rsaKey("j"), map[string]any{"p": nil, "q": nil}), "", "give a complete one, or PEM"},
		"JWK EC without y":     {jwkOf(ecKey("j"), map[string]any{"y": nil}), "", "give a complete one"},
		"JWK RSA huge":         {jwkOf(rsaKey("j"), map[string]any{"n": strings.Repeat("A", 4000)}), "", "make another key"},
		"JWK three primes":     {jwkOf(rsaKey("j"), map[string]any{"oth": []any{map[string]any{"r": "AQ", "d": "AQ", "t": "AQ"}}}), "", "make another key"},
		"JWK for encryption":   {jwkOf(rsaKey("j"), map[string]any{"use": "enc"}), "", "make another key"},
		"JWK for verification": {jwkOf(rsaKey("j"), map[string]any{"use": nil, "key_ops": []string{"verify"}}), "", "make another key"},
		"JWK with RSA-OAEP":    {jwkOf(rsaKey("j"), map[string]any{"alg": "RSA-OAEP"}), "", "PS512, RS256"},
		"JWK with ES384":       {jwkOf(rsaKey("j"), map[string]any{"alg": "ES384"}), "", "this key is good for PS256, PS384, PS512, RS256, RS384 or RS512"},
		"JWK with other kid":   {jwkOf(rsaKey("j"), nil), "k", "remove one of the two"},
		"JWK set empty":        {[]byte(`{"keys":[]}`), "", "give the private half"},
		"JWK set public":       {jwkSet(must(ecKey("j").PublicJWK())), "j", "give the private half"},
		"JWK set of two":       {jwkSet(jwkOf(ecKey("a"), nil), jwkOf(rsaKey("b"), nil)), "", "name one"},
		"JWK set, none named":  {jwkSet(jwkOf(ecKey("a"), nil)), "b", `with kid "b": give`},
	}
}

func TestParsePrivateKey_Refused(t *testing.T) {
	t.Parallel()
	for name, c := range refusals() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k, err := ParsePrivateKey(c.data, c.id)
			if !errors.Is(err, ErrKey) || !k.IsZero() {
				t.Fatalf("got %v and %v", k, err)
			}
			if !strings.HasPrefix(err.Error(), "auth: unusable private key: ") {
				t.Errorf("the error reads %q", err)
			}
			if !strings.Contains(err.Error(), c.want) {
				t.Errorf("the error reads %q, want %q in it", err, c.want)
			}
			if len(err.Error()) > 700 || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("the error quotes the data: %q", err)
			}
		})
	}
}

func FuzzParsePrivateKey(f *testing.F) {
	for _, c := range refusals() {
		f.Add(c.data, c.id)
	}
	f.Add(pkcs8(ecNumbers()), "k")
	f.Add(jwkOf(ecKey("k"), nil), "")
	f.Add(jwkOf(rsaKey("k"), nil), "")
	f.Add(jwkSet(jwkOf(ecKey("k"), nil)), "k")
	f.Fuzz(func(t *testing.T, data []byte, id string) {
		k, err := ParsePrivateKey(data, id)
		if err != nil {
			if !errors.Is(err, ErrKey) || !k.IsZero() {
				t.Fatalf("key %v with error %v", k, err)
			}
			return
		}
		if id != "" && k.ID() != id {
			t.Fatalf("kid %q became %q", id, k.ID())
		}
		again, err := ParsePrivateKey(must(k.MarshalPEM()), k.ID())
		if err != nil || again.Thumbprint() != k.Thumbprint() {
			t.Fatalf("written and read again: %v", err)
		}
		if _, err := (assertion{clientID: "c", audience: "a", lifetime: defaultAssertionLifetime}).sign(t.Context(), k, fixedNow); err != nil {
			t.Fatalf("a key that was taken cannot sign: %v", err)
		}
	})
}
