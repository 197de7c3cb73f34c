package auth

import (
	"cmp"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/redoxworker/redoxworker/worker/workertest/bubble"
)

// clocked is a token endpoint whose clock is not this host's, strict about the times of an
// assertion as Redox is: iat within the past five minutes with an allowance for clocks
// that are ahead, exp to come and at most five minutes away.
type clocked struct {
	*standIn
	ahead  time.Duration // the host's clock less the endpoint's
	leeway time.Duration
	date   func(now time.Time) string // the Date header; nil: the truth
	code   string                     // of a refusal; "": invalid_request
	iats   []time.Duration            // of the assertions, less the endpoint's time
}

func (c *clocked) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	now := time.Now().Add(-c.ahead)
	w.Header().Set("Date", now.UTC().Format(http.TimeFormat))
	if c.date != nil {
		w.Header()["Date"] = nil
		if text := c.date(now); text != "" {
			w.Header().Set("Date", text)
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.asked++
	var claims jwt.RegisteredClaims
	_ = r.ParseForm()
	_, err := jwt.NewParser(jwt.WithoutClaimsValidation()).ParseWithClaims(r.PostForm.Get("client_assertion"), &claims, func(t *jwt.Token) (any, error) {
		if k, ok := c.keys[t.Header["kid"].(string)]; ok {
			return k, nil
		}
		return nil, errUnknownKey
	})
	if err != nil {
		c.refuse(w, http.StatusBadRequest, cmp.Or(c.code, "invalid_client"), "")
		return
	}
	iat, exp := claims.IssuedAt.Sub(now), claims.ExpiresAt.Sub(now)
	c.iats = append(c.iats, iat)
	if iat > c.leeway || iat < -5*time.Minute || exp <= 0 || exp > 5*time.Minute {
		c.refuse(w, http.StatusBadRequest, cmp.Or(c.code, "invalid_request"), "")
		return
	}
	c.made++
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write([]byte(`{"access_token":"t","token_type":"Bearer","expires_in":300}`))
}

// mints asks for one token and tells how many requests that took.
func mints(t *testing.T, c *clocked, o *OAuth) (requests int, err error) {
	t.Helper()
	before, _ := c.counts()
	_, err = o.Mint(t.Context())
	after, _ := c.counts()
	return after - before, err
}

func TestDating_AHostWhoseClockIsOffGetsTokens(t *testing.T) {
	t.Parallel()
	const year = 365 * 24 * time.Hour
	for _, server := range []clocked{{leeway: 10 * time.Second}, {}, {code: "invalid_client"}, {code: "invalid_grant", leeway: time.Minute}} {
		for _, seconds := range []time.Duration{0, 5, -5, 12, -12, 45, -45, 301, -301, 7200, -7200} {
			ahead := seconds * time.Second
			synctest.Test(t, func(t *testing.T) {
				c := &clocked{standIn: newStandIn(t, ecKey("k")), ahead: ahead, leeway: server.leeway, code: server.code}
				o := newTestOAuth(t, c, ecKey("k"), OAuthConfig{})
				if n, err := mints(t, c, o); err != nil || n > 2 {
					t.Fatalf("%s ahead, leeway %s, %q: %d requests, %v", ahead, c.leeway, c.code, n, err)
				}
				bubble.Sleep(4 * time.Minute)
				if n, err := mints(t, c, o); err != nil || n != 1 {
					t.Errorf("%s ahead, later: %d requests, %v", ahead, n, err)
				}
			})
		}
	}
	for _, ahead := range []time.Duration{20 * year, -20 * year} { // no battery, say
		synctest.Test(t, func(t *testing.T) {
			c := &clocked{standIn: newStandIn(t, ecKey("k")), ahead: ahead}
			if n, err := mints(t, c, newTestOAuth(t, c, ecKey("k"), OAuthConfig{})); err != nil || n != 2 {
				t.Errorf("%s ahead: %d requests, %v", ahead, n, err)
			}
		})
	}
}

// Whatever the clock did before, the next token costs two requests at most, and the one
// after it a single one.
func TestDating_FollowsAClockThatIsSet(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log := &logBook{}
		c := &clocked{standIn: newStandIn(t, ecKey("k"))}
		o := newTestOAuth(t, c, ecKey("k"), OAuthConfig{Logger: log.logger()})
		for _, c.ahead = range []time.Duration{0, 12 * time.Second, time.Hour, -time.Hour, -2 * time.Hour, 0, 6 * time.Minute, 0} {
			for i := range 3 {
				n, err := mints(t, c, o)
				if err != nil || n > 2 || i > 0 && n > 1 {
					t.Errorf("%s ahead, token %d: %d requests, %v", c.ahead, i, n, err)
				}
				bubble.Sleep(time.Minute)
			}
		}
		if o.dating.get() != 0 {
			t.Errorf("the clock is right and counts as %s ahead", o.dating.get())
		}
		if n := strings.Count(log.String(), "dated by"); n != 7 {
			t.Errorf("%d lines:\n%s", n, log)
		}
	})
}

