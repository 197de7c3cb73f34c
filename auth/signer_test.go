package auth

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// signerFunc is a Signer whose Sign is a function.
type signerFunc struct {
	public crypto.PublicKey
	sign   func(ctx context.Context, message []byte, opts crypto.SignerOpts) ([]byte, error)
}

func (s signerFunc) Public() crypto.PublicKey { return s.public }
func (s signerFunc) Sign(ctx context.Context, message []byte, opts crypto.SignerOpts) ([]byte, error) {
	return s.sign(ctx, message, opts)
}

// raw is a Signer that returns r and s one after the other, as some clouds do.
func raw(of *ecdsa.PrivateKey) Signer {
	return signerFunc{of.Public(), func(_ context.Context, message []byte, opts crypto.SignerOpts) ([]byte, error) {
		h := opts.HashFunc().New()
		h.Write(message)
		r, s, err := ecdsa.Sign(rand.Reader, of, h.Sum(nil))
		size := (of.Params().BitSize + 7) / 8
		return append(r.FillBytes(make([]byte, size)), s.FillBytes(make([]byte, size))...), err
	}}
}

// Every algorithm by a key of this process and by one that is elsewhere: a strict server takes
// it, and the public set says it.
func TestAlgorithms_EachByEachKindOfKey(t *testing.T) {
	t.Parallel()
	for _, a := range Algorithms() {
		keys := map[string]Key{
			"here":      must(must(newKey(numbersFor(a), "k")).With(a)),
			"elsewhere": must(NewKey(CryptoSigner(numbersFor(a)), "k", a)),
		}
		if of, ok := numbersFor(a).(*ecdsa.PrivateKey); ok {
			keys["elsewhere, r and s"] = must(NewKey(raw(of), "k", a))
			keys["elsewhere, by default"] = must(NewKey(CryptoSigner(of), "k", ""))
		}
		for where, k := range keys {
			s := newStandIn(t, k)
			s.methods = []string{string(a)}
			o := newTestOAuth(t, s, k, OAuthConfig{Algorithm: a})
			for range 8 { // r and s are shorter now and then
				if _, err := o.Mint(t.Context()); err != nil {
					t.Errorf("%s %s: %v", a, where, err)
				}
			}
			rec := httptest.NewRecorder()
			NewJWKSHandler(o.Keys, 0).ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "/", nil))
			if text := rec.Body.String(); !strings.Contains(text, `"alg": "`+string(a)+`"`) || strings.Contains(text, `"d"`) {
				t.Errorf("%s %s: the set is %s", a, where, text)
			}
			if checks := o.Check(t.Context()); len(checks) != 1 || !checks[0].OK() || checks[0].Algorithm != a {
				t.Errorf("%s %s: %+v", a, where, checks)
			}
		}
	}
}

// A key of one kind signs none of the other's, however it is asked for.
func TestAlgorithms_WrongPairsAreRefused(t *testing.T) {
	t.Parallel()
	for _, of := range Algorithms() {
		k := must(newKey(numbersFor(of), "k"))
		for _, asked := range Algorithms() {
			right := defaultOf(k.Public()) == asked || schemes[of].curve == nil && schemes[asked].curve == nil
			_, with := k.With(asked)
			_, oauth := NewOAuth("c", k, OAuthConfig{Algorithm: asked})
			_, next := NewOAuth("c", must(must(newKey(numbersFor(asked), "other")).With(asked)), OAuthConfig{Algorithm: asked, Next: k})
			_, signer := NewKey(CryptoSigner(numbersFor(of)), "k", asked)
			for _, err := range []error{with, oauth, next, signer} {
				if (err == nil) != right || err != nil && !strings.Contains(err.Error(), "change one of the two") {
					t.Errorf("%s key for %s: %v", of, asked, err)
				}
			}
		}
	}
}

