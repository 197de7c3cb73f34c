package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/redoxworker/redoxworker/cmd/redoxworker/internal/cli"
)

// checkedBy runs keys check against an endpoint and returns its exit code and output.
func checkedBy(t *testing.T, endpoint http.HandlerFunc, args ...string) (code int, stdout string) {
	t.Helper()
	far := httptest.NewServer(endpoint)
	defer far.Close()
	var out, errs output
	environ := []string{
		"REDOXWORKER_REDOX_BASE_URL=" + far.URL,
		"REDOXWORKER_KEYS_MAIN_CLIENT_ID=client", "REDOXWORKER_KEYS_MAIN_KID=k1", "REDOXWORKER_KEYS_MAIN_PRIVATE_KEY=" + newPrivateKeys(t, 1)[0],
		"REDOXWORKER_KEYS_OLD_TYPE=legacy", "REDOXWORKER_KEYS_OLD_API_KEY=an-api-key", "REDOXWORKER_KEYS_OLD_SECRET=s3cr3t",
	}
	code = run(context.Background(), cli.App{Args: append([]string{"keys", "check"}, args...), Environ: environ, Stdout: &out, Stderr: &errs, Stdin: strings.NewReader("")})
	if errs.String() != "" {
		t.Errorf("stderr: %s", errs.String())
	}
	if all := out.String(); strings.Contains(all, "eyJ") || strings.Contains(all, "s3cr3t") || strings.Contains(all, "an-api-key") || strings.Contains(all, "issued-token") {
		t.Errorf("the output shows a secret: %s", all)
	}
	return code, out.String()
}

// Every error text that Redox documents (Troubleshoot OAuth API key errors; HTTP status
// codes: what they mean), and the words of its mend.
func TestKeysCheck_MendsEachTextOfRedox(t *testing.T) {
	t.Parallel()
	for description, mend := range map[string]string{
		"": "the private key is not that of its kid, or one of aud, alg, jti and iat is wrong: check that the public half of this very key is registered, set the audience to the token URL, use a key whose algorithm Redox takes, and check this host's clock",
		"x-www-form-urlencoded content-type required":                             "something on the way changes the Content-Type: check the proxy and the token URL",
		"Missing grant_type parameter":                                            "something between here and the endpoint changes the form: check the proxy and the token URL",
		"The grant_type parameter should equal 'client_credentials'":              "something between here and the endpoint changes the form",
		"Missing client assertion type":                                           "something between here and the endpoint changes the form",
		"Invalid client assertion type":                                           "something between here and the endpoint changes the form",
		"Missing client assertion":                                                "something between here and the endpoint changes the form",
		"JWT header kid property is required":                                     "set the kid of the key, as registered with its public half",
		"Public key not found, check client_id, kid and Redox dashboard settings": "check the client id, the kid, that the public key is saved for this environment in the Redox dashboard, and that the JWKS URL serves this kid",
		"Unexpected aud claim value":                                              "set the audience to the token URL, with the region's host",
		"Unexpected iss claim value":                                              "set the client id to the OAuth key's own, from the Redox dashboard",
		"Unexpected sub claim value":                                              "set the client id to the OAuth key's own, from the Redox dashboard",
		"Unexpected iat claim value":                                              "set this host's clock",
		"Unexpected exp claim value":                                              "set this host's clock",
		"Unexpected jti claim value":                                              "check the client id, the audience (the token URL) and this host's clock",
	} {
		for _, status := range []int{http.StatusBadRequest, http.StatusUnauthorized} { // Redox documents none
			refuse := func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "application/json")
				w.WriteHeader(status)
				_ = json.NewEncoder(w).Encode(map[string]string{"error": "invalid_request", "error_description": description, "error_uri": "https://docs.redoxengine.com/permalink/abc"})
			}
			code, stdout := checkedBy(t, refuse, "--key", "main")
			if code != cli.ExitFailed || !strings.HasPrefix(stdout, `✗ main (current, ES384, kid "k1"): auth: `) ||
				!strings.Contains(stdout, description) || strings.Count(stdout, mend) != 1 || strings.Count(stdout, "\n") != 1 {
				t.Errorf("%d %q: exit %d, %s\nwant once: %s", status, description, code, stdout, mend)
			}
			code, stdout = checkedBy(t, refuse, "--key", "main", "--json")
			var r struct {
				OK    bool
				Mend  string
				Error string
			}
			if err := json.Unmarshal([]byte(stdout), &r); err != nil || code != cli.ExitFailed || r.OK || !strings.Contains(r.Mend, mend) || r.Error == "" {
				t.Errorf("%d %q as JSON: exit %d, %s", status, description, code, stdout)
			}
		}
	}
}

