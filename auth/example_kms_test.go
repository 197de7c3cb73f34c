package auth_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"

	"github.com/redoxworker/redoxworker/auth"
)

// kmsKey signs by an HTTP API, as those of the clouds are: it gets a digest and returns a
// signature, and the private key never leaves it.
type kmsKey struct {
	url    string // of the key
	client *http.Client
	public crypto.PublicKey // fetched once, when the program starts
}

func (k kmsKey) Public() crypto.PublicKey { return k.public }

// Sign hashes here, so that any length of message is good for the API.
func (k kmsKey) Sign(ctx context.Context, message []byte, opts crypto.SignerOpts) ([]byte, error) {
	h := opts.HashFunc().New()
	h.Write(message)
	padding := "PKCS1_V1_5"
	if _, pss := opts.(*rsa.PSSOptions); pss {
		padding = "PSS"
	}
	body, err := json.Marshal(map[string]any{"hash": opts.HashFunc().String(), "padding": padding, "digest": h.Sum(nil)})
	if err != nil {
		return nil, err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, k.url+":sign", bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	resp, err := k.client.Do(r)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("the KMS says %s", resp.Status)
	}
	var answer struct{ Signature []byte }
	err = json.NewDecoder(io.LimitReader(resp.Body, 64<<10)).Decode(&answer)
	return answer.Signature, err
}

// newKMS is such a service, with one RSA key.
func newKMS(private *rsa.PrivateKey) *httptest.Server {
	hashes := map[string]crypto.Hash{"SHA-256": crypto.SHA256, "SHA-384": crypto.SHA384, "SHA-512": crypto.SHA512}
	return httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var ask struct {
			Hash, Padding string
			Digest        []byte
		}
		err := json.NewDecoder(r.Body).Decode(&ask)
		hash := hashes[ask.Hash]
		if err != nil || hash == 0 {
			http.Error(w, "which hash?", http.StatusBadRequest)
			return
		}
		var opts crypto.SignerOpts = hash
		if ask.Padding == "PSS" {
			opts = &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: hash}
		}
		signed, err := private.Sign(rand.Reader, ask.Digest, opts)
		if err != nil {
			http.Error(w, "no", http.StatusInternalServerError)
			return
		}
		_ = json.NewEncoder(w).Encode(map[string][]byte{"Signature": signed})
	}))
}

// A key in a cloud's key management signs for a server that wants PS384. Rotation, fall-back,
// checks and the public set are as for keys in files.
func ExampleNewKey() {
	private, _ := rsa.GenerateKey(rand.Reader, 2048)
	kms := newKMS(private)
	defer kms.Close()
	server := redox()
	defer server.Close()

	key, err := auth.NewKey(kmsKey{kms.URL + "/keys/redox", kms.Client(), private.Public()}, "kms-1", auth.PS384)
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

	kms.Close() // now it is down
	_, err = oauth.Mint(context.Background())
	fmt.Println(err != nil, oauth.Check(context.Background())[0].Mend)
	// Output:
	// 5m0s <nil> PS384 key "kms-1"
	// true check that the signer can be reached, and that this program may sign with the key
}
