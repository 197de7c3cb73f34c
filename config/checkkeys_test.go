package config

import (
	"strings"
	"testing"
)

const publicJWK = `{"kty":"EC","crv":"P-384","kid":"jwk-1","x":"a","y":"b"}`

var privateJWK = strings.Replace(publicJWK, `"x"`, `"d":"hunter2","x"`, 1)

const oneSource = "sources: {a: {id: 7ce6f387-c33c-417d-8682-81e83628cbd9, key: main}}\n"

// wrongKeys lists sections keys and what is said of them.
var wrongKeys = []struct {
	name, keys string
	want       []string
}{
	{"nothing", "keys: {main: }", []string{
		"keys.main.client_id: is missing; copy it from Redox's dashboard (redoxworker.yaml:1)",
		"keys.main.private_key: is missing; set it, or keys.main.private_key_file; make one with `redoxworker keys new` (redoxworker.yaml:1)",
		"keys.main.kid: is missing; set the key id that Redox knows this key by (redoxworker.yaml:1)"}},
	{"no kid", "keys: {main: {client_id: c, private_key_file: key.pem}}", []string{
		"keys.main.kid: is missing; set the key id that Redox knows this key by (redoxworker.yaml:1)"}},
	{"file missing", "keys: {main: {client_id: c, private_key_file: nowhere}}", []string{
		`keys.main.private_key_file: file "nowhere" does not exist; check the path and who may read it (redoxworker.yaml:1)`}},
	{"file empty", "keys: {main: {client_id: c, private_key_file: empty}}", []string{
		`keys.main.private_key_file: file "empty" is empty; fill it, or name another file (redoxworker.yaml:1)`}},
	{"public JWK", "keys: {main: {client_id: c, kid: k, private_key_file: public.jwk}}", []string{
		"keys.main.private_key_file: is a public JWK; give the private half, which has a d (redoxworker.yaml:1)"}},
	{"kid of another key", "keys: {main: {client_id: c, kid: k, private_key: '" + privateJWK + "'}}", []string{
		`keys.main.kid: "k" is not the kid of the JWK; use the key id that Redox knows this key by, or leave kid out (redoxworker.yaml:1)`}},
	{"key set", `keys: {main: {client_id: c, kid: k, private_key: '{"keys":[]}'}}`, []string{
		"keys.main.private_key: is a set of keys; give one JWK (redoxworker.yaml:1)"}},
	{"damaged JWK", `keys: {main: {client_id: c, kid: k, private_key: '{"kty":hunter2'}}`, []string{
		"keys.main.private_key: is not a JWK: its JSON is damaged; give the JWK that `redoxworker keys new` wrote (redoxworker.yaml:1)"}},
	{"other JSON", `keys: {main: {client_id: c, kid: k, private_key: '{}'}}`, []string{
		"keys.main.private_key: is not a JWK: it has no kty; give the JWK that `redoxworker keys new` wrote (redoxworker.yaml:1)"}},
	{"public PEM", "keys: {main: {client_id: c, kid: k, private_key: '-----BEGIN PUBLIC KEY-----'}}", []string{
		"keys.main.private_key: holds no private key; give the private half, a PRIVATE KEY block (redoxworker.yaml:1)"}},
	{"encrypted", "keys: {main: {client_id: c, kid: k, private_key: '-----BEGIN ENCRYPTED PRIVATE KEY-----'}}", []string{
		"keys.main.private_key: is protected by a passphrase; decrypt it with openssl pkey, and keep the file private (redoxworker.yaml:1)"}},
	{"path as value", "keys: {main: {client_id: c, kid: k, private_key: key.pem}}", []string{
		"keys.main.private_key: is neither PEM nor a JWK; give a private key; a path belongs in keys.main.private_key_file (redoxworker.yaml:1)"}},
	{"both", "keys: {main: {client_id: c, kid: k, private_key: '-----BEGIN PRIVATE KEY-----', private_key_file: key.pem}}", []string{
		"keys.main.private_key: is given by value and by file; keep keys.main.private_key or keys.main.private_key_file (redoxworker.yaml:1)"}},
	{"type", "keys: {main: {type: oatuh, client_id: c, pool: 99}}", []string{
		`keys.main.type: "oatuh" is not one of oauth, legacy, user; did you mean oauth? (redoxworker.yaml:1)`}},
	{"legacy without secret", "keys: {main: {type: legacy, api_key: k}}", []string{
		"keys.main.secret: is missing; set it, or keys.main.secret_file; copy it from Redox's dashboard (redoxworker.yaml:1)"}},
	{"legacy without anything", "keys: {main: {type: legacy}}", []string{
		"keys.main.api_key: is missing; set it, or keys.main.api_key_file; copy it from Redox's dashboard (redoxworker.yaml:1)",
		"keys.main.secret: is missing; set it, or keys.main.secret_file; copy it from Redox's dashboard (redoxworker.yaml:1)"}},
	{"fields of another type", "keys: {main: {type: legacy, api_key: a, secret_file: secret.txt, kid: k, next: {kid: x}}}", []string{
		"keys.main.kid: is not used by a key of type legacy; remove it, or set keys.main.type (redoxworker.yaml:1)",
		"keys.main.next.kid: is not used by a key of type legacy; remove it, or set keys.main.type (redoxworker.yaml:1)"}},
	{"legacy fields of an oauth key", "keys: {main: {client_id: c, kid: k, private_key_file: key.pem, secret: hunter2}}", []string{
		"keys.main.secret: is not used by a key of type oauth; remove it, or set keys.main.type (redoxworker.yaml:1)"}},
	{"next without key", "keys: {main: {client_id: c, kid: k, private_key_file: key.pem, next: {kid: k}}}", []string{
		"keys.main.next.private_key: is missing; set it, or keys.main.next.private_key_file; or remove next (redoxworker.yaml:1)",
		`keys.main.next.kid: "k" is the kid of the current key, too; give each key pair its own (redoxworker.yaml:1)`}},
	{"next without kid", "keys: {main: {client_id: c, kid: k, private_key_file: key.pem, next: {private_key_file: key.pem}}}", []string{
		"keys.main.next.kid: is missing; set the key id that Redox knows this key by (redoxworker.yaml:1)"}},
	{"pool per request", "keys: {main: {client_id: c, kid: k, private_key_file: key.pem, mode: per-request, pool: 2}}", []string{
		"keys.main.pool: has no use with mode per-request; remove it, or set keys.main.mode to cached (redoxworker.yaml:1)"}},
	{"name", "keys: {main: {client_id: c, kid: k, private_key_file: key.pem}, Prod_Key: {}}", []string{
		`keys.Prod_Key: "Prod_Key" is not a name; use 1 to 64 of a-z, 0-9 and - (redoxworker.yaml:1)`}},
	{"misspelt", "keys: {main: {clientid: hunter2, kid: k, private_key_file: key.pem}}", []string{
		"keys.main.clientid: unknown key; did you mean keys.main.client_id? (redoxworker.yaml:1)",
		"keys.main.client_id: is missing; copy it from Redox's dashboard (redoxworker.yaml:1)"}},
	{"not a section", "keys: 5", []string{
		"keys: must be a section with keys below it, not a plain value; write its keys on lines of their own, indented (redoxworker.yaml:1)",
		`sources.a.key: no key is called "main"; add keys.main (redoxworker.yaml:2)`}},
}

