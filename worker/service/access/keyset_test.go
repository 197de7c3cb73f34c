package access

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/redoxworker/redoxworker/auth"
	"github.com/redoxworker/redoxworker/config"
	"github.com/redoxworker/redoxworker/worker/workertest/bubble"
)

// endpoint gives out legacy tokens and counts them by API key.
type endpoint struct {
	mu    sync.Mutex
	asked map[string]int
}

// RoundTrip serves [http.RoundTripper].
func (e *endpoint) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	var login struct{ APIKey string }
	_ = json.Unmarshal(body, &login)
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.asked == nil {
		e.asked = map[string]int{}
	}
	e.asked[login.APIKey]++
	e.asked[path.Base(r.URL.Path)]++
	text := `{"accessToken":"t","refreshToken":"r","expires":"` + time.Now().Add(24*time.Hour).UTC().Format(time.RFC3339) + `"}`
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {"application/json"}, "Date": {time.Now().UTC().Format(http.TimeFormat)}},
		Body: io.NopCloser(strings.NewReader(text)), Request: r}, nil
}

// count is how many were asked for with an API key, and starts from 0 again.
func (e *endpoint) count(key string) int {
	e.mu.Lock()
	defer e.mu.Unlock()
	n := e.asked[key]
	delete(e.asked, key)
	return n
}

// legacy is a configuration of legacy keys, each with its source, by the names of the keys.
func legacy(secrets map[string]string) *config.Config {
	c := config.Defaults()
	c.Keys, c.Sources = map[string]config.Key{}, map[string]config.Source{}
	for name, secret := range secrets {
		c.Keys[name] = config.Key{Type: config.KeyLegacy, APIKey: config.NewSecret(name + secret), Secret: config.NewSecret(secret), Pool: 1, Mode: config.ModeCached}
		c.Sources["of-"+name] = config.Source{Key: name}
	}
	return &c
}

// Keys come, go and change while others notice nothing: their tokens, their metrics, their names.
func TestKeys_AChangeIsADifference(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		far, registry := &endpoint{}, prometheus.NewRegistry()
		keys, err := NewKeys(legacy(map[string]string{"stays": "1", "goes": "1", "changes": "1"}), KeysOptions{Transport: far, Registerer: registry})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		from, ended := make(chan struct{}), make(chan error, 1)
		close(from)
		go func() { ended <- keys.Run(ctx, from) }()
		synctest.Wait()
		for _, key := range []string{"stays1", "goes1", "changes1"} {
			if n := far.count(key); n != 1 {
				t.Errorf("%s: %d tokens", key, n)
			}
		}
		stays := keys.Get("stays")
		set := func(secrets map[string]string) {
			t.Helper()
			if err := keys.set(legacy(secrets)); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
		}
		set(map[string]string{"stays": "1", "changes": "2", "comes": "1"})
		if far.count("changes2") != 1 || far.count("comes1") != 1 || far.count("stays1") != 0 || keys.Get("stays") != stays || keys.Get("goes") != nil {
			t.Errorf("not the difference: %v", far.asked)
		}
		if got := usable(t, registry); !slices.Equal(got, []string{"changes", "comes", "stays"}) {
			t.Errorf("metrics of %v", got)
		}
		set(map[string]string{"stays": "1", "changes": "2", "comes": "1", "goes": "1"})
		if far.count("goes1") != 1 {
			t.Error("no token for the key that came back")
		}
		bubble.Sleep(48 * time.Hour)
		if far.count("changes1") != 0 || far.count("")+far.count("stays1") == 0 {
			t.Errorf("what was replaced is renewed, or the rest is not: %v", far.asked)
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// A legacy key that is per request authenticates each time, and by itself never.
func TestKeys_LegacyPerRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		far, c := &endpoint{}, legacy(map[string]string{"a": "1", "b": "1"})
		key := c.Keys["a"]
		key.Mode = config.ModePerRequest
		c.Keys["a"] = key
		keys, err := NewKeys(c, KeysOptions{Transport: far})
		if err != nil {
			t.Fatal(err)
		}
		for range 3 {
			for _, name := range []string{"a", "b"} {
				if _, err := keys.Get(name).Tokens.Bearer(t.Context()); err != nil {
					t.Error(err)
				}
			}
		}
		if a, b := far.count("a1"), far.count("b1"); a != 3 || b != 1 {
			t.Errorf("asked %d and %d times", a, b)
		}
		if n := far.count("refreshToken"); n != 0 {
			t.Errorf("%d refreshes", n)
		}
	})
}

