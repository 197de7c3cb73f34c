package auth

import (
	"encoding/json"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metric returns the sum of a family's counters or gauges; labels are "name=value".
func metric(t testing.TB, r *prometheus.Registry, name string, labels ...string) float64 {
	t.Helper()
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	sum, found := 0.0, false
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			have := map[string]bool{}
			for _, l := range m.GetLabel() {
				have[l.GetName()+"="+l.GetValue()] = true
			}
			matches := true
			for _, l := range labels {
				matches = matches && have[l]
			}
			if matches {
				found = true
				sum += m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
			}
		}
	}
	if !found {
		t.Fatalf("no metric %s %v", name, labels)
	}
	return sum
}

func TestMetrics_CountWhatHappened(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r, b := prometheus.NewRegistry(), &bench{}
		c := startCache(t, b, CacheConfig{Name: "main", Registerer: r})
		other := must(NewCache(&bench{}, CacheConfig{Name: "old", Registerer: r}))
		c.Invalidate(bearer(t, c))
		bearer(t, c)
		b.failWith(errDown)
		c.Invalidate(bearer(t, c))
		synctest.Wait()
		bearer(t, other)
		for name, want := range map[string]float64{
			"redoxworker_auth_mints_total key=main result=ok":          2,
			"redoxworker_auth_mints_total key=main result=temporary":   1,
			"redoxworker_auth_mints_total key=main result=heals":       0,
			"redoxworker_auth_mints_total key=old result=ok":           1,
			"redoxworker_auth_mint_seconds key=main":                   3,
			"redoxworker_auth_invalidations_total key=main":            2,
			"redoxworker_auth_invalidations_total key=old":             0,
			"redoxworker_auth_usable key=main":                         0,
			"redoxworker_auth_usable key=old":                          1,
			"redoxworker_auth_failures key=main":                       1,
			"redoxworker_auth_token_expiry_timestamp_seconds key=main": 0,
			"redoxworker_auth_token_expiry_timestamp_seconds key=old":  float64(time.Now().Add(5 * time.Minute).Unix()),
			"redoxworker_auth_clock_skew_seconds key=main":             0,
		} {
			parts := strings.Fields(name)
			if got := metric(t, r, parts[0], parts[1:]...); got != want {
				t.Errorf("%s is %v, want %v", name, got, want)
			}
		}
	})
}

func TestMetrics_OneNameTwiceIsAnError(t *testing.T) {
	t.Parallel()
	r := prometheus.NewRegistry()
	must(NewCache(&bench{}, CacheConfig{Registerer: r}))
	if _, err := NewCache(&bench{}, CacheConfig{Registerer: r}); err == nil || !strings.Contains(err.Error(), "its own name") {
		t.Errorf("got %v", err)
	}
	taken := prometheus.NewRegistry()
	taken.MustRegister(prometheus.NewGauge(prometheus.GaugeOpts{Name: "redoxworker_auth_mints_total", Help: "another"}))
	if _, err := NewCache(&bench{}, CacheConfig{Registerer: taken}); err == nil {
		t.Error("another's metric was taken over")
	}
}

func TestStatus_SaysWhatAPersonNeeds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newStandIn(t)
		c := startCache(t, newTestOAuth(t, s, ecKey("k1"), OAuthConfig{}), CacheConfig{Name: "main"})
		if _, err := c.Bearer(t.Context()); err == nil {
			t.Fatal("an unknown key was taken")
		}
		got := c.Status()
		if got.Usable || got.Tokens != 0 || got.Failures != 1 || got.KeyID != "k1" || got.Name != "main" || got.Failed != 1 {
			t.Errorf("status %+v", got)
		}
		if !strings.Contains(got.Error, "Public key not found") || !strings.Contains(got.Mend, "dashboard") || !got.NextTry.After(time.Now()) {
			t.Errorf("status %+v", got)
		}
		s.set(func() { s.keys["k1"] = ecKey("").Public() })
		time.Sleep(time.Minute)
		got = c.Status()
		if !got.Usable || got.Tokens != 1 || got.Error != "" || got.Mend != "" || !got.NextTry.IsZero() || got.Mints != 1 {
			t.Errorf("status %+v", got)
		}
		text := string(must(json.Marshal(got)))
		if !strings.Contains(text, `"usable":true`) || strings.Contains(text, "token-") || strings.Contains(text, "next_try") {
			t.Errorf("as JSON: %s", text)
		}
	})
}