// An algorithm that nobody asked for is used where every server takes it.
func TestAlgorithms_OthersAreAskedFor(t *testing.T) {
	t.Parallel()
	for _, of := range []Algorithm{ES256, ES512} {
		k := must(newKey(numbersFor(of), "k"))
		if _, err := NewOAuth("c", k, OAuthConfig{}); err == nil || !strings.Contains(err.Error(), "set the algorithm to "+string(of)) {
			t.Errorf("%s: %v", of, err)
		}
		for _, asked := range []Key{must(k.With(of)), must(ParsePrivateKey(must(k.MarshalJWK()), "")), must(NewKey(CryptoSigner(numbersFor(of)), "k", of))} {
			if o, err := NewOAuth("c", asked, OAuthConfig{}); err != nil || o.KeyInUse().Algorithm() != of {
				t.Errorf("%s: %v", of, err)
			}
		}
		o := must(NewOAuth("c", rsaKey("r"), OAuthConfig{}))
		if err := o.SetKeys(k, Key{}); err == nil {
			t.Errorf("%s: taken when set", of)
		}
	}
}

// failing are Signers that do not sign, and what the error says.
func failing() map[string]struct {
	sign func(ctx context.Context, message []byte, opts crypto.SignerOpts) ([]byte, error)
	says []string
} {
	type sign = func(ctx context.Context, message []byte, opts crypto.SignerOpts) ([]byte, error)
	by := func(of crypto.Signer, change func([]byte, crypto.SignerOpts) ([]byte, crypto.SignerOpts)) sign {
		return func(_ context.Context, message []byte, opts crypto.SignerOpts) ([]byte, error) {
			message, opts = change(message, opts)
			return crypto.SignMessage(of, rand.Reader, message, opts)
		}
	}
	same := func(m []byte, o crypto.SignerOpts) ([]byte, crypto.SignerOpts) { return m, o }
	return map[string]struct {
		sign sign
		says []string
	}{
		"an error": {func(context.Context, []byte, crypto.SignerOpts) ([]byte, error) {
			return nil, errors.New("access denied\nsession=eyJhbGciOiJSUzM4NCJ9abcdef.x")
		}, []string{"access denied [redacted]", "may sign with the key"}},
		"a panic":            {func(context.Context, []byte, crypto.SignerOpts) ([]byte, error) { panic(hostileValue) }, []string{"panicked with a string"}},
		"the goroutine ends": {func(context.Context, []byte, crypto.SignerOpts) ([]byte, error) { runtime.Goexit(); return nil, nil }, []string{"did not return"}},
		"nothing":            {func(context.Context, []byte, crypto.SignerOpts) ([]byte, error) { return nil, nil }, []string{"no signature of this key"}},
		"another key":        {by(rsaNumbers2(), same), []string{"no signature of this key", "check that Public"}},
		"another padding": {by(rsaNumbers(), func(m []byte, o crypto.SignerOpts) ([]byte, crypto.SignerOpts) {
			return m, schemes[PS384].opts
		}), []string{"the signer signed PS384", "have it sign RS384"}},
		"another hash": {by(rsaNumbers(), func(m []byte, o crypto.SignerOpts) ([]byte, crypto.SignerOpts) {
			return m, crypto.SHA256
		}), []string{"the signer signed RS256"}},
		"hashed twice": {by(rsaNumbers(), func(m []byte, o crypto.SignerOpts) ([]byte, crypto.SignerOpts) {
			h := o.HashFunc().New()
			h.Write(m)
			return h.Sum(nil), o
		}), []string{"hashed what was hashed already", "give it the message"}},
		"no answer": {func(ctx context.Context, _ []byte, _ crypto.SignerOpts) ([]byte, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}, []string{"no signature after 10s", "give it more time"}},
	}
}

