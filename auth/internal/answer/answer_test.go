package answer

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/redoxworker/redoxworker/auth/secret"
)

func TestReadGrant_Lenient(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]Grant{
		`{"access_token":"abc","token_type":"Bearer","expires_in":300,"scope":"a b"}`: {"abc", "Bearer", "a b", 5 * time.Minute},
		`{"access_token":"abc","token_type":"bearer","expires_in":299}`:               {"abc", "bearer", "", 299 * time.Second},
		`{"access_token":"abc","token_type":"BEARER","expires_in":"120"}`:             {"abc", "BEARER", "", 2 * time.Minute},
		`{"access_token":"abc","expires_in":4}`:                                       {"abc", "", "", 4 * time.Second},
		`{"access_token":"abc","expires_in":59.5}`:                                    {"abc", "", "", 59500 * time.Millisecond},
		`{"access_token":"abc","expires_in":" 60 "}`:                                  {"abc", "", "", time.Minute},
		`{"access_token":"abc","expires_in":0.001}`:                                   {"abc", "", "", time.Second},
		`{"access_token":"abc"}`:                                                      {"abc", "", "", DefaultLifetime},
		`{"access_token":"abc","expires_in":null}`:                                    {"abc", "", "", DefaultLifetime},
		`{"access_token":"abc","expires_in":0}`:                                       {"abc", "", "", DefaultLifetime},
		`{"access_token":"abc","expires_in":-300}`:                                    {"abc", "", "", DefaultLifetime},
		`{"access_token":"abc","expires_in":"soon"}`:                                  {"abc", "", "", DefaultLifetime},
		`{"access_token":"abc","expires_in":"NaN"}`:                                   {"abc", "", "", DefaultLifetime},
		`{"access_token":"abc","expires_in":"-Inf"}`:                                  {"abc", "", "", DefaultLifetime},
		`{"access_token":"abc","expires_in":{"s":1}}`:                                 {"abc", "", "", DefaultLifetime},
		`{"access_token":"abc","expires_in":[300]}`:                                   {"abc", "", "", DefaultLifetime},
		`{"access_token":"abc","expires_in":true}`:                                    {"abc", "", "", DefaultLifetime},
		`{"access_token":"abc","expires_in":1e300}`:                                   {"abc", "", "", MaxLifetime},
		`{"access_token":"abc","expires_in":1e400}`:                                   {"abc", "", "", MaxLifetime},
		`{"access_token":"abc","expires_in":31536000}`:                                {"abc", "", "", MaxLifetime},
		` {"access_token":"abc","scope":["a"],"extra":{"b":[1]}}`:                     {"abc", "", "", DefaultLifetime},
	} {
		got, err := ReadGrant([]byte(body))
		if err != nil {
			t.Errorf("%s: %v", body, err)
			continue
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s: %s", body, d)
		}
	}
}

func TestReadGrant_Strict(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]string{
		``:                               "not a JSON object",
		`null`:                           "no access token",
		`[]`:                             "not a JSON object",
		`"abc"`:                          "not a JSON object",
		`<html>Welcome</html>`:           "not a JSON object",
		`{"access_token":"abc"`:          "not a JSON object",
		`{"access_token":""}`:            "no access token",
		`{"access_token":["abc"]}`:       "no access token",
		`{"token":"abc"}`:                "no access token",
		`{"access_token":"a\r\nX-Y: 1"}`: "header cannot carry",
		`{"access_token":"a b"}`:         "header cannot carry",
		`{"access_token":"ä"}`:           "header cannot carry",
		`{"access_token":"abc","token_type":"DPoP"}`:                         "not Bearer",
		`{"access_token":"` + strings.Repeat("a", maxToken+1) + `"}`:         "larger than 16384",
		`{"access_token":"abc","x":"` + strings.Repeat("a", MaxBytes) + `"}`: "larger than 65536",
	} {
		_, err := ReadGrant([]byte(body))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60s: %v, want %q", body, err, want)
		}
	}
	if _, err := ReadGrant([]byte(`{"access_token":"` + strings.Repeat("a", maxToken) + `"}`)); err != nil {
		t.Errorf("a token at the limit: %v", err)
	}
}