// A Date that is not the server's time does no harm to a host whose clock is right.
func TestDating_ADateThatLies(t *testing.T) {
	t.Parallel()
	lies := map[string]func(time.Time) string{
		"none":       func(time.Time) string { return "" },
		"nonsense":   func(time.Time) string { return "yesterday" },
		"old":        func(time.Time) string { return "Fri, 01 Jan 1999 00:00:00 GMT" },
		"an hour on": func(now time.Time) string { return now.Add(time.Hour).UTC().Format(http.TimeFormat) },
		"4m back":    func(now time.Time) string { return now.Add(-4 * time.Minute).UTC().Format(http.TimeFormat) },
	}
	for name, lie := range lies {
		synctest.Test(t, func(t *testing.T) {
			c := &clocked{standIn: newStandIn(t), date: lie}
			o := newTestOAuth(t, c, ecKey("k"), OAuthConfig{})
			for range 3 { // the key is not known yet
				if n, err := mints(t, c, o); err == nil || n > 2 {
					t.Errorf("%s: %d requests, %v", name, n, err)
				}
				bubble.Sleep(time.Minute)
			}
			c.set(func() { c.keys["k"] = ecKey("k").Public() })
			for range 3 {
				if n, err := mints(t, c, o); err != nil || n != 1 {
					t.Errorf("%s: %d requests, %v", name, n, err)
				}
				bubble.Sleep(time.Minute)
			}
		})
	}
}

// A lie that once got a token is let go of when it gets none.
func TestDating_ALieThatWorkedDoesNotStick(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := &clocked{standIn: newStandIn(t, ecKey("k")), date: func(time.Time) string { return "Fri, 01 Jan 1999 00:00:00 GMT" }}
		o := newTestOAuth(t, c, ecKey("k"), OAuthConfig{})
		o.dating.ahead.Store(int64(time.Since(must(http.ParseTime("Fri, 01 Jan 1999 00:00:00 GMT")))))
		if n, err := mints(t, c, o); err != nil || n != 2 {
			t.Errorf("%d requests, %v", n, err)
		}
		if n, err := mints(t, c, o); err != nil || n != 1 {
			t.Errorf("then %d requests, %v", n, err)
		}
	})
}

func TestDating_WithANextKey(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := &clocked{standIn: newStandIn(t, ecKey("new")), ahead: 20 * time.Minute}
		o := newTestOAuth(t, c, rsaKey("old"), OAuthConfig{Next: ecKey("new")})
		if n, err := mints(t, c, o); err != nil || n > 4 {
			t.Errorf("%d requests, %v", n, err)
		}
		if n, err := mints(t, c, o); err != nil || n != 1 {
			t.Errorf("then %d requests, %v", n, err)
		}
	})
}

// An assertion is dated within the server's past, and not far in it, also where requests are slow.
func TestDating_IsNotAheadOfTheServer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := &clocked{standIn: newStandIn(t, ecKey("k")), ahead: 90 * time.Second}
		slow := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			bubble.Sleep(2300 * time.Millisecond)
			c.ServeHTTP(w, r)
		})
		o := newTestOAuth(t, slow, ecKey("k"), OAuthConfig{})
		for range 4 {
			if n, err := mints(t, c, o); err != nil || n > 2 {
				t.Errorf("%d requests, %v", n, err)
			}
		}
		for _, iat := range c.iats[1:] {
			if iat > 0 || iat < -6*time.Second {
				t.Errorf("iat %s", slices.Clone(c.iats))
			}
		}
	})
}

// How long a token is used does not depend on how far the clock is off.
func TestDating_TokensEndByTheLocalClock(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := &clocked{standIn: newStandIn(t, ecKey("k")), ahead: -3 * time.Hour}
		o := newTestOAuth(t, c, ecKey("k"), OAuthConfig{})
		begun := time.Now()
		token, err := o.Mint(t.Context())
		if err != nil || token.Lifetime() != 5*time.Minute || token.IssuedAt.Sub(begun) > time.Second {
			t.Errorf("%s, issued %s after the beginning, %v", token.Lifetime(), token.IssuedAt.Sub(begun), err)
		}
	})
}
