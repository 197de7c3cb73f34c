package main

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/redoxworker/redoxworker/auth"
	"github.com/redoxworker/redoxworker/auth/filewatch"
	"github.com/redoxworker/redoxworker/auth/prom"
	"github.com/redoxworker/redoxworker/auth/smart"
	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/outbox/dlq"
	"github.com/redoxworker/redoxworker/outbox/gateway"
	"github.com/redoxworker/redoxworker/outbox/topology"
)

// mend is a mistake in what a function of the libraries is given: what its error says to do,
// the error, and what comes of doing each thing that it names.
type mend struct {
	says   string
	wrong  error
	mended []error
}

func mended(says string, wrong error, after ...error) mend { return mend{says, wrong, after} }

// mendsTried are the files whose texts are all in the table.
var mendsTried = []string{
	"auth/algorithm.go", "auth/signer.go", "auth/extra.go", "auth/scopes.go", "auth/cache.go", "auth/internal/remote/remote.go", "auth/smart/client.go", "auth/legacy.go", "auth/prom/prom.go", "auth/oauth.go", "auth/rotation.go", "auth/transport.go", "auth/filewatch/watcher.go",
	"outbox/httpheader.go", "outbox/contract/prefix.go", "outbox/contract/source.go", "outbox/order.go", "outbox/policy.go", "outbox/publisher.go",
	"outbox/dlq/query.go", "outbox/dlq/replay.go", "outbox/dlq/store.go", "outbox/gateway/gateway.go", "outbox/topology/topology.go",
	"worker/config.go", "worker/sources.go", "worker/quota/config.go",
	"worker/redox/config.go", "worker/redox/targets.go", "worker/redox/transportconfig.go", "worker/redox/platform/logs.go", "worker/redox/reconcile/config.go",
	"worker/service/service.go",
}

// mendsElsewhere are texts of these files whose mends other tests follow, on a server.
var mendsElsewhere = []string{
	"outbox: dead letters cannot be told by data model and event: set dlq.Config.ReadEvent to redox.ReadEvent of worker/redox",
	"other runs are at it all the time; run this one again",
	"allow its user to subscribe to",
	"name the source",
	"look at it with the nats command",
	"run `redoxworker provision`",
	"is not that of the order key: give one of the two",
	"there is no order secret to make its token with",
	"another run is discarding it",
	"replay message %s of source",
}

// A mistake in an argument of the libraries is named with what to do about it. Whoever does
// that has no error any more.
func TestConstructors_MendsLeadSomewhere(t *testing.T) {
	t.Parallel()
	conn, js := embedded(t)
	table := slices.Concat(mendsOfAuth(t), mendsOfOutbox(t, conn, js), mendsOfWorker(js), mendsOfSources(),
		mendsOfTransport(), mendsOfReconciler(js), mendsOfService(t))
	var said []string
	done := 0
	for _, m := range table {
		if m.wrong == nil || !strings.Contains(m.wrong.Error(), m.says) {
			t.Errorf("the error is %v, want %q", m.wrong, m.says)
			continue
		}
		said = append(said, m.wrong.Error())
		done += len(m.mended)
		for i, err := range m.mended {
			if err != nil {
				t.Errorf("%s\n\tafter mend %d: %v", m.wrong, i+1, err)
			}
		}
	}
	t.Logf("%d texts, %d mends", len(said), done)
	allMendsTried(t, said)
}

// imperative finds a text that tells somebody to do something.
var imperative = regexp.MustCompile(`[:;,] (use|give|set|run|add|remove|raise|lower|ask|check|make|wait|choose|start|try|write|name|keep|leave|copy|change|allow|generate|trim|replay|discard|look|read|must be)\b|must not be`)

