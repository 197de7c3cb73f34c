package devstack

import (
	"context"
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/redoxworker/redoxworker/auth"
	"github.com/redoxworker/redoxworker/cmd/redoxworker/internal/cli"
	"github.com/redoxworker/redoxworker/cmd/redoxworker/internal/clitest"
	"github.com/redoxworker/redoxworker/worker/redoxsim"
)

func TestSimQuota(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]redoxsim.Quota{
		"7500/5m": {Limit: 7500, Per: 5 * time.Minute}, "7500": {Limit: 7500}, "10/1s": {Limit: 10, Per: time.Second},
		"": {}, "0": {}, "-1/5m": {}, "x/5m": {}, "10/": {}, "10/0s": {}, "10/-1s": {}, "10/5": {}, "10/5m/5m": {},
	} {
		var q SimQuota
		err := q.UnmarshalText([]byte(text))
		if redoxsim.Quota(q) != want || (err == nil) != (want.Limit > 0) {
			t.Errorf("%q: %+v, %v", text, q, err)
		}
	}
}

func TestReadPublicKey(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name string, data []byte, err error) string {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	key, err := auth.GenerateKey(auth.ES384, "k1")
	if err != nil {
		t.Fatal(err)
	}
	privatePEM, err := key.MarshalPEM()
	private := write("private.pem", privatePEM, err)
	privateJWK, err := key.MarshalJWK()
	jwk := write("private.json", privateJWK, err)
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	public := write("public.pem", pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), err)
	publicJWK, err := key.PublicJWK()
	for _, tt := range []struct{ file, kid, want string }{ // want is the kid, "" an error
		{private, "k1", "k1"}, {private, "", ""}, {public, "k9", "k9"}, {public, "", ""}, {jwk, "", "k1"}, {jwk, "k1", "k1"}, {jwk, "other", ""},
		{write("public.json", publicJWK, err), "k1", ""}, {write("nonsense.pem", []byte("nonsense"), nil), "k1", ""},
		{write("broken.pem", []byte("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"), nil), "k1", ""}, {filepath.Join(dir, "nowhere"), "k1", ""},
	} {
		kid, got, err := readPublicKey(tt.file, tt.kid)
		same := err != nil || key.Public().(interface{ Equal(crypto.PublicKey) bool }).Equal(got)
		if (err == nil) != (tt.want != "") || kid != tt.want || !same {
			t.Errorf("%s with kid %q: %q, %v", filepath.Base(tt.file), tt.kid, kid, err)
		}
	}
}