func TestReadRefusal_Shapes(t *testing.T) {
	t.Parallel()
	const permalink = "https://docs.redoxengine.com/permalink/1vFPDeTOMENuIP4mzkONZ9"
	type texts struct{ Code, Description, URI string }
	for body, want := range map[string]texts{
		`{"error":"invalid_request","error_description":"","error_uri":"` + permalink + `"}`: {"invalid_request", "", permalink},
		`{"error":"invalid_client"}`:                            {"invalid_client", "", ""},
		`{"error":42,"error_description":["x"]}`:                {"42", "", ""},
		`{"error":{"code":"x"},"error_description":7}`:          {"", "7", ""},
		`{"error":"x","error_uri":"javascript:alert(1)"}`:       {"x", "", ""},
		`{"error":"x","error_uri":"http://docs.example/"}`:      {"x", "", ""},
		`{"error":"x","error_uri":"https://u:p@docs.example/"}`: {"x", "", ""},
		`{"error":"x","error_uri":"https://docs.example/?t=s"}`: {"x", "", ""},
		`{"error":"x","error_uri":"https://d.example/s3cr3t"}`:  {"x", "", ""},
		`{"error_description":"a\nb\u0000c\u202ed"}`:            {"", "a bcd", ""},
		`{"error_description":"secret is s3cr3t, see"}`:         {"", "secret is [redacted], see", ""},
		`Invalid request`:                                        {"", "Invalid request", ""},
		"  Invalid source\r\n secret.\x00 ":                      {"", "Invalid source secret.", ""},
		`<html><head><title>x</title></head>Invalid request`:     {"", "Invalid request", ""},
		`<!DOCTYPE html><h1>502</h1><script>a<b</script><p>Bad&`: {"", "502 Bad&", ""},
		``:                   {"", "", ""},
		`null`:               {"", "", ""},
		`"text"`:             {"", `"text"`, ""},
		"\xff\xfe\xfd plain": {"", "plain", ""},
	} {
		code, description, uri := ReadRefusal([]byte(body), []secret.Text{secret.New("s3cr3t")})
		if d := cmp.Diff(want, texts{code, description, uri}); d != "" {
			t.Errorf("%q: %s", body, d)
		}
	}
}

func FuzzReadGrant(f *testing.F) {
	for _, body := range []string{
		`{"access_token":"abc","token_type":"Bearer","expires_in":300}`, `{"access_token":"abc","expires_in":"1e9"}`,
		`{"access_token":"abc","expires_in":-0}`, `{"error":"x"}`, `<html>`, ``, `{"access_token":"a\u0000"}`,
	} {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		g, err := ReadGrant(body)
		if err != nil {
			if len(err.Error()) > 100 {
				t.Fatalf("the error quotes the answer: %q", err)
			}
			return
		}
		if g.Lifetime < time.Second || g.Lifetime > MaxLifetime || CheckBearer(g.Token) != nil || len(g.Scope) > 4100 {
			t.Fatalf("a grant of %s and %d bytes was taken", g.Lifetime, len(g.Token))
		}
	})
}

func FuzzReadRefusal(f *testing.F) {
	for _, body := range []string{`{"error":"invalid_request","error_description":""}`, `Invalid request`, `<html><b>x</b>`, `{"error_uri":"https://a/b"}`, "\xff"} {
		f.Add([]byte(body))
	}
	sent := []secret.Text{secret.New("s3cr3t")}
	f.Fuzz(func(t *testing.T, body []byte) {
		code, description, uri := ReadRefusal(body, sent)
		for _, text := range []string{code, description, uri} {
			if len(text) > maxText+len("…") || strings.ContainsAny(text, "\r\n\x00\x1b") || strings.Contains(text, "s3cr3t") {
				t.Fatalf("%q came through", text)
			}
		}
	})
}
