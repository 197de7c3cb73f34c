package auth

import (
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/redoxworker/redoxworker/worker/workertest/bubble"
)

// meanRenewal is the part of its lifetime at which a token is renewed on average.
const meanRenewal = (renewFrom + renewTo) / 2

// ideal is how many tokens a time takes when each is renewed at the mean moment of its
// window; delayed is for how much of the time a renewal was due and could not be had.
func ideal(all, life, delayed time.Duration) float64 {
	return float64(all-delayed) / (float64(life) * meanRenewal)
}

// expectTokens checks that as many tokens were made as is ideal, within a tenth.
func expectTokens(t testing.TB, made int, ideal float64) {
	t.Helper()
	if f := float64(made); f < 0.9*ideal || f > 1.1*ideal {
		t.Errorf("%d tokens, ideal are %.1f", made, ideal)
	}
}

// TestHours_SixOfFiveMinuteTokens runs OAuth and Cache against the strict
// stand-in, over HTTP.
func TestHours_SixOfFiveMinuteTokens(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newStandIn(t, ecKey("k"))
		c := startCache(t, newTestOAuth(t, s, ecKey("k"), OAuthConfig{}), CacheConfig{})
		for range 6 * 3600 {
			if !s.valid(bearer(t, c)) {
				t.Fatal("an ended token was handed out")
			}
			bubble.Sleep(time.Second)
		}
		_, made := s.counts()
		expectTokens(t, made, ideal(6*time.Hour, 5*time.Minute, 0))
	})
}

// weather is a stand-in's random faults: outages of all lengths, slow answers,
// proxies' pages, cut connections.
type weather struct {
	mu    sync.Mutex
	until time.Time // of the present outage
	kind  int
}

// change begins an outage of 1 s to 2 min with the given probability.
func (w *weather) change(p float64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if time.Now().After(w.until) && rand.Float64() < p {
		w.until = time.Now().Add(time.Second + rand.N(2*time.Minute))
		w.kind = rand.IntN(5)
	}
}

func (w *weather) now() (bad bool, kind int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return time.Now().Before(w.until), w.kind
}

func (w *weather) fault(rw http.ResponseWriter, r *http.Request) bool {
	bad, kind := w.now()
	if !bad {
		return false
	}
	switch kind {
	case 0:
		rw.WriteHeader(http.StatusServiceUnavailable)
	case 1:
		panic(http.ErrAbortHandler) // the connection is cut
	case 2:
		_, _ = rw.Write([]byte("<html>maintenance</html>")) // with status 200
	case 3:
		hang(rw, r)
	default:
		rw.WriteHeader(http.StatusTooManyRequests)
	}
	return true
}

// TestHours_SixWithRandomOutages: never an ended token, never none while a good
// one could be had, and no more tokens than were needed.
func TestHours_SixWithRandomOutages(t *testing.T) {
	t.Parallel()
	for range 4 {
		synctest.Test(t, func(t *testing.T) {
			s, w := newStandIn(t, ecKey("k")), &weather{}
			s.fault = w.fault
			c := startCache(t, newTestOAuth(t, s, ecKey("k"), OAuthConfig{}), CacheConfig{})
			bubble.Sleep(time.Second)
			fair := time.Now() // since when the weather has been fair
			var delayed time.Duration
			for range 6 * 3600 {
				w.change(1.0 / 400)
				if bad, _ := w.now(); bad {
					fair = time.Now()
				}
				got, err := c.Bearer(t.Context())
				if err == nil && !s.valid(got) {
					t.Fatal("an ended token was handed out")
				}
				// The longest wait between tries is 30 s, a hanging request's end 15 s.
				if err != nil && time.Since(fair) > 50*time.Second {
					t.Fatalf("no token after %s of fair weather: %v", time.Since(fair), err)
				}
				if c.Status().Failures > 0 {
					delayed += time.Second
				}
				bubble.Sleep(time.Second)
			}
			_, made := s.counts()
			expectTokens(t, made, ideal(6*time.Hour, 5*time.Minute, delayed))
		})
	}
}