func TestSigner_FailuresAreExplained(t *testing.T) {
	t.Parallel()
	for name, c := range failing() {
		synctest.Test(t, func(t *testing.T) {
			s := newStandIn(t, rsaKey("k"))
			k := must(NewKey(signerFunc{rsaNumbers().Public(), c.sign}, "k", RS384))
			o := newTestOAuth(t, s, k, OAuthConfig{})
			begun := time.Now()
			_, err := o.Mint(t.Context())
			e, ok := errors.AsType[*SignError](err)
			if !ok || e.KeyID != "k" || e.Mend() == "" || e.Attempted() || classOf(err) != temporary || time.Since(begun) > 10*time.Second {
				t.Errorf("%s: after %s: %v", name, time.Since(begun), err)
			}
			for _, want := range append(c.says, `auth: sign RS384 with kid "k": `) {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%s: %v\nwant %q", name, err, want)
				}
			}
			if strings.ContainsAny(err.Error(), "\r\n") || strings.Contains(err.Error(), "eyJ") || strings.Contains(err.Error(), hostileValue) {
				t.Errorf("%s: %q", name, err)
			}
			if asked, _ := s.counts(); asked != 0 {
				t.Errorf("%s: the endpoint was asked", name)
			}
			cache := must(NewCache(o, CacheConfig{}))
			defer stop(t, cache)
			if _, err := cache.Bearer(t.Context()); err == nil {
				t.Errorf("%s: a token", name)
			}
			if got := cache.Status(); got.Mend != e.Mend() || got.KeyID != "k" || got.Usable {
				t.Errorf("%s: status %+v", name, got)
			}
			if checks := o.Check(t.Context()); checks[0].OK() || checks[0].Mend != e.Mend() {
				t.Errorf("%s: %+v", name, checks)
			}
		})
	}
}

// The next key signs while the first cannot, whatever either is.
func TestSigner_TheOtherKeyTakesOver(t *testing.T) {
	t.Parallel()
	for name, c := range failing() {
		synctest.Test(t, func(t *testing.T) {
			s, log, told := newStandIn(t, rsaKey("far"), ecKey("near")), &logBook{}, &tally{}
			far := must(NewKey(signerFunc{rsaNumbers().Public(), c.sign}, "far", RS384))
			o := newTestOAuth(t, s, far, OAuthConfig{Next: ecKey("near"), Logger: log.logger(), Metrics: told, Name: "main"})
			for range 3 {
				if _, err := o.Mint(t.Context()); err != nil {
					t.Errorf("%s: %v", name, err)
				}
			}
			if o.KeyInUse().ID() != "near" || told.of("fell back main") != 1 || strings.Count(log.String(), "refused_kid=far used_kid=near") != 1 {
				t.Errorf("%s: %s in use, log:\n%s", name, o.KeyInUse(), log)
			}
			s.set(func() { delete(s.keys, "near") })
			_, err := o.Mint(t.Context())
			if err == nil || !strings.Contains(err.Error(), "both keys failed") || !strings.Contains(err.Error(), "Public key not found") {
				t.Errorf("%s: %v", name, err)
			}
		})
	}
}

// A signer that never returns costs its callers their time and a bounded number of goroutines;
// when it signs again so do they.
func TestSigner_OneThatHangsIsBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		hangs := make(chan struct{})
		var calls atomic.Int32 // each of them has a goroutine
		k := must(NewKey(signerFunc{rsaNumbers().Public(), func(_ context.Context, message []byte, opts crypto.SignerOpts) ([]byte, error) {
			calls.Add(1)
			<-hangs
			return crypto.SignMessage(rsaNumbers(), rand.Reader, message, opts)
		}}, "k", RS384))
		o := newTestOAuth(t, newStandIn(t, rsaKey("k")), k, OAuthConfig{SignTimeout: time.Second})
		for i := range 100 {
			begun := time.Now()
			_, err := o.Mint(t.Context())
			e, ok := errors.AsType[*SignError](err)
			if took := time.Since(begun); !ok || took != time.Second {
				t.Fatalf("after %s: %v", took, err)
			}
			if busy := strings.Contains(e.Error(), "16 calls of the signer have not returned"); busy != (i >= maxSigning) {
				t.Fatalf("call %d: %v", i, err)
			}
		}
		if n := calls.Load(); n != maxSigning {
			t.Errorf("%d calls are left", n)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		if _, err := o.Mint(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("the caller's end: %v", err)
		}
		close(hangs)
		synctest.Wait()
		if _, err := o.Mint(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// One slow signer is none of the others' business.
func TestSigner_ANeighbourNoticesNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newStandIn(t, ecKey("near"))
		far := must(NewKey(signerFunc{rsaNumbers().Public(), failing()["no answer"].sign}, "far", RS384))
		slow := must(NewCache(newTestOAuth(t, s, far, OAuthConfig{}), CacheConfig{}))
		defer stop(t, slow)
		go func() { _, _ = slow.Bearer(t.Context()) }()
		synctest.Wait()
		begun := time.Now()
		c := must(NewCache(newTestOAuth(t, s, must(NewKey(CryptoSigner(ecNumbers()), "near", "")), OAuthConfig{}), CacheConfig{}))
		if bearer(t, c); time.Since(begun) != 0 {
			t.Errorf("waited %s", time.Since(begun))
		}
	})
}