func TestKeysCheck_MendsEachTextOfLegacy(t *testing.T) {
	t.Parallel()
	const secret = "check the API key and its secret: a new secret ends the old one at once"
	for body, mend := range map[string]string{
		"Invalid request":                secret,
		"Invalid source secret":          secret,
		"This source is not authorized.": "enable the source in the Redox dashboard, and check that the API key is this environment's",
		"<!DOCTYPE html><html><head><title>401</title><style>p{}</style></head><body><p>Invalid source secret</p></body></html>": secret,
	} {
		code, stdout := checkedBy(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			w.WriteHeader(http.StatusUnauthorized)
			_, _ = w.Write([]byte(body))
		}, "--key", "old")
		if code != cli.ExitFailed || !strings.HasPrefix(stdout, "✗ old: auth: authenticate from ") || strings.Count(stdout, mend) != 1 || strings.Contains(stdout, "<") {
			t.Errorf("%q: exit %d, %s\nwant once: %s", body, code, stdout, mend)
		}
	}
}

// The clock is measured from the Date header: a warning from 5 s on, a failure from 60 s on.
func TestKeysCheck_TheClock(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		ahead time.Duration // of this host
		code  int
		want  string
	}{
		{0, cli.ExitOK, "clock right to the second"},
		{3 * time.Second, cli.ExitOK, "clock 3s ahead of the server's"},
		{7 * time.Second, cli.ExitOK, "clock 7s ahead of the server's; warning: this host's clock is 7s ahead of the server's: set it"},
		{-30 * time.Second, cli.ExitOK, "clock 30s behind the server's; warning: this host's clock is 30s behind the server's: set it"},
		{55 * time.Second, cli.ExitOK, "clock 55s ahead of the server's; warning: "},
		{65 * time.Second, cli.ExitFailed, "✗ NAME: auth: this host's clock is 1m5s ahead of the server's; set this host's clock"},
		{-2 * time.Hour, cli.ExitFailed, "✗ NAME: auth: this host's clock is 2h0m0s behind the server's; set this host's clock"},
	} {
		answer := func(w http.ResponseWriter, r *http.Request) {
			now := time.Now().Add(-tc.ahead)
			w.Header().Set("Date", now.UTC().Format(http.TimeFormat))
			if strings.HasSuffix(r.URL.Path, "/authenticate") {
				_, _ = fmt.Fprintf(w, `{"accessToken":"issued-token-1","expires":%q,"refreshToken":"issued-token-2"}`, now.Add(24*time.Hour).UTC().Format("2006-01-02T15:04:05.000Z"))
				return
			}
			_, _ = w.Write([]byte(`{"access_token":"issued-token-3","token_type":"Bearer","expires_in":300}`))
		}
		code, stdout := checkedBy(t, answer)
		// The Date has whole seconds, so what is shown may be a second off.
		for _, name := range []string{`main (current, ES384, kid "k1")`, "old"} {
			if code != tc.code || !strings.Contains(nearly(stdout), nearly(strings.Replace(tc.want, "NAME", name, 1))) {
				t.Errorf("%s: exit %d, want %d with %q:\n%s", tc.ahead, code, tc.code, tc.want, stdout)
			}
		}
		if warned := strings.Contains(stdout, "warning:"); warned != strings.Contains(tc.want, "warning:") {
			t.Errorf("%s: a warning is there: %v\n%s", tc.ahead, warned, stdout)
		}
	}
}

// nearly makes seconds that are one off the same.
func nearly(text string) string {
	return strings.NewReplacer(" 2s", " 3s", " 4s", " 3s", " 6s", " 7s", " 8s", " 7s", " 29s", " 30s", " 31s", " 30s", " 54s", " 55s", " 56s", " 55s",
		" 1m4s", " 1m5s", " 1m6s", " 1m5s", " 2h0m1s", " 2h0m0s", " 1h59m59s", " 2h0m0s").Replace(text)
}
