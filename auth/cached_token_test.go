package auth

import (
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/redoxworker/redoxworker/auth/internal/answer"
)

func TestNewCachedToken_Window(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		life := time.Duration(rapid.Int64Range(int64(time.Second), int64(24*time.Hour)).Draw(t, "life"))
		took := time.Duration(rapid.Float64Range(0, 0.99).Draw(t, "took") * float64(life))
		now := fixedNow.Add(took)
		l, err := newCachedToken(NewToken("t", fixedNow, fixedNow.Add(life)), fixedNow, now)
		if err != nil {
			t.Fatal(err)
		}
		at := l.renewAt.Sub(fixedNow)
		if took < life/2 && (at < life*3/4-1 || at > life*9/10+1) {
			t.Fatalf("a token of %s is renewed at %s", life, at)
		}
		if l.renewAt.Sub(now) < life/10 {
			t.Fatalf("renewed %s after it came, that is too soon", l.renewAt.Sub(now))
		}
		if early := l.token.Expires.Sub(l.staleAt); early != min(10*time.Second, life/10) {
			t.Fatalf("stale %s before its end", early)
		}
	})
}

func TestNewCachedToken_FillsInWhatAMinterLeftOut(t *testing.T) {
	t.Parallel()
	l, err := newCachedToken(Token{value: NewSecret("t")}, fixedNow, fixedNow.Add(time.Second))
	if err != nil || !l.token.IssuedAt.Equal(fixedNow) || l.token.Lifetime() != answer.DefaultLifetime {
		t.Errorf("%v, %v", l, err)
	}
}

func TestNewCachedToken_Refuses(t *testing.T) {
	t.Parallel()
	for want, token := range map[string]Token{
		"no access token":   {},
		"header cannot":     NewToken("a\nb", fixedNow, fixedNow.Add(time.Minute)),
		"has ended already": NewToken("a", fixedNow, fixedNow.Add(-time.Minute)),
	} {
		if _, err := newCachedToken(token, fixedNow, fixedNow); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

func TestCachedToken_Stages(t *testing.T) {
	t.Parallel()
	l := must(newCachedToken(NewToken("t", fixedNow, fixedNow.Add(5*time.Minute)), fixedNow, fixedNow))
	for after, want := range map[time.Duration][3]bool{ // fresh, good, alive
		0:                               {true, true, true},
		3*time.Minute + 44*time.Second:  {true, true, true},
		4*time.Minute + 31*time.Second:  {false, true, true},
		4*time.Minute + 50*time.Second:  {false, false, true},
		5*time.Minute - time.Nanosecond: {false, false, true},
		5 * time.Minute:                 {false, false, false},
	} {
		now := fixedNow.Add(after)
		if got := [3]bool{l.fresh(now), l.good(now), l.alive(now)}; got != want {
			t.Errorf("after %s: %v, want %v", after, got, want)
		}
	}
	var none *cachedToken
	if none.fresh(fixedNow) || none.good(fixedNow) || none.alive(fixedNow) {
		t.Error("no token serves")
	}
	if d := l.doubted(fixedNow); d.fresh(fixedNow) || d.good(fixedNow) || !d.alive(fixedNow) {
		t.Error("a doubted token serves only when there is no other")
	}
}
