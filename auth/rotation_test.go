package auth

import (
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redoxworker/redoxworker/worker/workertest/bubble"
)

// TestRotation_NextTakesOverWithoutATokenlessMoment withdraws the current key at
// the server, while callers ask for tokens all the time.
func TestRotation_NextTakesOverWithoutATokenlessMoment(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, log, r := newStandIn(t, rsaKey("old"), ecKey("new")), &logBook{}, &tally{}
		o := newTestOAuth(t, s, rsaKey("old"), OAuthConfig{Next: ecKey("new"), Logger: log.logger(), Metrics: r, Name: "main"})
		c := startCache(t, o, CacheConfig{})
		for i := range 3600 {
			if i == 1000 {
				s.set(func() { delete(s.keys, "old") })
			}
			if !s.valid(bearer(t, c)) {
				t.Fatal("an ended token was handed out")
			}
			bubble.Sleep(time.Second)
		}
		asked, made := s.counts()
		if asked-made != 1 || o.KeyInUse().ID() != "new" {
			t.Errorf("%d refusals, %q in use", asked-made, o.KeyInUse().ID())
		}
		if strings.Count(log.String(), "level=WARN") != 1 || !strings.Contains(log.String(), "refused_kid=old used_kid=new") {
			t.Errorf("the log reads %s", log)
		}
		if got := r.of("fell back main"); got != 1 {
			t.Errorf("%v fallbacks counted", got)
		}
	})
}

// Servers name a key that they do not know in more than one way, and each leads to the other key.
func TestRotation_EveryWayToRefuseAKey(t *testing.T) {
	t.Parallel()
	for _, code := range []string{"invalid_client", "invalid_grant"} {
		synctest.Test(t, func(t *testing.T) {
			s := newStandIn(t, ecKey("new"))
			s.fault = func(w http.ResponseWriter, r *http.Request) bool {
				if part(t, r.FormValue("client_assertion"), 0)["kid"] != "old" {
					return false
				}
				s.refuse(w, http.StatusBadRequest, code, `No public keys found in the JWKS with "kid" equal to "old"`)
				return true
			}
			o := newTestOAuth(t, s, rsaKey("old"), OAuthConfig{Next: ecKey("new")})
			if _, err := o.Mint(t.Context()); err != nil || o.KeyInUse().ID() != "new" {
				t.Errorf("%s: %q in use, %v", code, o.KeyInUse().ID(), err)
			}
			_, err := newTestOAuth(t, s, rsaKey("old"), OAuthConfig{}).Mint(t.Context())
			if e, ok := errors.AsType[*TokenError](err); !ok || !e.Heals() || !strings.Contains(e.Mend(), "the public key is saved") {
				t.Errorf("%s: %v", code, err)
			}
		})
	}
}

func TestRotation_FallsBackInBothDirections(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newStandIn(t, ecKey("new"))
		o := newTestOAuth(t, s, rsaKey("old"), OAuthConfig{Next: ecKey("new")})
		for i, kid := range []string{"new", "old", "new"} {
			s.set(func() {
				clear(s.keys)
				s.keys["old"], s.keys["new"] = rsaKey("").Public(), ecKey("").Public()
				delete(s.keys, map[string]string{"new": "old", "old": "new"}[kid])
			})
			if _, err := o.Mint(t.Context()); err != nil || o.KeyInUse().ID() != kid {
				t.Errorf("step %d: %q in use, %v", i, o.KeyInUse().ID(), err)
			}
		}
	})
}

func TestRotation_InvalidClientFallsBackToo(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, refusals := newStandIn(t, rsaKey("old"), ecKey("new")), 0
		s.fault = func(w http.ResponseWriter, _ *http.Request) bool {
			if refusals++; refusals > 1 {
				return false
			}
			s.refuse(w, http.StatusUnauthorized, "invalid_client", "client authentication failed")
			return true
		}
		o := newTestOAuth(t, s, rsaKey("old"), OAuthConfig{Next: ecKey("new")})
		if _, err := o.Mint(t.Context()); err != nil || o.KeyInUse().ID() != "new" {
			t.Errorf("%q in use, %v", o.KeyInUse().ID(), err)
		}
	})
}

// TestRotation_OtherErrorsDoNotSwitch: an outage says nothing about a key.
func TestRotation_OtherErrorsDoNotSwitch(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newStandIn(t, rsaKey("old"), ecKey("new"))
		o := newTestOAuth(t, s, rsaKey("old"), OAuthConfig{Next: ecKey("new")})
		for _, code := range []int{500, 503, 429, 404, 403} {
			s.set(func() { s.fault = status(code) })
			if _, err := o.Mint(t.Context()); err == nil || o.KeyInUse().ID() != "old" {
				t.Errorf("%d: %q in use, %v", code, o.KeyInUse().ID(), err)
			}
		}
		if asked, _ := s.counts(); asked != 5 {
			t.Errorf("%d requests", asked)
		}
	})
}

