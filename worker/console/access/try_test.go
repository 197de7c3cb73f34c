package access

import (
	"fmt"
	"net/http"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redoxworker/redoxworker/worker/workertest/bubble"
)

// Who tries passwords is slowed, more and more; nobody else is: not from another address, not under
// another name of the same address, and not in the browser in which they have signed in before.
func TestSignIn_TriesAreSlowed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, Config{Passwords: passwords(t, map[string]string{"ann": "a", "bob": "b"}), Rules: rules(t)})
		known := r.signIn("ann", "a", call{}).Result().Cookies()
		looked := 0
		for end := time.Now().Add(time.Hour); time.Now().Before(end); {
			w := r.signIn("ann", "wrong", call{})
			if w.Code == http.StatusForbidden {
				looked++
				continue
			}
			status(t, w, http.StatusTooManyRequests, "Too many tries")
			wait, err := strconv.Atoi(w.Header().Get("Retry-After"))
			if err != nil || wait < 1 || wait > 60 {
				t.Fatalf("Retry-After: %q", w.Header().Get("Retry-After"))
			}
			bubble.Sleep(time.Duration(wait) * time.Second)
		}
		if looked < 20 || looked > 75 {
			t.Errorf("%d passwords of ann were looked at in an hour", looked)
		}
		r.signIn("ann", "wrong", call{})
		status(t, r.signIn("ann", "a", call{}), http.StatusTooManyRequests)
		status(t, r.signIn("ann", "a", call{cookies: known}), http.StatusSeeOther)
		status(t, r.signIn("ann", "a", call{from: "127.0.0.2:1"}), http.StatusSeeOther)
		status(t, r.signIn("bob", "b", call{}), http.StatusSeeOther)
		// The browser is known for ann alone.
		for range freeTries {
			r.signIn("root", "x", call{cookies: known})
		}
		status(t, r.signIn("root", "x", call{cookies: known}), http.StatusTooManyRequests)
		bubble.Sleep(forgetTries + time.Second)
		status(t, r.signIn("ann", "a", call{}), http.StatusSeeOther)
	})
}

// Who tries one password with many names is slowed, too; the right token is always taken.
func TestSignIn_ManyNamesFromOnePlace(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, Config{Passwords: passwords(t, map[string]string{"ann": "a"}), Rules: rules(t)})
		looked := 0
		for i := range 200 {
			if r.signIn(fmt.Sprint("user", i%100), "spring", call{}).Code == http.StatusForbidden {
				looked++
			}
		}
		if looked != 2*wideTries {
			t.Errorf("%d names were tried", looked)
		}
		status(t, r.signIn("ann", "a", call{}), http.StatusTooManyRequests)
		status(t, r.signIn("ann", "a", call{from: "[::1]:1"}), http.StatusSeeOther)

		all, made := tokens(t, "ann")
		r = newRig(t, Config{Tokens: all, Rules: rules(t)})
		for range 10 {
			r.signIn("", "wrong", call{})
		}
		status(t, r.signIn("", "wrong", call{}), http.StatusTooManyRequests)
		status(t, r.signIn("", made["ann"], call{}), http.StatusSeeOther)
	})
}

// While a crowd has passwords looked at, others are told to wait, which does not count against them; a
// browser in which somebody has signed in before is not kept out.
func TestSignIn_BehindACrowd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, Config{Passwords: passwords(t, map[string]string{"ann": "a"}), Rules: rules(t)})
		known := r.signIn("ann", "a", call{}).Result().Cookies()
		for range cap(r.g.hashing) {
			r.g.hashing <- struct{}{}
		}
		for i := range 2 * wideTries {
			status(t, r.signIn("ann", "a", call{}), http.StatusTooManyRequests, "Too many tries at once")
			r.signIn(fmt.Sprint("user", i), "spring", call{})
		}
		if n := len(r.g.tries.places); n != 0 {
			t.Errorf("%d places are remembered for what was not looked at", n)
		}
		status(t, r.signIn("ann", "a", call{cookies: known}), http.StatusSeeOther)
		for range cap(r.g.hashing) {
			<-r.g.hashing
		}
		status(t, r.signIn("ann", "a", call{}), http.StatusSeeOther)
	})
}

// Those that come at once count before any of them is looked at.
func TestThrottle_AtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		tries := newThrottle()
		looked := 0
		for range 100 {
			if tries.begin("a", freeTries) == 0 {
				looked++
			}
		}
		if looked != freeTries {
			t.Errorf("%d at once", looked)
		}
		for i := range mostTries + 100 {
			tries.begin(fmt.Sprint(i), freeTries)
		}
		if n := len(tries.places); n > mostTries {
			t.Errorf("%d places are remembered", n)
		}
	})
}
