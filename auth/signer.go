package auth

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"
	"strconv"
	"time"

	"github.com/redoxworker/redoxworker/auth/internal/answer"
	"github.com/redoxworker/redoxworker/auth/internal/guard"
	"github.com/redoxworker/redoxworker/auth/internal/keyfile"
)

// maxSigning is how many calls of one Signer may be under way, those that were given up
// included.
const maxSigning = 16

// Signer signs with a private key that need not be in this process: it may be in a
// cloud's key management, a hardware module, Vault or an agent. [NewKey] makes a [Key] of
// it, which works wherever one from a file does; [CryptoSigner] makes a Signer of a
// [crypto.Signer].
//
// Its methods must be safe for concurrent use.
type Signer interface {
	// Public returns the public half, an *rsa.PublicKey or *ecdsa.PublicKey. NewKey
	// calls it once; it does not block.
	Public() crypto.PublicKey
	// Sign signs message, which it hashes with opts.HashFunc() first. An
	// [*rsa.PSSOptions] asks for PSS, else an RSA key signs as PKCS#1 v1.5 has it. The
	// signature of an EC key is in ASN.1, as crypto.Signer has it, or r and s one
	// after the other, as JOSE has it.
	//
	// It should return when ctx ends. A call that does not is abandoned when its time is
	// up; there are at most 16 such calls at a time, and further ones wait.
	Sign(ctx context.Context, message []byte, opts crypto.SignerOpts) ([]byte, error)
}

// cryptoSigner adapts a crypto.Signer.
type cryptoSigner struct{ signer crypto.Signer }

// CryptoSigner returns s as a [Signer]. A [crypto.MessageSigner] gets the message,
// any other its digest.
func CryptoSigner(s crypto.Signer) Signer { return cryptoSigner{s} }

func (c cryptoSigner) Public() crypto.PublicKey { return c.signer.Public() }

func (c cryptoSigner) Sign(_ context.Context, message []byte, opts crypto.SignerOpts) ([]byte, error) {
	return crypto.SignMessage(c.signer, rand.Reader, message, opts)
}

// NewKey returns a Key that signs with s. id is the kid under which its public half is registered,
// a the algorithm to sign with; "" means RS384, ES256, ES384 or ES512, by the kind of the key. A
// key of an unsupported kind or size is an error that wraps [ErrKey].
//
// Every signature is checked before it is used. A call of s that fails, panics,
// takes longer than [OAuthConfig.SignTimeout] or returns something else than a
// signature of this key is a [*SignError].
func NewKey(s Signer, id string, a Algorithm) (Key, error) {
	if c, ok := s.(cryptoSigner); guard.IsNil(s) || ok && guard.IsNil(c.signer) {
		return Key{}, keyfile.Error("there is no Signer: give one, or CryptoSigner of a crypto.Signer")
	}
	if err := checkKeyID(id); err != nil {
		return Key{}, err
	}
	var public crypto.PublicKey
	if err := guard.Call("the signer", func() { public = s.Public() }); err != nil {
		return Key{}, keyfile.Error("its public half cannot be had: %w", unprefixed(err))
	}
	switch p := public.(type) { // some return what a pointer points to
	case ecdsa.PublicKey:
		public = &p
	case nil:
		return Key{}, keyfile.Error("the signer has no public half: give it one, an *rsa.PublicKey or *ecdsa.PublicKey")
	}
	if guard.IsNil(public) {
		return Key{}, keyfile.Error("the signer has no public half: give it one, an *rsa.PublicKey or *ecdsa.PublicKey")
	}
	if err := checkPublic(public); err != nil {
		return Key{}, err
	}
	k := Key{&key{far: &elsewhere{s, make(chan struct{}, maxSigning)}, public: public, algorithm: defaultOf(public), id: id}}
	return k.With(a)
}

// errElsewhere is the error of what only a private key in this process can do.
func errElsewhere() error {
	return keyfile.Error("its private half is behind a Signer and cannot be written: use the public half")
}

// SignError says that a [Signer] gave no signature. The endpoint was not asked.
type SignError struct {
	// KeyID and Algorithm are the key's.
	KeyID     string
	Algorithm Algorithm
	// Err is the Signer's error, or what is wrong with its signature. Its text is
	// shown shortened, without what looks like a secret.
	Err error

	mend string
}

// Error names the key, what went wrong and the mend, in one line.
func (e *SignError) Error() string {
	text := "auth: sign " + string(e.Algorithm) + " with kid " + strconv.Quote(answer.Clip(e.KeyID, 64))
	if e.Err != nil {
		text += ": " + answer.SafeText(trimPrefix(e.Err))
	}
	return text + ": " + e.Mend()
}

