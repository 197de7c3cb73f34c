package config

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
)

func (l *loader) checkKeys(c *Config) {
	if len(c.Keys) == 0 && l.skip&PartKeys == 0 && c.SourcesDir == "" && !l.failedBelow("keys") {
		l.problem("keys", "no key is configured", "name one below keys, with its client_id, kid and private_key_file")
	}
	l.checkKeyEntries(c)
}

func (l *loader) checkKeyEntries(c *Config) {
	for _, name := range slices.Sorted(maps.Keys(c.Keys)) {
		k := c.Keys[name]
		at := "keys." + name + "."
		for _, f := range fields {
			if f.kind == kindSecretFile && f.section() == "keys" && f.has(k.Type) {
				l.checkTwice(f.named(name))
			}
		}
		if l.skip&PartKeys != 0 || k.Type == "" { // no type: it could not be read
			continue
		}
		if k.Type == KeyLegacy {
			l.require(at+"api_key", "copy it from Redox's dashboard")
			l.require(at+"secret", "copy it from Redox's dashboard")
			continue
		}
		l.require(at+"client_id", "copy it from Redox's dashboard")
		l.require(at+"private_key", "make one with `redoxworker keys new`")
		l.checkPrivateKey(at, &k.KID, k.PrivateKey)
		l.checkNext(at, &k)
		if k.Mode == ModePerRequest && k.Pool > 1 {
			l.problem(at+"pool", "has no use with mode per-request", "remove it, or set "+at+"mode to cached")
		}
		c.Keys[name] = k
	}
}

// require finds a key that is given neither by value nor by file.
func (l *loader) require(key, mend string) {
	if l.isGiven(key) || l.failed[key] || l.failed[key+"_file"] {
		return
	}
	if f, _ := fieldOf(key); f.kind == kindSecret {
		mend = "set it, or " + key + "_file; " + mend
	}
	l.problem(key, "is missing", mend)
}

func (l *loader) checkNext(at string, k *Key) {
	given := l.isGiven(at + "next.private_key")
	if !given && !l.isSet(at+"next.kid") {
		return
	}
	if !given && !l.failed[at+"next.private_key"] && !l.failed[at+"next.private_key_file"] {
		l.problem(at+"next.private_key", "is missing", "set it, or "+at+"next.private_key_file; or remove next")
	}
	l.checkPrivateKey(at+"next.", &k.Next.KID, k.Next.PrivateKey)
	if k.KID != "" && k.KID == k.Next.KID {
		l.problem(at+"next.kid", shown(k.KID)+" is the kid of the current key, too", "give each key pair its own")
	}
}

// checkPrivateKey looks at the outside of a private key (auth parses it), and
// takes the kid of a JWK where none is set. An unset key is reported elsewhere.
func (l *loader) checkPrivateKey(at string, kid *string, secret Secret) {
	text := secret.Reveal()
	key := l.given(at + "private_key")
	switch {
	case text == "":
	case strings.HasPrefix(text, "{"):
		l.checkJWK(at, kid, text)
	case !strings.Contains(text, "-----BEGIN") && key == at+"private_key_file": // auth says what the file is
	case !strings.Contains(text, "-----BEGIN"):
		l.problem(key, "is neither PEM nor a JWK", "give a private key; a path belongs in "+at+"private_key_file")
	case strings.Contains(text, "-----BEGIN ENCRYPTED ") || strings.Contains(text, "Proc-Type: 4,ENCRYPTED"):
		l.problem(key, "is protected by a passphrase", "decrypt it with openssl pkey, and keep the file private")
	case !strings.Contains(text, "PRIVATE KEY-----"):
		l.problem(key, "holds no private key", "give the private half, a PRIVATE KEY block")
	}
	fileFailed := l.failed[at+"private_key_file"] || l.failed[at+"private_key"]
	if *kid == "" && !l.failed[at+"kid"] && !fileFailed && (text != "" || !l.isGiven(at+"private_key")) {
		l.problem(at+"kid", "is missing", "set the key id that Redox knows this key by")
	}
}

func (l *loader) checkJWK(at string, kid *string, text string) {
	key := l.given(at + "private_key")
	var jwk struct {
		KTY  string            `json:"kty"`
		KID  string            `json:"kid"`
		D    string            `json:"d"`
		Keys []json.RawMessage `json:"keys"`
	}
	switch err := json.Unmarshal([]byte(text), &jwk); {
	case err != nil: // its text may quote the key
		l.problem(key, "is not a JWK: its JSON is damaged", "give the JWK that `redoxworker keys new` wrote")
	case jwk.Keys != nil:
		l.problem(key, "is a set of keys", "give one JWK")
	case jwk.KTY == "":
		l.problem(key, "is not a JWK: it has no kty", "give the JWK that `redoxworker keys new` wrote")
	case jwk.D == "":
		l.problem(key, "is a public JWK", "give the private half, which has a d")
	case *kid == "":
		*kid = jwk.KID
	case jwk.KID != "" && jwk.KID != *kid:
		l.problem(at+"kid", shown(*kid)+" is not the kid of the JWK", "use the key id that Redox knows this key by, or leave kid out")
	}
}
