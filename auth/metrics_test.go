package auth

import (
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// tally is a Metrics that counts what it is told.
type tally struct {
	mu   sync.Mutex
	told map[string]int
}

func (t *tally) add(what string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.told == nil {
		t.told = map[string]int{}
	}
	t.told[what]++
}

func (t *tally) of(what string) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.told[what]
}

func (t *tally) Minted(name, result string, took time.Duration) {
	t.add(fmt.Sprintf("minted %s %s", name, result))
}
func (t *tally) Invalidated(name string) { t.add("invalidated " + name) }
func (t *tally) FellBack(name string)    { t.add("fell back " + name) }

func TestMetrics_AreToldWhatHappened(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		told, b := &tally{}, &bench{}
		c := startCache(t, b, CacheConfig{Name: "main", Metrics: told})
		c.Invalidate(bearer(t, c))
		bearer(t, c)
		b.failWith(errDown)
		c.Invalidate(bearer(t, c))
		synctest.Wait()
		for what, want := range map[string]int{"minted main ok": 2, "minted main temporary": 1, "invalidated main": 2} {
			if got := told.of(what); got != want {
				t.Errorf("%s: %d times, want %d", what, got, want)
			}
		}
	})
}

type hostileMetrics struct{}

func (hostileMetrics) Minted(string, string, time.Duration) { panic(hostileValue) }
func (hostileMetrics) Invalidated(string)                   { panic(hostileValue) }
func (hostileMetrics) FellBack(string)                      { panic(hostileValue) }

func TestMetrics_APanicHarmsNobody(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var none *tally
		startCache(t, &bench{}, CacheConfig{Metrics: none})
		c := startCache(t, &bench{}, CacheConfig{Metrics: hostileMetrics{}})
		c.Invalidate(bearer(t, c))
		bearer(t, c)
		s := newStandIn(t, ecKey("new"))
		o := newTestOAuth(t, s, rsaKey("old"), OAuthConfig{Next: ecKey("new"), Metrics: hostileMetrics{}})
		if _, err := o.Mint(t.Context()); err != nil {
			t.Error(err)
		}
	})
}
