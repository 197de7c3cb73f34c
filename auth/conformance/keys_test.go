package conformance

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/redoxworker/redoxworker/auth"
)

// rsaNumbers are made once: they take long to find.
var rsaNumbers = sync.OnceValues(func() (*rsa.PrivateKey, error) { return rsa.GenerateKey(rand.Reader, 3072) })

// privateFor returns a private key that is good for an algorithm.
func privateFor(t testing.TB, a auth.Algorithm) crypto.Signer {
	t.Helper()
	curves := map[auth.Algorithm]elliptic.Curve{auth.ES256: elliptic.P256(), auth.ES384: elliptic.P384(), auth.ES512: elliptic.P521()}
	var private crypto.Signer
	var err error
	if curve := curves[a]; curve != nil {
		private, err = ecdsa.GenerateKey(curve, rand.Reader)
	} else {
		private, err = rsaNumbers()
	}
	if err != nil {
		t.Fatal(err)
	}
	return private
}

// kinds are where a private key may be: in a file, as PEM, or in another process.
var kinds = []string{"file", "elsewhere"}

// keyOf returns a key for an algorithm.
func keyOf(t testing.TB, a auth.Algorithm, kind string) auth.Key {
	t.Helper()
	private := privateFor(t, a)
	var k auth.Key
	var err error
	if kind == "elsewhere" {
		k, err = auth.NewKey(newVault(t, private), kind+"-"+string(a), a)
	} else {
		der, marshalErr := x509.MarshalPKCS8PrivateKey(private)
		k, err = auth.ParsePrivateKey(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), kind+"-"+string(a))
		err = errors.Join(err, marshalErr)
	}
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// everyKey calls f for each algorithm and each place of a key.
func everyKey(t *testing.T, f func(t *testing.T, name string, a auth.Algorithm, k auth.Key)) {
	t.Helper()
	for _, a := range auth.Algorithms() {
		for _, kind := range kinds {
			name := string(a) + ", key " + kind
			t.Run(name, func(t *testing.T) { f(t, name, a, keyOf(t, a, kind)) })
		}
	}
}

// vault is a Signer that asks a service over HTTP, which gets digests alone.
type vault struct {
	url    string
	public crypto.PublicKey
}

// order is what the service is to sign, and how.
type order struct {
	Hash   crypto.Hash
	PSS    bool
	Digest []byte
}

func newVault(t testing.TB, private crypto.Signer) vault {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var o order
		if err := json.NewDecoder(r.Body).Decode(&o); err != nil {
			http.Error(w, "no order", http.StatusBadRequest)
			return
		}
		var opts crypto.SignerOpts = o.Hash
		if o.PSS {
			opts = &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: o.Hash}
		}
		signed, err := private.Sign(rand.Reader, o.Digest, opts)
		if err != nil {
			http.Error(w, "no signature", http.StatusInternalServerError)
			return
		}
		_ = json.NewEncoder(w).Encode(signed)
	}))
	t.Cleanup(s.Close)
	return vault{s.URL, private.Public()}
}

// Public serves [auth.Signer].
func (v vault) Public() crypto.PublicKey { return v.public }

// Sign serves [auth.Signer].
func (v vault) Sign(ctx context.Context, message []byte, opts crypto.SignerOpts) ([]byte, error) {
	h := opts.HashFunc().New()
	h.Write(message)
	_, pss := opts.(*rsa.PSSOptions)
	body, err := json.Marshal(order{opts.HashFunc(), pss, h.Sum(nil)})
	if err != nil {
		return nil, err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, v.url, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	resp, err := network.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return nil, errors.New("the vault says " + resp.Status)
	}
	var signed []byte
	return signed, json.NewDecoder(resp.Body).Decode(&signed)
}

// table is what servers said of each algorithm by each kind of key, printed at the end.
type table struct {
	mu   sync.Mutex
	said map[string][]string
}

func (b *table) row(name, server string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.said == nil {
		b.said = map[string][]string{}
	}
	b.said[name] = append(b.said[name], server)
}

func (b *table) print(t *testing.T) {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	var text strings.Builder
	for _, a := range auth.Algorithms() {
		for _, kind := range kinds {
			name := string(a) + ", key " + kind
			fmt.Fprintf(&text, "%-22s %s\n", name, strings.Join(b.said[name], "; "))
		}
	}
	t.Logf("assertions that were taken:\n%s", text.String())
}