// TestHours_FourSecondTokens is a minute of tokens so short that each is renewed
// every few seconds: the server never sees an ended one.
func TestHours_FourSecondTokens(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newStandIn(t, ecKey("k"))
		s.ttl = 4 * time.Second
		c := startCache(t, newTestOAuth(t, s, ecKey("k"), OAuthConfig{}), CacheConfig{})
		for range 6000 {
			got := bearer(t, c)
			bubble.Sleep(10 * time.Millisecond) // on its way
			if !s.valid(got) {
				t.Fatal("an ended token arrived")
			}
		}
		if _, made := s.counts(); made > 25 {
			t.Errorf("%d tokens in a minute", made)
		}
	})
}

// TestHours_RandomLives has any lifetime, any speed and any number of tokens.
func TestHours_RandomLives(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		life := time.Duration(rapid.Int64Range(int64(2*time.Second), int64(24*time.Hour)).Draw(rt, "life"))
		takes := time.Duration(rapid.Float64Range(0, 0.3).Draw(rt, "takes") * float64(min(life, time.Minute)))
		pool := rapid.IntRange(1, 5).Draw(rt, "pool")
		synctest.Test(t, func(t *testing.T) {
			b := &bench{life: life, takes: takes}
			c := startCache(t, b, CacheConfig{Pool: pool})
			for range 200 {
				got := bearer(t, c)
				if end, _ := b.live.Load(got); !time.Now().Before(end.(time.Time)) {
					t.Fatal("an ended token was handed out")
				}
				bubble.Sleep(life / 20)
			}
			most := int64(float64(pool) * (10/renewFrom + 2) * 1.5)
			if n := b.calls.Load(); n > most {
				t.Errorf("%d requests in ten lives of %s, pool %d, each %s", n, life, pool, takes)
			}
		})
	})
}

// TestHours_SixtyDaysOfLegacyTokens renews each 24-hour token before its end, by the
// refresh token, although the server's clock is ahead.
func TestHours_SixtyDaysOfLegacyTokens(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newLegacyStandIn()
		s.skew = 7 * time.Minute
		c := startCache(t, newTestLegacy(t, s, LegacyConfig{}), CacheConfig{})
		for range 60 * 24 * 60 {
			if !s.valid(bearer(t, c)) {
				t.Fatal("an ended token was handed out")
			}
			bubble.Sleep(time.Minute)
		}
		refreshed, authenticated := strings.Count(s.asked(), "refreshToken"), strings.Count(s.asked(), "authenticate")
		if authenticated != 1 {
			t.Errorf("authenticated %d times, want once and then refreshed", authenticated)
		}
		expectTokens(t, refreshed+authenticated, ideal(60*24*time.Hour, 24*time.Hour, 0))
	})
}

// TestHours_ADayOfLegacyTokensWithRandomOutages looks every second at a server that fails
// in every way, and whose refresh tokens sometimes end.
func TestHours_ADayOfLegacyTokensWithRandomOutages(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, w := newLegacyStandIn(), &weather{}
		s.ttl, s.fault = time.Hour, w.fault // a day of them is as many as many days of Redox's
		c := startCache(t, newTestLegacy(t, s, LegacyConfig{}), CacheConfig{})
		bubble.Sleep(time.Second)
		fair := time.Now()
		var delayed time.Duration
		for i := range 24 * 3600 {
			w.change(1.0 / 400)
			if bad, _ := w.now(); bad {
				fair = time.Now()
			}
			if i%20000 == 19999 {
				s.set(func() { s.refresh = "" })
			}
			got, err := c.Bearer(t.Context())
			if err == nil && !s.valid(got) {
				t.Fatal("an ended token was handed out")
			}
			if err != nil && time.Since(fair) > 50*time.Second {
				t.Fatalf("no token after %s of fair weather: %v", time.Since(fair), err)
			}
			if c.Status().Failures > 0 {
				delayed += time.Second
			}
			bubble.Sleep(time.Second)
		}
		expectTokens(t, s.madeTokens(), ideal(24*time.Hour, s.ttl, delayed))
	})
}