// usable are the keys that a metric of each says something about, sorted.
func usable(t *testing.T, registry *prometheus.Registry) (keys []string) {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == "redoxworker_auth_usable" {
			for _, m := range f.GetMetric() {
				keys = append(keys, m.GetLabel()[0].GetValue())
			}
		}
	}
	return keys
}

// A key that nothing uses any more is asked for no token, and one that something uses again is.
func TestKeys_UseComesAndGoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		far := &endpoint{}
		c := legacy(map[string]string{"a": "1"})
		keys, err := NewKeys(c, KeysOptions{Transport: far})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		from, ended := make(chan struct{}), make(chan error, 1)
		close(from)
		go func() { ended <- keys.Run(ctx, from) }()
		synctest.Wait()
		idle := *c
		idle.Sources = nil
		for _, c := range []*config.Config{&idle, &idle, c, &idle} {
			if err := keys.set(c); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		if n := far.count("a1"); n != 1 {
			t.Errorf("%d tokens", n)
		}
		bubble.Sleep(72 * time.Hour)
		if n := far.count("a1") + far.count(""); n != 0 {
			t.Errorf("%d requests for a key that nothing uses", n)
		}
		if err := keys.set(c); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if n := far.count("a1") + far.count(""); n == 0 {
			t.Error("no token for a key that is used again")
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// An error names every bad key and changes nothing.
func TestKeys_AChangeThatFailsChangesNothing(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewRegistry()
	keys, err := NewKeys(legacy(map[string]string{"a": "1", "b": "1"}), KeysOptions{Registerer: registry})
	if err != nil {
		t.Fatal(err)
	}
	a, b := keys.Get("a"), keys.Get("b")
	bad := legacy(map[string]string{"a": "2", "b": "", "c": ""})
	err = keys.set(bad)
	if err == nil || !strings.Contains(err.Error(), "keys.b: ") || !strings.Contains(err.Error(), "keys.c: ") {
		t.Errorf("%v", err)
	}
	if keys.Get("a") != a || keys.Get("b") != b || keys.Get("c") != nil {
		t.Error("something has changed")
	}
	if got := usable(t, registry); !slices.Equal(got, []string{"a", "b"}) {
		t.Errorf("metrics of %v", got)
	}
}

// A key whose file holds another key pair, with another kid, is the same key: it follows its file.
func TestKeys_AFileThatChangedIsNoChange(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "key.jwk")
	write := func(kid string) *config.Config {
		t.Helper()
		key, err := auth.GenerateKey(auth.ES384, kid)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.RemoveAll(file); err != nil {
			t.Fatal(err)
		}
		if err := auth.WriteKeyFile(file, key); err != nil {
			t.Fatal(err)
		}
		c, err := config.Load(config.Options{Flags: map[string]any{"keys.main.client_id": "c", "keys.main.private_key_file": file}, Skip: config.PartSources})
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	keys := open(t, write("one"))
	before := keys.Get("main")
	if err := keys.set(write("two")); err != nil || keys.Get("main") != before {
		t.Errorf("%v, or the key was made anew", err)
	}
	changed := write("two")
	changed.Keys["main"] = func(k config.Key) config.Key { k.Scope = "other"; return k }(changed.Keys["main"])
	if err := keys.set(changed); err != nil || keys.Get("main") == before {
		t.Errorf("%v, or the key was not made anew", err)
	}
}
