package prom

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/redoxworker/redoxworker/auth"
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

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func TestMetrics_CountWhatHappened(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := prometheus.NewRegistry()
		m := must(New(r))
		fails := false
		mint := auth.MinterFunc(func(context.Context) (auth.Token, error) {
			if fails {
				return auth.Token{}, errors.New("down")
			}
			return auth.NewToken("abc", time.Now(), time.Now().Add(5*time.Minute)), nil
		})
		ask := func(c *auth.Cache) { _, _ = c.Bearer(t.Context()) }
		c := must(auth.NewCache(mint, auth.CacheConfig{Name: "main", Metrics: m}))
		other := must(auth.NewCache(mint, auth.CacheConfig{Name: "old", Metrics: m}))
		remove := must(m.Add(c))
		must(m.Add(other))
		ask(c)
		c.Invalidate("abc")
		ask(c)
		fails = true
		c.Invalidate("abc")
		ask(c)
		fails = false
		ask(other)
		m.FellBack("main")
		for name, want := range map[string]float64{
			"redoxworker_auth_mints_total key=main result=ok":          2,
			"redoxworker_auth_mints_total key=main result=temporary":   1,
			"redoxworker_auth_mints_total key=main result=heals":       0,
			"redoxworker_auth_mints_total key=old result=ok":           1,
			"redoxworker_auth_mint_seconds key=main":                   3,
			"redoxworker_auth_invalidations_total key=main":            2,
			"redoxworker_auth_invalidations_total key=old":             0,
			"redoxworker_auth_key_fallbacks_total key=main":            1,
			"redoxworker_auth_key_fallbacks_total key=old":             0,
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
		remove()
		remove()
		if n := series(t, r, "main"); n != 0 {
			t.Errorf("%d series are left of a cache that is gone", n)
		}
		if n := series(t, r, "old"); n != 11 {
			t.Errorf("%d series of the other one", n)
		}
		must(m.Add(c))
	})
}

// series counts what a registry has of a cache.
func series(t *testing.T, r *prometheus.Registry, key string) (n int) {
	t.Helper()
	for _, f := range must(r.Gather()) {
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				if l.GetName() == "key" && l.GetValue() == key {
					n++
				}
			}
		}
	}
	return n
}

// A program whose keys come and go keeps nothing of those that went.
func TestMetrics_AThousandCachesComeAndGo(t *testing.T) {
	t.Parallel()
	r := prometheus.NewRegistry()
	m := must(New(r))
	c := must(auth.NewCache(auth.MinterFunc(func(context.Context) (auth.Token, error) { return auth.Token{}, nil }), auth.CacheConfig{Name: "stays"}))
	must(m.Add(c))
	for range 1_000 {
		c := must(auth.NewCache(auth.MinterFunc(func(context.Context) (auth.Token, error) { return auth.Token{}, nil }), auth.CacheConfig{Name: "comes"}))
		must(m.Add(c))()
	}
	if stays, comes := series(t, r, "stays"), series(t, r, "comes"); stays != 11 || comes != 0 {
		t.Errorf("%d and %d series", stays, comes)
	}
}

func TestMetrics_OneNameTwiceIsAnError(t *testing.T) {
	t.Parallel()
	r := prometheus.NewRegistry()
	m := must(New(r))
	if again := must(New(r)); again != m {
		t.Error("one registry has two")
	}
	c := must(auth.NewCache(auth.MinterFunc(func(context.Context) (auth.Token, error) { return auth.Token{}, nil }), auth.CacheConfig{}))
	must(m.Add(c))
	if _, err := m.Add(c); err == nil || !strings.Contains(err.Error(), "its own name") {
		t.Errorf("got %v", err)
	}
	taken := prometheus.NewRegistry()
	taken.MustRegister(prometheus.NewGauge(prometheus.GaugeOpts{Name: "redoxworker_auth_mints_total", Help: "another"}))
	if _, err := New(taken); err == nil {
		t.Error("another's metric was taken over")
	}
	for _, bad := range []func() error{
		func() error { _, err := New(nil); return err },
		func() error { _, err := m.Add(nil); return err },
	} {
		if bad() == nil {
			t.Error("nil was taken")
		}
	}
}

// However many keys there are, so many have series of their own, and of the gauges those that are not
// usable: a token that the API refuses is not.
func TestMetrics_ManyKeys(t *testing.T) {
	t.Parallel()
	r := prometheus.NewRegistry()
	m := must(New(r))
	for i := range 1_000 {
		must(m.Add(must(auth.NewCache(auth.MinterFunc(func(context.Context) (auth.Token, error) {
			return auth.NewToken("abc", time.Now(), time.Now().Add(5*time.Minute)), nil
		}), auth.CacheConfig{Name: fmt.Sprintf("key-%04d", i), Metrics: m}))))
	}
	m.Minted("key-0999", "ok", time.Second)
	m.Refused(func() map[string]bool { return map[string]bool{"key-0777": true} })
	for name, want := range map[string]float64{
		"redoxworker_auth_mints_total key=(other) result=ok": 1,
		"redoxworker_auth_usable key=key-0777":               0,
		"redoxworker_auth_usable key=key-0000":               1,
		"redoxworker_auth_keys state=usable":                 999,
		"redoxworker_auth_keys state=unusable":               1,
	} {
		parts := strings.Fields(name)
		if got := metric(t, r, parts[0], parts[1:]...); got != want {
			t.Errorf("%s is %v, want %v", name, got, want)
		}
	}
	n := 0
	for _, f := range must(r.Gather()) {
		n += len(f.GetMetric())
	}
	if most := 11*(mostKeys+1) + 2; n > most {
		t.Errorf("%d series of 1,000 keys, want %d at most", n, most)
	}
}

// A request for a token that ends after its key was removed leaves no series of that key behind, nor
// takes the place of a key that comes later.
func TestMetrics_ARemovedKeyTakesNoPlace(t *testing.T) {
	t.Parallel()
	r := prometheus.NewRegistry()
	m := must(New(r))
	add := func(name string) (remove func()) {
		return must(m.Add(must(auth.NewCache(auth.MinterFunc(func(context.Context) (auth.Token, error) {
			return auth.Token{}, errors.New("down")
		}), auth.CacheConfig{Name: name, Metrics: m}))))
	}
	for i := range mostKeys {
		name := fmt.Sprint("old-", i)
		add(name)()
		m.Minted(name, "ok", time.Second)
	}
	add("new")
	m.Minted("new", "ok", time.Second)
	if n := metric(t, r, "redoxworker_auth_mints_total", "key=new", "result=ok"); n != 1 {
		t.Errorf("the new key is counted %v times by its name", n)
	}
	if n := metric(t, r, "redoxworker_auth_mints_total", "key="+otherKeys, "result=ok"); n != mostKeys {
		t.Errorf("%v requests of removed keys are counted", n)
	}
}