func TestNewKey_Refuses(t *testing.T) {
	t.Parallel()
	var noKey *rsa.PrivateKey
	public := func(p crypto.PublicKey) Signer { return signerFunc{public: p} }
	weak := must(rsa.GenerateKey(rand.Reader, 1024))
	n := rsaNumbers().N
	for name, c := range map[string]struct {
		signer Signer
		id     string
		want   string
	}{
		"nil":              {nil, "k", "there is no Signer"},
		"nil crypto":       {CryptoSigner(nil), "k", "there is no Signer"},
		"typed nil":        {CryptoSigner(noKey), "k", "there is no Signer"},
		"no public half":   {public(nil), "k", "has no public half"},
		"nil public half":  {public((*rsa.PublicKey)(nil)), "k", "has no public half"},
		"a panic":          {CryptoSigner(hostileSigner{}), "k", "panicked with a string"},
		"1024 bits":        {CryptoSigner(weak), "k", "has 1024 bits"},
		"2047 bits":        {public(&rsa.PublicKey{N: new(big.Int).Rsh(n, 1), E: 65537}), "k", "has 2047 bits"},
		"16384 bits":       {public(&rsa.PublicKey{N: new(big.Int).Lsh(big.NewInt(1), 16383), E: 65537}), "k", "has 16384 bits"},
		"exponent 1":       {public(&rsa.PublicKey{N: n, E: 1}), "k", "exponent 1"},
		"even exponent":    {public(&rsa.PublicKey{N: n, E: 65536}), "k", "exponent 65536"},
		"no modulus":       {public(&rsa.PublicKey{E: 3}), "k", "without a modulus"},
		"P-224":            {CryptoSigner(must(ecdsa.GenerateKey(elliptic.P224(), rand.Reader))), "k", "curve P-224"},
		"no curve":         {public(&ecdsa.PublicKey{}), "k", "without a curve"},
		"no point":         {public(&ecdsa.PublicKey{Curve: elliptic.P384()}), "k", "no point of its curve"},
		"Ed25519":          {CryptoSigner(must2(ed25519.GenerateKey(rand.Reader))), "k", "neither RSA nor EC"},
		"something else":   {public("key"), "k", "neither RSA nor EC"},
		"kid with control": {CryptoSigner(ecNumbers()), "a\n", "control character"},
	} {
		k, err := NewKey(c.signer, c.id, "")
		if !errors.Is(err, ErrKey) || !strings.Contains(err.Error(), c.want) || !k.IsZero() || strings.Contains(err.Error(), hostileValue) {
			t.Errorf("%s: %v", name, err)
		}
	}
	k := must(NewKey(public(ecNumbers().PublicKey), "k", "")) // not a pointer
	_, asPEM := k.MarshalPEM()
	_, asJWK := k.MarshalJWK()
	for _, err := range []error{asPEM, asJWK, WriteKeyFile(t.TempDir()+"/k.pem", k)} {
		if !errors.Is(err, ErrKey) || !strings.Contains(err.Error(), "behind a Signer") {
			t.Errorf("got %v", err)
		}
	}
	if k.Thumbprint() != ecKey("k").Thumbprint() {
		t.Error("another thumbprint")
	}
}

func must2[P, T any](_ P, v T, err error) T { return must(v, err) }

type hostileSigner struct{}

func (hostileSigner) Public() crypto.PublicKey { panic(hostileValue) }
func (hostileSigner) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) {
	panic(hostileValue)
}