// Unwrap returns Err.
func (e *SignError) Unwrap() error { return e.Err }

// Mend returns what a person can do about the error.
func (e *SignError) Mend() string {
	if e.mend != "" {
		return e.mend
	}
	return "check that the signer can be reached, and that this program may sign with the key"
}

// Attempted returns false: nothing was sent to the API.
func (e *SignError) Attempted() bool { return false }

// elsewhere is a Signer and the calls of it that are under way.
type elsewhere struct {
	signer Signer
	turns  chan struct{}
}

// signature returns the signature of text in JOSE's form. The error is a *SignError, or
// that of a context that has ended.
func (k *key) signature(ctx context.Context, timeout time.Duration, text string) ([]byte, error) {
	if k.private != nil {
		signed, err := schemes[k.algorithm].method.Sign(text, k.private)
		if err != nil {
			return nil, keyfile.Error("%s cannot sign: %w", Key{k}, err)
		}
		return signed, nil
	}
	cause := fmt.Errorf("no signature after %s", timeout)
	limited, cancel := context.WithTimeoutCause(ctx, timeout, cause)
	defer cancel()
	signed, err := k.far.call(limited, []byte(text), schemes[k.algorithm].opts)
	switch {
	case err != nil && ctx.Err() != nil:
		return nil, fmt.Errorf("auth: waiting for a signature: %w", context.Cause(ctx))
	case errors.Is(err, errBusy):
		return nil, &SignError{k.id, k.algorithm, err, "check why the signer does not return, and restart this program if it never does"}
	case err != nil && limited.Err() != nil:
		return nil, &SignError{k.id, k.algorithm, cause, "check that the signer can be reached, and give it more time if it is that slow (SignTimeout)"}
	case err != nil:
		return nil, &SignError{KeyID: k.id, Algorithm: k.algorithm, Err: err}
	}
	return k.checked(text, signed)
}

// errBusy is the failure to call a signer of which too many calls do not return.
var errBusy = fmt.Errorf("%d calls of the signer have not returned", maxSigning)

// call calls the signer in a goroutine of its own, which it leaves alone when ctx ends.
func (r *elsewhere) call(ctx context.Context, message []byte, opts crypto.SignerOpts) ([]byte, error) {
	select {
	case r.turns <- struct{}{}:
	case <-ctx.Done():
		return nil, errBusy
	}
	type result struct {
		signed []byte
		err    error
	}
	done := make(chan result, 1)
	go func() {
		got := result{nil, errors.New("the signer did not return")} // where it ends its goroutine
		defer func() {
			<-r.turns
			done <- got
		}()
		defer guard.Recover("the signer", &got.err)
		got.signed, got.err = r.signer.Sign(ctx, message, opts)
	}()
	select {
	case got := <-done:
		return got.signed, got.err
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// checked returns a signature in JOSE's form if it is the key's of text.
func (k *key) checked(text string, signed []byte) ([]byte, error) {
	of := schemes[k.algorithm]
	signed = joseForm(signed, of)
	if of.method.Verify(text, signed, k.public) == nil {
		return signed, nil
	}
	why := "what the signer returned is no signature of this key"
	mend := "check that Public returns the public half of the key that signs, and that the hash and the padding are those that are asked for"
	for _, other := range Algorithms() {
		if of := schemes[other]; of.fits(k.public) && of.method.Verify(text, signed, k.public) == nil {
			why, mend = "the signer signed "+string(other), "have it sign "+string(k.algorithm)+", or set the algorithm to "+string(other)
		}
	}
	h := of.opts.HashFunc().New()
	h.Write([]byte(text))
	if of.method.Verify(string(h.Sum(nil)), signed, k.public) == nil {
		why, mend = "the signer hashed what was hashed already", "give it the message, or say that it gets a digest"
	}
	return nil, &SignError{k.id, k.algorithm, errors.New(why), mend}
}

// joseForm makes r and s, one after the other, of an EC signature in ASN.1.
func joseForm(signed []byte, of scheme) []byte {
	if of.curve == nil {
		return signed
	}
	var point struct{ R, S *big.Int }
	rest, err := asn1.Unmarshal(signed, &point)
	size := (of.curve.Params().BitSize + 7) / 8
	if err != nil || len(rest) > 0 || point.R.Sign() < 0 || point.S.Sign() < 0 || point.R.BitLen() > 8*size || point.S.BitLen() > 8*size {
		return signed
	}
	jose := make([]byte, 2*size)
	point.R.FillBytes(jose[:size])
	point.S.FillBytes(jose[size:])
	return jose
}
