package access

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/redoxworker/redoxworker/auth"
	"github.com/redoxworker/redoxworker/config"
)

// What a rotation replaces is held by package auth alone, which drops it.
func TestNewKeys_KeepsNoSecrets(t *testing.T) {
	t.Parallel()
	pem := newPrivateKeys(t, 2)
	c, err := config.Load(config.Options{Flags: map[string]any{
		"keys.main.client_id": "c", "keys.main.kid": "k1", "keys.main.private_key": pem[0],
		"keys.main.next.kid": "k2", "keys.main.next.private_key": pem[1],
		"keys.old.type": "legacy", "keys.old.api_key": "an-api-key", "keys.old.secret": "s3cr3t",
		"sources.a.id": "7ce6f387-c33c-417d-8682-81e83628cbd9", "sources.a.key": "main",
	}})
	if err != nil {
		t.Fatal(err)
	}
	keys := open(t, c)
	for name, k := range WithoutKeySecrets(c).Keys {
		if k.Type != c.Keys[name].Type || k.ClientID != c.Keys[name].ClientID {
			t.Errorf("%s lost more than its secrets: %+v", name, k)
		}
		for _, k := range []config.Key{k, keys.Get(name).Config} {
			if k.PrivateKey.IsSet() || k.Next.PrivateKey.IsSet() || k.APIKey.IsSet() || k.Secret.IsSet() {
				t.Errorf("%s holds its secrets: %+v", name, k)
			}
		}
	}
	if !c.Keys["main"].PrivateKey.IsSet() || !c.Keys["old"].Secret.IsSet() {
		t.Error("the caller's configuration was changed")
	}
}

// A kid that was written down stays, one that came with a JWK goes with it.
func TestCredentials_ConfiguredKID(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	key, err := auth.GenerateKey(auth.ES384, "inside")
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "key.jwk")
	if err := auth.WriteKeyFile(file, key); err != nil {
		t.Fatal(err)
	}
	for kid, want := range map[string]string{"": "", "inside": "inside"} {
		flags := map[string]any{"keys.main.client_id": "c", "keys.main.private_key_file": file}
		if kid != "" {
			flags["keys.main.kid"] = kid
		}
		c, err := config.Load(config.Options{Flags: flags, Skip: config.PartSources})
		if err != nil {
			t.Fatal(err)
		}
		if got := open(t, c).Get("main"); got.kid != want || got.OAuth.KeyInUse().ID() != "inside" {
			t.Errorf("kid %q is kept, %q in use; want %q kept", got.kid, got.OAuth.KeyInUse().ID(), want)
		}
	}
}

// The set at the admin listener is the same each time, or its ETag would say nothing.
func TestPublicKeys_InOneOrder(t *testing.T) {
	t.Parallel()
	flags := map[string]any{}
	for i, pem := range newPrivateKeys(t, 6) {
		name := fmt.Sprintf("keys.k%d.", i)
		flags[name+"client_id"], flags[name+"kid"], flags[name+"private_key"] = fmt.Sprint("c", i), fmt.Sprint("kid", i), pem
	}
	c, err := config.Load(config.Options{Flags: flags, Skip: config.PartSources})
	if err != nil {
		t.Fatal(err)
	}
	keys := open(t, c)
	for range 20 {
		var kids []string
		for _, k := range keys.Public() {
			kids = append(kids, k.ID())
		}
		if got := strings.Join(kids, " "); got != "kid0 kid1 kid2 kid3 kid4 kid5" {
			t.Fatal(got)
		}
	}
}

// open makes the credentials of a configuration.
func open(t *testing.T, c *config.Config) *Keys {
	t.Helper()
	keys, err := NewKeys(c, KeysOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

// newPrivateKeys makes key pairs and returns their private halves as PEM.
func newPrivateKeys(t *testing.T, n int) []string {
	t.Helper()
	var all []string
	for range n {
		key, err := auth.GenerateKey(auth.ES384, "k")
		if err != nil {
			t.Fatal(err)
		}
		pem, err := key.MarshalPEM()
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, string(pem))
	}
	return all
}
