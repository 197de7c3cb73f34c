package access

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redoxworker/redoxworker/auth/secret"
	"github.com/redoxworker/redoxworker/worker/workertest/bubble"
)

// refuser is an Authenticator that lets nobody in.
type refuser struct{}

func (refuser) Authenticate(*http.Request) (Identity, error) { return Identity{}, errors.New("nobody") }

// However many requests are refused, the log has a few lines of them, and who signs in is never left out.
func TestGuard_AFloodOfRefusalsIsAFewLines(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		all, made := tokens(t, "root")
		token := newRig(t, Config{Tokens: all, Rules: rules(t)})
		for name, r := range map[string]*rig{
			"nobody is let in":  newRig(t, Config{Authenticator: refuser{}, Rules: rules(t)}),
			"nobody has a role": newRig(t, Config{Authenticator: Local{Name: "stranger"}, Rules: rules(t)}),
			"wrong tokens":      token,
		} {
			for range 2000 {
				if w := r.do(call{path: "/", header: map[string]string{"Authorization": "Bearer wrong"}}); w.Code < http.StatusBadRequest {
					t.Fatalf("%s: %d", name, w.Code)
				}
			}
			bubble.Sleep(2 * time.Minute) // until the line of what was held
			if n := strings.Count(r.log.String(), "\n"); n == 0 || n > 60 || !strings.Contains(r.log.String(), "suppressed=") {
				t.Errorf("%s: %d lines: %s", name, n, r.log)
			}
		}
		for range 50 {
			status(t, token.signIn("", made["root"], call{}), http.StatusSeeOther)
		}
		if n := strings.Count(token.log.String(), "somebody signed in"); n != 50 {
			t.Errorf("%d of 50 who signed in are in the log", n)
		}
	})
}

// A guard in place of another knows who has tried wrong secrets, and which sign-ins have ended; a
// password of before opens nothing.
func TestGuard_RenewedKnowsWhatWasTried(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		basic := map[string]string{"Authorization": "Basic YW5uOmE="} // ann:a
		r := newRig(t, Config{Passwords: passwords(t, map[string]string{"ann": "a"}), Rules: rules(t)})
		status(t, r.do(call{path: "/", header: basic}), http.StatusOK)
		for range freeTries {
			status(t, r.signIn("ann", "wrong", call{from: "127.0.0.2:1"}), http.StatusForbidden)
		}
		status(t, r.signIn("ann", "wrong", call{from: "127.0.0.2:1"}), http.StatusTooManyRequests)
		next, err := r.g.Renew(Config{Passwords: passwords(t, map[string]string{"ann": "b"}), Rules: rules(t), SessionKeys: []secret.Text{testKey}})
		if err != nil {
			t.Fatal(err)
		}
		if next.used != r.g.used {
			t.Error("sign-ins that have ended are forgotten")
		}
		r.h = next.Wrap(http.NotFoundHandler())
		status(t, r.signIn("ann", "b", call{from: "127.0.0.2:1"}), http.StatusTooManyRequests)
		status(t, r.do(call{path: "/", header: basic}), http.StatusUnauthorized)
		status(t, r.signIn("ann", "b", call{}), http.StatusSeeOther)
	})
}
