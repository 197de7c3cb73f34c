package auth_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"

	"github.com/redoxworker/redoxworker/auth"
)

// agentKey signs by an SSH agent, which may keep its keys in a token or a module behind
// PKCS #11. Agents hash the message themselves: an RSA key signs RS256 or RS512, an EC key
// with the hash of its curve.
type agentKey struct {
	socket string
	key    ssh.PublicKey
}

func (a agentKey) Public() crypto.PublicKey {
	if k, ok := a.key.(ssh.CryptoPublicKey); ok {
		return k.CryptoPublicKey()
	}
	return nil
}

func (a agentKey) Sign(ctx context.Context, message []byte, opts crypto.SignerOpts) ([]byte, error) {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "unix", a.socket)
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close() }()
	if end, ok := ctx.Deadline(); ok {
		_ = conn.SetDeadline(end)
	}
	_, isRSA := a.Public().(*rsa.PublicKey)
	var flags agent.SignatureFlags // an EC key knows its hash
	switch {
	case isRSA && opts.HashFunc() == crypto.SHA256:
		flags = agent.SignatureFlagRsaSha256
	case isRSA && opts.HashFunc() == crypto.SHA512:
		flags = agent.SignatureFlagRsaSha512
	}
	signed, err := agent.NewClient(conn).SignWithFlags(a.key, message, flags)
	if err != nil || isRSA {
		return signedBlob(signed), err
	}
	var point struct{ R, S *big.Int }
	if err := ssh.Unmarshal(signed.Blob, &point); err != nil {
		return nil, err
	}
	return asn1.Marshal(point)
}

func signedBlob(s *ssh.Signature) []byte {
	if s == nil {
		return nil
	}
	return s.Blob
}

// startAgent serves an agent with the keys on a socket.
func startAgent(keys ...crypto.Signer) (socket string, stop func(), err error) {
	dir, err := os.MkdirTemp("", "agent")
	if err != nil {
		return "", nil, err
	}
	ring, socket := agent.NewKeyring(), filepath.Join(dir, "agent.sock")
	for _, k := range keys {
		err = errors.Join(err, ring.Add(agent.AddedKey{PrivateKey: k}))
	}
	listener, listenErr := net.Listen("unix", socket)
	if err = errors.Join(err, listenErr); err != nil {
		return "", nil, errors.Join(err, os.RemoveAll(dir))
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			_ = agent.ServeAgent(ring, conn) // until the client has closed it
			_ = conn.Close()
		}
	}()
	return socket, func() { _, _, _ = listener.Close(), os.RemoveAll(dir), <-done }, nil
}

// A key in an SSH agent, for a server that takes ES256.
func ExampleSigner() {
	private, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	socket, stop, err := startAgent(private) // $SSH_AUTH_SOCK
	if err != nil {
		fmt.Println(err)
		return
	}
	defer stop()
	server := redox()
	defer server.Close()
	public, _ := ssh.NewPublicKey(private.Public())

	key, err := auth.NewKey(agentKey{socket, public}, "agent-1", auth.ES256)
	if err != nil {
		fmt.Println(err)
		return
	}
	oauth, err := auth.NewOAuth("client id", key, auth.OAuthConfig{TokenURL: server.URL + "/v2/auth/token"})
	if err != nil {
		fmt.Println(err)
		return
	}
	token, err := oauth.Mint(context.Background())
	fmt.Println(token.Lifetime(), err, oauth.KeyInUse())
	// Output: 5m0s <nil> ES256 key "agent-1"
}

// What an agent can sign is taken, and what it cannot is explained.
func TestSigner_SSHAgent(t *testing.T) {
	t.Parallel()
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	of := map[auth.Algorithm]crypto.Signer{auth.RS256: rsaKey, auth.RS512: rsaKey, auth.RS384: rsaKey}
	for a, curve := range map[auth.Algorithm]elliptic.Curve{auth.ES256: elliptic.P256(), auth.ES384: elliptic.P384(), auth.ES512: elliptic.P521()} {
		if of[a], err = ecdsa.GenerateKey(curve, rand.Reader); err != nil {
			t.Fatal(err)
		}
	}
	socket, stop, err := startAgent(rsaKey, of[auth.ES256], of[auth.ES384], of[auth.ES512])
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	server := redox()
	defer server.Close()
	for a, private := range of {
		public, err := ssh.NewPublicKey(private.Public())
		if err != nil {
			t.Fatal(err)
		}
		key, err := auth.NewKey(agentKey{socket, public}, "k", a)
		if err != nil {
			t.Fatal(err)
		}
		oauth, err := auth.NewOAuth("client", key, auth.OAuthConfig{TokenURL: server.URL + "/v2/auth/token"})
		if err != nil {
			t.Fatal(err)
		}
		_, err = oauth.Mint(t.Context())
		if _, refused := errors.AsType[*auth.SignError](err); refused != (a == auth.RS384) || err != nil && !refused {
			t.Errorf("%s: %v", a, err)
		}
	}
}
