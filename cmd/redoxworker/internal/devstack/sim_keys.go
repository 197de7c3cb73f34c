package devstack

import (
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"

	"github.com/redoxworker/redoxworker/auth"
	"github.com/redoxworker/redoxworker/cmd/redoxworker/internal/cli"
	"github.com/redoxworker/redoxworker/worker/redoxsim"
)

// addKeys makes the keys of the flags known to the simulator, and says which they are.
func (c SimCommand) addKeys(redox *redoxsim.Server) ([]string, error) {
	if err := c.checkKeys(); err != nil {
		return nil, err
	}
	var known []string
	for _, set := range []struct {
		flag, client, about string
		files               []string
		add                 func(clientID, kid string, pub crypto.PublicKey) error
	}{
		{"key", c.ClientID, "", c.Key, redox.AddOAuthKey},
		{"user-key", c.UserClientID, ", for the Platform API", c.UserKey, redox.AddUserKey},
	} {
		for _, file := range set.files {
			kid, public, err := readPublicKey(file, c.KID)
			if err != nil {
				return nil, cli.Usagef("--%s: %w", set.flag, err)
			}
			if err := set.add(set.client, kid, public); err != nil {
				return nil, cli.Usagef("--%s: %w", set.flag, err)
			}
			known = append(known, fmt.Sprintf("client id %s with kid %s%s", set.client, kid, set.about))
		}
	}
	if c.JWKS != "" {
		set, err := os.ReadFile(c.JWKS)
		if err != nil {
			return nil, cli.Usagef("--jwks: %w", err)
		}
		if err := redox.AddJWKS(c.ClientID, set); err != nil {
			return nil, cli.Usagef("--jwks: %w", err)
		}
		known = append(known, fmt.Sprintf("client id %s with the keys in %s", c.ClientID, c.JWKS))
	}
	if c.JWKSURL != "" {
		redox.AddJWKSURL(c.ClientID, c.JWKSURL)
		known = append(known, fmt.Sprintf("client id %s with the keys at %s", c.ClientID, c.JWKSURL))
	}
	if c.LegacyKey != "" {
		redox.AddLegacyKey(c.LegacyKey, c.LegacySecret)
		known = append(known, "legacy API key "+c.LegacyKey)
	}
	return known, nil
}

// checkKeys finds flags that make no sense without each other.
func (c SimCommand) checkKeys() error {
	hasKeys := len(c.Key) > 0 || c.JWKS != "" || c.JWKSURL != ""
	switch {
	case hasKeys && c.ClientID == "":
		return cli.Usagef("--client-id: give the client id that the keys belong to")
	case !hasKeys && c.ClientID != "":
		return cli.Usagef("--client-id: give the client's public keys too, with --key, --jwks or --jwks-url")
	case c.JWKSURL != "" && (len(c.Key) > 0 || c.JWKS != ""):
		return cli.Usagef("--jwks-url: Redox ignores other keys of a client that has a URL; leave --key and --jwks out")
	case (len(c.UserKey) > 0) != (c.UserClientID != ""):
		return cli.Usagef("--user-client-id and --user-key: give both or neither")
	case c.UserClientID != "" && c.UserClientID == c.ClientID:
		return cli.Usagef("--user-client-id: it is that of --client-id, and a client id is of one level; give another")
	case (c.LegacyKey == "") != (c.LegacySecret == ""):
		return cli.Usagef("--legacy-key and --legacy-secret: give both or neither")
	}
	return nil
}

// readPublicKey reads the public half of a key: from a public PEM, or from the private key
// that redoxworker itself uses.
func readPublicKey(file, kid string) (string, crypto.PublicKey, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return "", nil, err
	}
	var public crypto.PublicKey
	if block, _ := pem.Decode(data); block != nil && block.Type == "PUBLIC KEY" {
		if public, err = x509.ParsePKIXPublicKey(block.Bytes); err != nil {
			return "", nil, fmt.Errorf("%s: not a public key: %w", file, err)
		}
	} else {
		key, err := auth.ParsePrivateKey(data, kid)
		if err != nil {
			return "", nil, fmt.Errorf("%s: %w (a public JWK goes into a set, with --jwks)", file, err)
		}
		kid, public = key.ID(), key.Public()
	}
	if kid == "" {
		return "", nil, fmt.Errorf("%s names no key id; give it with --kid", file)
	}
	return kid, public, nil
}
