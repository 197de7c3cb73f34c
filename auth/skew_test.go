package auth

import (
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redoxworker/redoxworker/auth/httpanswer"
)

// behind is a token endpoint whose clock is behind by d.
func behind(s http.Handler, d *time.Duration) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Date", time.Now().Add(-*d).UTC().Format(http.TimeFormat))
		s.ServeHTTP(w, r)
	})
}

func TestSkew_IsMeasuredFromDate(t *testing.T) {
	t.Parallel()
	for _, d := range []time.Duration{0, 3 * time.Second, 45 * time.Second, -45 * time.Second, -2 * time.Hour} {
		synctest.Test(t, func(t *testing.T) {
			o := newTestOAuth(t, behind(newStandIn(t, ecKey("k")), &d), ecKey("k"), OAuthConfig{})
			if _, ok := o.Skew(); ok {
				t.Error("known before the first answer")
			}
			if _, err := o.Mint(t.Context()); err != nil {
				t.Fatal(err)
			}
			if got, ok := o.Skew(); !ok || (got-d).Abs() > time.Second {
				t.Errorf("%s measured as %s", d, got)
			}
		})
	}
}

func TestSkew_HalfTheRoundTripIsTakenOff(t *testing.T) {
	t.Parallel()
	var m skewMeter
	begun := fixedNow
	if got, ok := m.measure(begun, begun.Add(4*time.Second), begun.Add(2*time.Second)); !ok || got != -500*time.Millisecond {
		t.Errorf("%s, %v", got, ok)
	}
	if _, ok := m.measure(begun, begun.Add(time.Minute), begun); ok {
		t.Error("a minute's round trip says nothing")
	}
	for _, h := range []http.Header{
		{}, {"Date": {""}}, {"Date": {"yesterday"}}, {"Date": {"2026-03-01T12:00:00Z"}},
		{"Date": {begun.Format(http.TimeFormat)}, "Age": {"30"}}, // out of a cache
	} {
		if _, ok := m.measure(begun, begun, httpanswer.Date(h)); ok {
			t.Errorf("%v was taken for a date", h)
		}
	}
	if got, ok := m.value(); !ok || got != -500*time.Millisecond {
		t.Error("a useless measurement replaced a good one")
	}
}

func TestSkew_IsLoggedWhenItChanges(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log, d := &logBook{}, time.Duration(0)
		o := newTestOAuth(t, behind(newStandIn(t, ecKey("k")), &d), ecKey("k"), OAuthConfig{Logger: log.logger()})
		for _, d = range []time.Duration{0, 8 * time.Second, 9 * time.Second, 0, 0, -8 * time.Second} {
			if _, err := o.Mint(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if bad, good := strings.Count(log.String(), "clock differs"), strings.Count(log.String(), "clock agrees"); bad != 2 || good != 1 {
			t.Errorf("%d warnings and %d ends:\n%s", bad, good, log)
		}
	})
}

func TestCheck_TriesEachKey(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, d := newStandIn(t, rsaKey("old")), time.Duration(0)
		o := newTestOAuth(t, behind(s, &d), rsaKey("old"), OAuthConfig{Next: ecKey("new")})
		checks := o.Check(t.Context())
		if len(checks) != 2 {
			t.Fatalf("%d checks", len(checks))
		}
		current, next := checks[0], checks[1]
		if !current.OK() || current.Role != "current" || current.KeyID != "old" || current.Algorithm != RS384 || current.Lifetime != 5*time.Minute || !current.SkewKnown {
			t.Errorf("current: %+v", current)
		}
		if next.OK() || next.Role != "next" || next.KeyID != "new" || !strings.Contains(next.Mend, "dashboard") || next.Lifetime != 0 {
			t.Errorf("next: %+v", next)
		}
		if o.KeyInUse().ID() != "old" {
			t.Error("a check changed the key in use")
		}
	})
}

func TestCheck_TheClock(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration]struct {
		warning string
		ok      bool
	}{
		0:                 {"", true},
		5 * time.Second:   {"", true},                                 // measured as 4.5 s: a Date has no fractions
		6 * time.Second:   {"6s ahead of the server's: set it", true}, // as 5.5 s
		60 * time.Second:  {"1m0s ahead of the server's: set it", true},
		61 * time.Second:  {"", false}, // as 60.5 s
		-61 * time.Second: {"", false},
		20 * time.Second:  {"20s ahead of the server's: set it", true},
		-20 * time.Second: {"behind the server's: set it", true},
		90 * time.Second:  {"", false},
	} {
		synctest.Test(t, func(t *testing.T) {
			s := newLegacyStandIn()
			s.skew = -d
			l := newTestLegacy(t, s, LegacyConfig{})
			got := l.Check(t.Context())[0]
			if got.OK() != want.ok || !strings.Contains(got.Warning, want.warning) || (got.Warning == "") != (want.warning == "") {
				t.Errorf("%s: %+v", d, got)
			}
			if !want.ok && !strings.Contains(got.Mend, "set this host's clock") {
				t.Errorf("%s: mended by %q", d, got.Mend)
			}
			if l.credentials().refresh.IsSet() || got.Role != "legacy" {
				t.Error("a check kept its refresh token")
			}
		})
	}
}

func TestSkewText(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration]string{
		90 * time.Second:         "1m30s ahead of the server's",
		-1600 * time.Millisecond: "2s behind the server's",
	} {
		if got := skewText(d); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