func TestRotation_BothRefusedNamesBoth(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newStandIn(t)
		o := newTestOAuth(t, s, rsaKey("old"), OAuthConfig{Next: ecKey("new")})
		_, err := o.Mint(t.Context())
		if err == nil || !strings.Contains(err.Error(), `kid "old"`) || !strings.Contains(err.Error(), `kid "new"`) || strings.Count(err.Error(), "auth:") != 1 {
			t.Errorf("reads %q", err)
		}
		if classOf(err) != heals || o.KeyInUse().ID() != "old" {
			t.Errorf("%s, %q in use", classOf(err), o.KeyInUse().ID())
		}
	})
}

// TestRotation_SecondKeyMeetsAnOutage: the pair is asked again soon, for the
// other key may be good.
func TestRotation_SecondKeyMeetsAnOutage(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, n := newStandIn(t, ecKey("new")), 0
		s.fault = func(w http.ResponseWriter, _ *http.Request) bool {
			if n++; n != 2 {
				return false
			}
			w.WriteHeader(http.StatusBadGateway)
			return true
		}
		o := newTestOAuth(t, s, rsaKey("old"), OAuthConfig{Next: ecKey("new")})
		if _, err := o.Mint(t.Context()); classOf(err) != temporary {
			t.Errorf("%s: %v", classOf(err), err)
		}
		if _, err := o.Mint(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

func TestSetKeys_TakesEffectAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newStandIn(t, ecKey("new"))
		o := newTestOAuth(t, s, rsaKey("old"), OAuthConfig{})
		c := startCache(t, o, CacheConfig{})
		bubble.Sleep(time.Minute)
		if _, err := c.Bearer(t.Context()); err == nil {
			t.Fatal("an unknown key was taken")
		}
		if err := o.SetKeys(ecKey("new"), Key{}); err != nil {
			t.Fatal(err)
		}
		c.Renew()
		synctest.Wait()
		if bearer(t, c); c.Status().KeyID != "new" {
			t.Errorf("status %+v", c.Status())
		}
	})
}

func TestSetKeys_RefusesAndKeepsTheOldPair(t *testing.T) {
	t.Parallel()
	o := must(NewOAuth("c", rsaKey("a"), OAuthConfig{Next: rsaKey2("b"), Algorithm: RS384}))
	for want, pair := range map[string][2]Key{
		"private key is missing": {},
		"has no kid":             {rsaKey(""), Key{}},
		"the next key has no":    {rsaKey("x"), rsaKey2("")},
		"cannot sign RS384":      {ecKey("x"), Key{}},
		"two different keys":     {rsaKey("x"), rsaKey2("x")},
	} {
		if err := o.SetKeys(pair[0], pair[1]); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	if keys := o.Keys(); len(keys) != 2 || keys[0].ID() != "a" || keys[1].ID() != "b" {
		t.Errorf("the pair is %v", keys)
	}
}

func TestSetKeys_KeepsUsingAKeyThatWorks(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name          string
		current, next Key
		want          string
	}{
		{"the pair again", rsaKey("a"), rsaKey2("b"), "b"},
		{"next became current", rsaKey2("b"), Key{}, "b"},
		{"next became current, with a new next", rsaKey2("b"), ecKey("c"), "b"},
		{"other numbers under the old kid", ecKey("x"), ecKey("b"), "x"},
		{"all new", ecKey("x"), Key{}, "x"},
	} {
		var p keyPair
		p.set([2]Key{rsaKey("a"), rsaKey2("b")})
		keys, _ := p.get()
		if !p.use(keys, 1) || p.use(keys, 1) {
			t.Fatal("the switch")
		}
		p.set([2]Key{c.current, c.next})
		if keys, i := p.get(); keys[i].ID() != c.want {
			t.Errorf("%s: %q in use, want %q", c.name, keys[i].ID(), c.want)
		}
		if p.use(keys, 0) && keys != p.keys {
			t.Errorf("%s: a replaced pair switched the new one", c.name)
		}
	}
}

func TestSetKeys_WhileTokensAreMinted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newStandIn(t, ecKey("a"), ecKey("b"))
		o := newTestOAuth(t, s, ecKey("a"), OAuthConfig{})
		var all sync.WaitGroup
		for i := range 8 {
			all.Go(func() {
				for range 20 {
					if i == 0 {
						if err := errors.Join(o.SetKeys(ecKey("b"), ecKey("a")), o.SetKeys(ecKey("a"), Key{})); err != nil {
							t.Error(err)
						}
					}
					if _, err := o.Mint(t.Context()); err != nil {
						t.Error(err)
					}
				}
			})
		}
		all.Wait()
	})
}