func TestLoad_Keys(t *testing.T) {
	t.Parallel()
	for _, tt := range wrongKeys {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			file := writeConfig(t, tt.keys+"\n"+oneSource)
			dir := strings.TrimSuffix(file, "redoxworker.yaml")
			write(t, dir, "empty", " \n\t\n")
			write(t, dir, "public.jwk", publicJWK)
			diff(t, tt.want, problemsOf(t, Options{File: file}))
		})
	}
}

// Editors of Windows put a byte order mark in front.
func TestLoad_SecretFilesWithAMark(t *testing.T) {
	t.Parallel()
	file := writeConfig(t, "keys: {main: {client_id: c, private_key_file: private.jwk}}\nnats: {token_file: token}\n"+oneSource)
	dir := strings.TrimSuffix(file, "redoxworker.yaml")
	write(t, dir, "private.jwk", "\ufeff"+privateJWK)
	write(t, dir, "token", "\ufefft0ken\r\n")
	c := mustLoad(t, Options{File: file})
	if k := c.Keys["main"]; k.KID != "jwk-1" || k.PrivateKey.Reveal() != privateJWK || c.NATS.Token.Reveal() != "t0ken" {
		t.Errorf("kid %q, a key of %d bytes, a token of %d", k.KID, len(k.PrivateKey.Reveal()), len(c.NATS.Token.Reveal()))
	}
}

func TestLoad_KIDFromJWK(t *testing.T) {
	t.Parallel()
	file := writeConfig(t, "keys: {main: {client_id: c, private_key_file: private.jwk, next: {private_key_file: next.jwk}}}\n"+oneSource)
	dir := strings.TrimSuffix(file, "redoxworker.yaml")
	write(t, dir, "private.jwk", privateJWK)
	write(t, dir, "next.jwk", strings.Replace(privateJWK, "jwk-1", "jwk-2", 1))
	c := mustLoad(t, Options{File: file})
	if k := c.Keys["main"]; k.KID != "jwk-1" || k.Next.KID != "jwk-2" || k.PrivateKey.Reveal() != privateJWK {
		t.Errorf("kid %q, next %q", k.KID, k.Next.KID)
	}
	if w := c.Warnings(); len(w) != 0 {
		t.Errorf("warnings: %v", w)
	}
}