func TestSim_CheckKeys(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		command SimCommand
		want    string
	}{
		"none":               {SimCommand{}, ""},
		"client and key":     {SimCommand{ClientID: "c", Key: []string{"k"}}, ""},
		"client and set":     {SimCommand{ClientID: "c", JWKS: "k", Key: []string{"k"}}, ""},
		"client and url":     {SimCommand{ClientID: "c", JWKSURL: "http://127.0.0.1/jwks"}, ""},
		"legacy":             {SimCommand{LegacyKey: "k", LegacySecret: "s"}, ""},
		"client alone":       {SimCommand{ClientID: "c"}, "--client-id: "},
		"key alone":          {SimCommand{Key: []string{"k"}}, "--client-id: "},
		"url alone":          {SimCommand{JWKSURL: "http://127.0.0.1/jwks"}, "--client-id: "},
		"url and key":        {SimCommand{ClientID: "c", JWKSURL: "u", Key: []string{"k"}}, "--jwks-url: "},
		"legacy key alone":   {SimCommand{LegacyKey: "k"}, "--legacy-key and --legacy-secret: "},
		"legacy secret only": {SimCommand{LegacySecret: "s3cret"}, "--legacy-key and --legacy-secret: "},
	} {
		err := tt.command.checkKeys()
		if (err == nil) != (tt.want == "") || err != nil && (!strings.HasPrefix(err.Error(), tt.want) || strings.Contains(err.Error(), "s3cret")) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Each request is logged once, also the one whose connection is cut, and none by content.
func TestSim_LogsEachRequestOnce(t *testing.T) {
	t.Parallel()
	p := clitest.StartSim(t, run, "--profile", "reset")
	send := func() error {
		response, err := http.Post(p.URL+redoxsim.PathEndpoint, "application/json", strings.NewReader(`{"Meta":{"DataModel":"Order","EventType":"New"},"Patient":"Bixby"}`))
		if err == nil {
			_, err = io.Copy(io.Discard, response.Body)
			response.Body.Close()
		}
		return err
	}
	for range 3 {
		if err := send(); err == nil {
			t.Error("a request was answered under the profile reset")
		}
	}
	response, err := http.Post(p.URL+"/_sim/fault", "application/json", strings.NewReader(`{"profile":"none"}`))
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if err := send(); err != nil {
		t.Fatal(err)
	}
	if code := p.Stop(); code != cli.ExitOK {
		t.Errorf("exit %d", code)
	}
	log := p.Errs.String()
	if strings.Count(log, `"path":"/endpoint"`) != 4 || strings.Count(log, `"fault":"reset"`) != 3 || strings.Count(log, `"status":401`) != 1 ||
		strings.Count(log, `"event":"Order.New"`) != 4 || strings.Contains(log, "Bixby") {
		t.Errorf("log:\n%s", log)
	}
}

func TestSimulator_EndsAlthoughARequestHangs(t *testing.T) {
	t.Parallel()
	a, _, _ := clitest.App()
	log, err := standaloneLogger(a, "error")
	if err != nil {
		t.Fatal(err)
	}
	redox := &redoxsim.Server{}
	sim, err := newSimulator(redox, "hang", "listen", "127.0.0.1:0", log)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- sim.run(ctx) }()
	answered := make(chan error, 1)
	go func() {
		response, err := http.Post(sim.url()+redoxsim.PathEndpoint, "application/json", strings.NewReader(`{}`))
		if err == nil {
			response.Body.Close()
		}
		answered <- err
	}()
	clitest.Eventually(t, "a request hangs", func() bool { return redox.Stats().InFlight == 1 })
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if err := <-answered; err == nil {
		t.Error("the request was answered")
	}
}

func TestSimLimits(t *testing.T) {
	t.Parallel()
	redox, err := simLimits{Quota: SimQuota{Limit: 50}, Per: 5 * time.Second, RetryAfter: true, Latency: time.Second, ClientHeader: "X-Egress"}.server()
	if err != nil {
		t.Fatal(err)
	}
	want := redoxsim.Quota{Limit: 50, Per: 5 * time.Second, RetryAfter: true}
	if redox.Quota != want || redox.Latency != time.Second {
		t.Errorf("%+v", redox.Quota)
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://sim/", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("X-Egress", "a")
	if got := redox.ClientIP(r); got != "a" {
		t.Errorf("client %q", got)
	}
	for name, l := range map[string]simLimits{
		"per alone":        {Per: time.Second},
		"two windows":      {Quota: SimQuota{Limit: 1, Per: time.Second}, Per: time.Second},
		"negative per":     {Quota: SimQuota{Limit: 1}, Per: -1},
		"negative latency": {Latency: -1},
		"retry-after":      {RetryAfter: true},
	} {
		if _, err := l.server(); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
}

// What the flags say is more than what the profile says.
func TestNewSimulator_FlagsOverProfile(t *testing.T) {
	t.Parallel()
	for limit, want := range map[int]int{0: 50, 100: 100} {
		redox := &redoxsim.Server{Quota: redoxsim.Quota{Limit: limit}}
		s, err := newSimulator(redox, "quota-small", "listen", "127.0.0.1:0", slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		s.close()
		if got := redox.QuotaInForce().Limit; got != want {
			t.Errorf("--quota %d: %d is in force, want %d", limit, got, want)
		}
	}
}
