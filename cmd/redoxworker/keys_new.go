package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/redoxworker/redoxworker/auth"
	"github.com/redoxworker/redoxworker/cmd/redoxworker/internal/cli"
)

// keysNewCommand makes a key pair.
type keysNewCommand struct {
	Algorithm string      `enum:"RS256,RS384,RS512,PS256,PS384,PS512,ES256,ES384,ES512" default:"RS384" help:"RS384 (RSA, 3072 bits) or ES384 (EC, P-384); for other servers than Redox also RS256, RS512, PS256, PS384, PS512, ES256 or ES512."`
	KID       string      `name:"kid" placeholder:"ID" help:"Id under which Redox knows the key. Default: its thumbprint."`
	Out       cli.OutFile `short:"o" required:"" placeholder:"FILE" help:"New file for the private key: PEM, or JWK when it ends in .json or .jwk."`
}

// Run writes the private key and prints the public one. Making an RSA key takes a moment,
// so whether the file can be had is looked at first.
func (k keysNewCommand) Run(_ context.Context, a *cli.App) error {
	if _, err := os.Lstat(string(k.Out)); err == nil {
		return k.taken()
	}
	key, err := auth.GenerateKey(auth.Algorithm(k.Algorithm), k.KID)
	if err != nil {
		return cli.Usagef("--kid: %w", err)
	}
	public, err := key.PublicJWK()
	if err != nil {
		return err
	}
	if err := auth.WriteKeyFile(string(k.Out), key); errors.Is(err, fs.ErrExist) {
		return k.taken()
	} else if err != nil {
		return cli.Usagef("--out: %w; name a file in a directory that you may write to", err)
	}
	if err := a.PrintText(public); err != nil {
		return err
	}
	k.explain(a, key)
	return nil
}

func (k keysNewCommand) taken() error {
	return cli.Usagef("--out: %s exists and is not overwritten; name another file", k.Out)
}

func (k keysNewCommand) explain(a *cli.App, key auth.Key) {
	algorithm := "" // what a PEM does not say
	if key.Algorithm() != auth.RS384 && key.Algorithm() != auth.ES384 {
		algorithm = ", algorithm: " + string(key.Algorithm())
	}
	fmt.Fprintf(a.Stderr, `wrote %[1]s: the private key (%[2]s), readable by its owner only; keep it secret and out of version control
next:
  1. in Redox's dashboard make an OAuth API key, paste the public JWK that was printed into it, and save it
     (or give it a JWKS URL instead: see redoxworker keys jwks --help)
  2. tell redoxworker, with the client id that the dashboard shows:
       keys:
         main: {client_id: CLIENT_ID, kid: %[3]q, private_key_file: %[1]q%[4]s}
  3. try it: redoxworker keys check --config redoxworker.yaml
`, k.Out, keyText(key), key.ID(), algorithm)
}