// allMendsTried: every such text of the files is one that was provoked.
func allMendsTried(t *testing.T, said []string) {
	t.Helper()
	verb := regexp.MustCompile(`%[-+#0-9.\[\]]*[a-zA-Z]`)
	for place, text := range literals(t, "../..") {
		name := strings.TrimPrefix(filepath.ToSlash(place), "../../")
		name, _, _ = strings.Cut(name, ":")
		if !slices.Contains(mendsTried, name) || !imperative.MatchString(text) {
			continue
		}
		if slices.ContainsFunc(mendsElsewhere, func(s string) bool { return strings.Contains(text, s) }) {
			continue
		}
		var parts []string
		for _, part := range verb.Split(text, -1) {
			parts = append(parts, regexp.QuoteMeta(part))
		}
		provoked := regexp.MustCompile(strings.Join(parts, "(?s:.*)"))
		if !slices.ContainsFunc(said, provoked.MatchString) {
			t.Errorf("%s: nobody has done what it says: %q", place, text)
		}
	}
	for _, name := range mendsTried {
		if _, err := os.Stat(filepath.Join("../..", name)); err != nil {
			t.Error(err)
		}
	}
}

// second is the error of a constructor whose product is not looked at.
func second[T any](_ T, err error) error { return err }

func mendsOfAuth(t *testing.T) []mend {
	t.Helper()
	token := auth.MinterFunc(func(context.Context) (auth.Token, error) { return auth.Token{}, nil })
	cache := func(c auth.CacheConfig) error { return second(auth.NewCache(token, c)) }
	legacy := func(c auth.LegacyConfig) error { return second(auth.NewLegacy("key", auth.NewSecret("s"), c)) }
	kept, err := auth.NewCache(token, auth.CacheConfig{})
	if err != nil {
		t.Fatal(err)
	}
	transport := func(origin string) error { return second(auth.NewTransport(kept, origin, auth.TransportConfig{})) }
	plain := func(host string) error {
		return second(auth.NewTransport(kept, "http://h", auth.TransportConfig{HTTPHosts: []string{host}}))
	}
	pair, err := auth.GenerateKey(auth.ES384, "k")
	if err != nil {
		t.Fatal(err)
	}
	discover := func(base, tokenURL string) error {
		return second(smart.New(base, "client", pair, smart.Config{OAuth: auth.OAuthConfig{TokenURL: tokenURL}}))
	}
	scopes := func(c auth.ScopesConfig) error {
		return second(auth.NewScopes(func(string) auth.Minter { return token }, c))
	}
	asked := func(scope string) error {
		s, err := auth.NewScopes(func(string) auth.Minter { return token }, auth.ScopesConfig{})
		if err != nil {
			return err
		}
		return second(s.Cache(scope))
	}
	watcher := func(c filewatch.Config) error {
		return second(filewatch.New([]string{t.TempDir()}, func() error { return nil }, c))
	}
	metrics, err := prom.New(prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	add := func(name string) error { return second(metrics.Add(named(t, name))) }
	if err := add("taken"); err != nil {
		t.Fatal(err)
	}
	return append(mendsOfOAuth(t),
		mended("give what NewOAuth or NewLegacy returned, or a MinterFunc", second(auth.NewCache(nil, auth.CacheConfig{})), cache(auth.CacheConfig{})),
		mended("pool is -1: give 1 to 64", cache(auth.CacheConfig{Pool: -1}), cache(auth.CacheConfig{Pool: 1}), cache(auth.CacheConfig{Pool: 64})),
		mended("pool is 65: give 1 to 64", cache(auth.CacheConfig{Pool: 65}), cache(auth.CacheConfig{Pool: 64})),
		mended("choose one", cache(auth.CacheConfig{Pool: 2, PerRequest: true}), cache(auth.CacheConfig{PerRequest: true}), cache(auth.CacheConfig{Pool: 2})),
		mended("give a positive one, or 0 for 45s", cache(auth.CacheConfig{MintTimeout: -1}), cache(auth.CacheConfig{MintTimeout: 1}), cache(auth.CacheConfig{})),
		mended("give each its own name", add("taken"), add("other")),
		mended("give what auth.NewCache returned", second(metrics.Add(nil)), add("third")),
		mended("give a *prometheus.Registry", second(prom.New(nil)), second(prom.New(prometheus.NewRegistry()))),
		mended("the API key is missing: copy it", second(auth.NewLegacy("", auth.NewSecret("s"), auth.LegacyConfig{})), legacy(auth.LegacyConfig{})),
		mended("the secret is missing: generate one", second(auth.NewLegacy("key", auth.Secret{}, auth.LegacyConfig{})), legacy(auth.LegacyConfig{})),
		mended("timeout is -1ns: give a positive one, or 0 for 15s", legacy(auth.LegacyConfig{Timeout: -1}), legacy(auth.LegacyConfig{Timeout: 1}), legacy(auth.LegacyConfig{})),
		mended("give what NewCache or NewScopes returned", second(auth.NewTransport(nil, "https://h", auth.TransportConfig{})), transport("https://h")),
		mended("has a user or password in it: remove it", transport("https://a:b@h"), transport("https://h")),
		mended("has no host: write https://HOST/PATH", transport("api.redoxengine.com"), transport("https://api.redoxengine.com")),
		mended("has a fragment (#): remove it", transport("https://h/#a"), transport("https://h/")),
		mended("credentials go to https only (http for loopback hosts, and for the test hosts in HTTPHosts)", transport("http://h"), transport("https://h"), transport("http://127.0.0.1:1"), plain("h")),
		mended("FHIR base has a query: remove it", discover("https://h/r4?a=b", ""), discover("https://h/r4", "")),
		mended("the token URL is what is looked for: remove it, or use auth.NewOAuth", discover("https://h/r4", "https://h/token"), discover("https://h/r4", "")),
		mended("use auth.NewOAuth, which knows Redox's token URL", discover(auth.DefaultTokenURL, ""), second(auth.NewOAuth("client", pair, auth.OAuthConfig{}))),
		mended("give the name of one host, without scheme, port and wildcards", plain("http://h"), plain("h")),
		mended("give the method WithScope of an OAuth", second(auth.NewScopes(nil, auth.ScopesConfig{})), scopes(auth.ScopesConfig{})),
		mended("max is -1: give 1 to 4096, or 0 for 64", scopes(auth.ScopesConfig{Max: -1}), scopes(auth.ScopesConfig{Max: 1}), scopes(auth.ScopesConfig{Max: 4096}), scopes(auth.ScopesConfig{})),
		mended("at most 4096 are taken: ask for fewer", asked(strings.Repeat("a", 4097)), asked(strings.Repeat("a", 4096))),
		mended("remove quotes, backslashes and what is not ASCII", asked(`"system/*.rs"`), asked("system/*.rs")),
		mended("give positive ones, or 0 for 200ms and 10s", watcher(filewatch.Config{Settle: -1}), watcher(filewatch.Config{Settle: 1, Poll: 1}), watcher(filewatch.Config{})),
	)
}

// named is a cache of that name.
func named(t *testing.T, name string) *auth.Cache {
	t.Helper()
	c, err := auth.NewCache(auth.MinterFunc(func(context.Context) (auth.Token, error) { return auth.Token{}, nil }), auth.CacheConfig{Name: name})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func mendsOfOAuth(t *testing.T) []mend {
	t.Helper()
	key := func(a auth.Algorithm, id string) auth.Key {
		k, err := auth.GenerateKey(a, id)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	one, other, another := key(auth.ES384, "one"), key(auth.ES384, "other"), key(auth.ES384, "one")
	text, err := one.MarshalPEM()
	if err != nil {
		t.Fatal(err)
	}
	nameless, err := auth.ParsePrivateKey(text, "")
	if err != nil {
		t.Fatal(err)
	}
	oauth := func(c auth.OAuthConfig) error { return second(auth.NewOAuth("client", one, c)) }
	return append(mendsOfSigners(t),
		mended("the client id is missing: copy it", second(auth.NewOAuth("", one, auth.OAuthConfig{})), oauth(auth.OAuthConfig{})),
		mended("has no kid: set the one", second(auth.NewOAuth("client", nameless, auth.OAuthConfig{})), oauth(auth.OAuthConfig{})),
		mended("assertion lifetime is 6m0s: give 1s to 5m0s", oauth(auth.OAuthConfig{AssertionLifetime: 6 * time.Minute}),
			oauth(auth.OAuthConfig{AssertionLifetime: time.Second}), oauth(auth.OAuthConfig{AssertionLifetime: 5 * time.Minute})),
		mended("timeout is -1ns: give a positive one, or 0 for 15s", oauth(auth.OAuthConfig{Timeout: -1}), oauth(auth.OAuthConfig{Timeout: 1}), oauth(auth.OAuthConfig{})),
		mended("give the next key its own", oauth(auth.OAuthConfig{Next: another}), oauth(auth.OAuthConfig{Next: other})),
		mended("change one of the two", oauth(auth.OAuthConfig{Algorithm: auth.RS384}), oauth(auth.OAuthConfig{Algorithm: auth.ES384}),
			second(auth.NewOAuth("client", key(auth.RS384, "rsa"), auth.OAuthConfig{Algorithm: auth.RS384}))),
		mended("use RS256, RS384, RS512, PS256, PS384 or PS512 (RSA), or ES256", oauth(auth.OAuthConfig{Algorithm: "HS256"}), oauth(auth.OAuthConfig{Algorithm: auth.ES384})),
		mended("a parameter has no name: give it one", oauth(auth.OAuthConfig{Params: url.Values{"": {"a"}}}), oauth(auth.OAuthConfig{Params: url.Values{"b": {"a"}}})),
		mended("the parameter scope has a place of its own: use Scope", oauth(auth.OAuthConfig{Params: url.Values{"scope": {"a"}}}), oauth(auth.OAuthConfig{Scope: "a"})),
		mended("the parameter grant_type is set already: remove it", oauth(auth.OAuthConfig{Params: url.Values{"grant_type": {"a"}}}), oauth(auth.OAuthConfig{})),
		mended("a claim has no name: give it one", oauth(auth.OAuthConfig{Claims: map[string]any{"": 1}}), oauth(auth.OAuthConfig{Claims: map[string]any{"b": 1}})),
		mended("the claim iss is set already: remove it", oauth(auth.OAuthConfig{Claims: map[string]any{"iss": 1}}), oauth(auth.OAuthConfig{})),
		mended("give a string, a number, a list or a map of them", oauth(auth.OAuthConfig{Claims: map[string]any{"c": make(chan int)}}),
			oauth(auth.OAuthConfig{Claims: map[string]any{"c": map[string][]int{"a": {1}}}})),
		mended("sign timeout is -1ns: give a positive one, or 0 for 10s", oauth(auth.OAuthConfig{SignTimeout: -1}), oauth(auth.OAuthConfig{SignTimeout: 1}), oauth(auth.OAuthConfig{})),
	)
}

// publicOnly is a Signer that nobody has sign.
type publicOnly struct{ public crypto.PublicKey }

func (p publicOnly) Public() crypto.PublicKey { return p.public }
func (publicOnly) Sign(context.Context, []byte, crypto.SignerOpts) ([]byte, error) {
	return nil, errors.ErrUnsupported
}

func mendsOfSigners(t *testing.T) []mend {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	made := func(s auth.Signer, a auth.Algorithm) auth.Key {
		k, err := auth.NewKey(s, "k", a)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	signer := func(s auth.Signer) error { return second(auth.NewKey(s, "k", "")) }
	with := func(k auth.Key, a auth.Algorithm) error {
		return second(auth.NewOAuth("client", k, auth.OAuthConfig{Algorithm: a}))
	}
	plain, good := made(auth.CryptoSigner(private), ""), publicOnly{private.Public()}
	usual, err := auth.GenerateKey(auth.ES384, "k")
	if err != nil {
		t.Fatal(err)
	}
	return []mend{
		mended("set the algorithm to ES256 where the server takes that, else use an RSA key or one on P-384", with(plain, ""), with(plain, auth.ES256), with(usual, "")),
		mended("it cannot sign RS256, it is good for ES256: change one of the two", second(plain.With(auth.RS256)), second(plain.With(auth.ES256))),
		mended("there is no Signer: give one, or CryptoSigner of a crypto.Signer", signer(nil), signer(good), signer(auth.CryptoSigner(private))),
		mended("the signer has no public half: give it one", signer(publicOnly{}), signer(good)),
		mended("cannot be written: use the public half", second(plain.MarshalPEM()), second(plain.PublicJWK())),
	}
}

func mendsOfOutbox(t *testing.T, conn *nats.Conn, js jetstream.JetStream) []mend {
	t.Helper()
	sixteen := []byte("0123456789abcdef")
	publisher := func(c outbox.PublisherConfig) error { return second(outbox.NewPublisher(js, c)) }
	token := func(secret []byte, key string) error { return second(outbox.OrderToken(secret, key)) }
	gate := func(c gateway.Config) error { return second(gateway.New(conn, js, c)) }
	headers := func(names ...string) error { return outbox.HeaderPolicy{Allow: names}.Validate() }
	with := func(name, value string) error {
		return second(outbox.Message{ID: "1", Source: "a", Header: http.Header{name: {value}}, Body: []byte("{}")}.Encode(""))
	}
	allow := func(patterns ...string) error { return outbox.ReplyPolicy{Allow: patterns}.Validate() }
	const bound = ": use more than 0, 0 for the default or -1 for no bound"
	list := []mend{
		mended(`prefix "A": use 1 to 32 of a-z, 0-9 and -`, publisher(outbox.PublisherConfig{Prefix: "A"}), publisher(outbox.PublisherConfig{Prefix: "a-0"}),
			publisher(outbox.PublisherConfig{Prefix: contract.Prefix(strings.Repeat("a", 32))})),
		mended(`source "A": use 1 to 64 of a-z, 0-9 and -`, contract.CheckSource("A"), contract.CheckSource("a-0"), contract.CheckSource(strings.Repeat("a", 64))),
		mended("give at least 16 random ones", publisher(outbox.PublisherConfig{OrderSecret: []byte("short")}), publisher(outbox.PublisherConfig{OrderSecret: sixteen})),
		mended("is empty: leave it out if there is none", token(sixteen, ""), token(sixteen, "a"), second(outbox.Message{ID: "1", Source: "a", Body: []byte("{}")}.Encode(""))),
		mended("begins or ends with white space: trim it", token(sixteen, " a"), token(sixteen, "a")),
		mended("needs a JetStream context", second(outbox.NewPublisher(nil, outbox.PublisherConfig{})), publisher(outbox.PublisherConfig{})),
		mended("needs a connection and a JetStream context", second(gateway.New(nil, nil, gateway.Config{})), gate(gateway.Config{})),
		mended("gateway wait -1ns: use more than 0, or 0 for 2m30s", gate(gateway.Config{MaxWait: -1}), gate(gateway.Config{MaxWait: 1}), gate(gateway.Config{})),
		mended("gateway concurrency -1: use 1 or more, or 0 for the default", gate(gateway.Config{Concurrency: -1}), gate(gateway.Config{Concurrency: 1}), gate(gateway.Config{})),
		mended("gateway MaxShare 2: use more than 0, up to 1, or 0 for the default", gate(gateway.Config{MaxShare: 2}), gate(gateway.Config{MaxShare: 0.5}), gate(gateway.Config{MaxShare: 1}), gate(gateway.Config{})),
		mended("outbox: MaxShare 2: use more than 0, up to 1", publisher(outbox.PublisherConfig{MaxShare: 2}), publisher(outbox.PublisherConfig{MaxShare: 0.5}), publisher(outbox.PublisherConfig{MaxShare: 1})),
		mended(`header "a b": use 1 to 64 letters, digits, - and *`, headers("a b"), headers("a-b"), headers("X-*")),
		mended("header Host: no message may set it: remove it", headers("Host", "Prefer"), headers("Prefer")),
		mended("Redox-Header-Prefer is empty: leave it out if there is none", with("Prefer", ""), with("Prefer", "return=minimal"), second(outbox.Message{ID: "1", Source: "a", Body: []byte("{}")}.Encode(""))),
		mended("has a header of its own: use Accept", with("Accept", "a/b"), second(outbox.Message{ID: "1", Source: "a", Accept: "a/b", Body: []byte("{}")}.Encode(""))),
		mended("it must be a token of its own", allow("a.b>"), allow("a.b.>"), allow("a.*.c")),
		mended("begins with a wildcard: name the first token", allow("*.a"), allow("a.*")),
		mended("needs a JetStream context", second(dlq.New(nil, dlq.Config{})), second(dlq.New(js, dlq.Config{}))),
		mended("use rejected, expired, exhausted, held or poison", dlq.Query{Settlements: []outbox.Settlement{"failed"}}.Validate(),
			dlq.Query{Settlements: []outbox.Settlement{outbox.Rejected, outbox.Expired, outbox.Exhausted, outbox.Held, outbox.Poison}}.Validate()),
		mended("is no pattern of sources: use clinic-*, say", dlq.Query{SourcePatterns: []string{"clinic-["}}.Validate(), dlq.Query{SourcePatterns: []string{"clinic-*"}}.Validate()),
		mended("use data-model, fhir, file or platform", dlq.Query{Kinds: []outbox.Kind{"x"}}.Validate(),
			dlq.Query{Kinds: []outbox.Kind{outbox.KindDataModel, outbox.KindFHIR, outbox.KindFile, outbox.KindPlatform}}.Validate()),
		mended("use 400, say, or 4xx, or none", dlq.Query{Statuses: []string{"40"}}.Validate(), dlq.Query{Statuses: []string{"400", "4xx", "none"}}.Validate()),
		mended("-1 replays: use 1 or more", dlq.Query{Replays: -1}.Validate(), dlq.Query{Replays: 1}.Validate()),
		mended("AtOnce 257: use 1 to 256", dlq.ReplayOptions{AtOnce: 257}.Validate(), dlq.ReplayOptions{AtOnce: 1}.Validate(), dlq.ReplayOptions{AtOnce: 256}.Validate()),
		mended("replicas 6: use 1 to 5", topology.Topology{Replicas: 6}.Validate(), topology.Topology{Replicas: 1}.Validate(), topology.Topology{Replicas: 5}.Validate()),
		mended("dead letter max age 1s: use at least 1m0s, or 0", topology.Topology{DeadMaxAge: time.Second}.Validate(), topology.Topology{DeadMaxAge: time.Minute}.Validate(), topology.Topology{}.Validate()),
		mended("audit max age 1s: use at least 1m0s, or 0", topology.Topology{AuditMaxAge: time.Second}.Validate(), topology.Topology{AuditMaxAge: time.Minute}.Validate()),
	}
	for name, c := range map[string]func(n int64) outbox.PublisherConfig{
		"Timeout":  func(n int64) outbox.PublisherConfig { return outbox.PublisherConfig{Timeout: time.Duration(n)} },
		"Wait":     func(n int64) outbox.PublisherConfig { return outbox.PublisherConfig{Wait: time.Duration(n)} },
		"MaxBody":  func(n int64) outbox.PublisherConfig { return outbox.PublisherConfig{MaxBody: n} },
		"MaxClaim": func(n int64) outbox.PublisherConfig { return outbox.PublisherConfig{MaxClaim: n} },
	} {
		list = append(list, mended(name+" -2"+bound, publisher(c(-2)), publisher(c(1)), publisher(c(0)), publisher(c(-1))))
	}
	return list
}
