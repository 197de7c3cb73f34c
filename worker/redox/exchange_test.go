package redox

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/redoxworker/redoxworker/outbox/contract"
)

// onlyToken answers 401 unless the request has this bearer token.
func onlyToken(token string) func(http.ResponseWriter, arrival) {
	return func(w http.ResponseWriter, a arrival) {
		if a.header.Get("Authorization") != "Bearer "+token {
			respond(401, html401, "Content-Type", "text/html")(w, a)
			return
		}
		respond(200, accepted)(w, a)
	}
}

func TestDeliver_401IsResentOnceWithANewToken(t *testing.T) {
	t.Parallel()
	r := serve(t, onlyToken("token-2"))
	keys := &keyring{}
	a, err := client(t, r.URL, keys).Deliver(t.Context(), message(contract.LaneSend, event))
	if err != nil || a.Status != 200 || string(a.Body) != accepted {
		t.Fatalf("%v %+v", err, a)
	}
	seen := r.seen()
	if len(seen) != 2 || seen[0].body != sent || seen[1].body != sent || seen[0].remote != seen[1].remote {
		t.Errorf("%d requests; the bodies or the connections differ", len(seen))
	}
	if diff := cmp.Diff([]string{"token-1"}, keys.invalidated); diff != "" {
		t.Error(diff)
	}
}

func TestDeliver_Second401PausesTheKey(t *testing.T) {
	t.Parallel()
	r := serve(t, onlyToken("none"))
	keys := &keyring{}
	a, err := client(t, r.URL, keys).Deliver(t.Context(), message(contract.LaneSend, event))
	e := failure(t, err)
	if e.Pauses() != "key:main" || e.Attempted() || e.Permanent() || e.UnknownOutcome() || e.Class() != ClassUnauthorized {
		t.Errorf("%+v", e)
	}
	if a.Status != 401 || a.ContentType != "text/html" || string(a.Body) != html401 {
		t.Errorf("%+v", a)
	}
	if n := len(r.seen()); n != 2 || keys.asked != 2 {
		t.Errorf("%d requests, %d tokens", n, keys.asked)
	}
}

func TestDeliver_ManyAtOnceAfterRevocation(t *testing.T) {
	t.Parallel()
	const callers = 32
	r := serve(t, onlyToken("token-2"))
	keys := &keyring{}
	c := client(t, r.URL, keys)
	var all sync.WaitGroup
	for range callers {
		all.Go(func() {
			if _, err := c.Deliver(t.Context(), message(contract.LaneSend, event)); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	valid := 0
	for _, a := range r.seen() {
		if a.header.Get("Authorization") == "Bearer token-2" {
			valid++
		}
	}
	if valid != callers || keys.n != 1 {
		t.Errorf("%d arrived under a valid token, %d tokens were dropped", valid, keys.n)
	}
}

// tokenError is what a token source may return: it may carry a wait of its own.
type tokenError struct{ after time.Duration }

func (e tokenError) Error() string             { return "auth: invalid_client" }
func (e tokenError) RetryAfter() time.Duration { return e.after }

func TestDeliver_NoToken(t *testing.T) {
	t.Parallel()
	r := serve(t, respond(200, accepted))
	keys := &keyring{err: tokenError{3 * time.Second}}
	a, err := client(t, r.URL, keys).Deliver(t.Context(), message(contract.LaneSend, event))
	e := failure(t, err)
	if e.Attempted() || e.Pauses() != "key:main" || e.RetryAfter() != 3*time.Second || e.Class() != ClassNotSent || a.Status != 0 {
		t.Errorf("%+v %+v", e, a)
	}
	if !errors.As(err, new(tokenError)) || e.SafeError() != "not-sent: no token for key main" {
		t.Errorf("%v; safe: %s", err, e.SafeError())
	}
	if len(r.seen()) != 0 {
		t.Error("sent without a token")
	}
}

// A deadline may pass while the message waits for its token.
func TestDeliver_NothingIsSentAfterTheDeadline(t *testing.T) {
	t.Parallel()
	for _, lane := range []contract.Lane{contract.LaneSend, contract.LaneRequest} {
		r := serve(t, respond(200, accepted))
		late := message(lane, event)
		late.Deadline = time.Now()
		_, err := client(t, r.URL, &keyring{}).Deliver(t.Context(), late)
		if e := failure(t, err); e.Attempted() || e.UnknownOutcome() || e.Permanent() || e.Pauses() != "" || e.Class() != ClassNotSent || len(r.seen()) != 0 {
			t.Errorf("%s: %d sent, %+v", lane, len(r.seen()), e)
		}
		late.Deadline = time.Now().Add(time.Hour)
		if _, err := client(t, r.URL, &keyring{}).Deliver(t.Context(), late); err != nil || len(r.seen()) != 1 {
			t.Errorf("%s: in time: %d sent, %v", lane, len(r.seen()), err)
		}
	}
}

func TestDeliver_NoTokenForTheResend(t *testing.T) {
	t.Parallel()
	r := serve(t, onlyToken("token-2"))
	keys := &keyring{err: tokenError{}, errAfter: 1}
	a, err := client(t, r.URL, keys).Deliver(t.Context(), message(contract.LaneSend, event))
	e := failure(t, err)
	if e.Attempted() || e.Pauses() != "key:main" || e.Status() != 401 || a.Status != 401 || e.UnknownOutcome() {
		t.Errorf("%+v %+v", e, a)
	}
	if len(r.seen()) != 1 {
		t.Error("resent without a token")
	}
}

func TestDeliver_ResendWithoutAnswerIsUnknown(t *testing.T) {
	t.Parallel()
	r := serve(t, func(w http.ResponseWriter, a arrival) {
		if strings.HasSuffix(a.header.Get("Authorization"), "-1") {
			respond(401, html401)(w, a)
			return
		}
		panic(http.ErrAbortHandler)
	})
	a, err := client(t, r.URL, &keyring{}).Deliver(t.Context(), message(contract.LaneSend, event))
	e := failure(t, err)
	if !e.Attempted() || !e.UnknownOutcome() || e.Status() != 0 || a.Status != 0 {
		t.Errorf("%+v %+v", e, a)
	}
	if n := len(r.seen()); n != 2 {
		t.Errorf("%d requests", n)
	}
}

// fixed hands out one token, good or bad.
type fixed string

func (f fixed) Bearer(context.Context) (string, error) { return string(f), nil }
func (f fixed) Invalidate(string)                      {}

func TestDeliver_UnusableToken(t *testing.T) {
	t.Parallel()
	for _, token := range []string{"", "a\r\nb", "a\x00"} {
		_, err := client(t, "http://127.0.0.1:1", fixed(token)).Deliver(t.Context(), message(contract.LaneSend, event))
		e := failure(t, err)
		if e.Attempted() || e.Pauses() != "key:main" || e.Poison() {
			t.Errorf("token %q: %+v", token, e)
		}
	}
}

func TestDeliver_CancelledWhileWaitingForAToken(t *testing.T) {
	t.Parallel()
	why := errors.New("lease lost")
	ctx, cancel := context.WithCancelCause(t.Context())
	keys := &keyring{block: true}
	c := client(t, "http://127.0.0.1:1", keys)
	time.AfterFunc(10*time.Millisecond, func() { cancel(why) })
	_, err := c.Deliver(ctx, message(contract.LaneSend, event))
	e := failure(t, err)
	if e.Attempted() || e.Pauses() != "" || !errors.Is(err, why) {
		t.Errorf("%+v", e)
	}
	// Cancelled before: no token is asked for.
	asked := keys.asked
	_, err = c.Deliver(ctx, message(contract.LaneSend, event))
	if e := failure(t, err); e.Attempted() || e.Pauses() != "" || !errors.Is(err, why) || keys.asked != asked {
		t.Errorf("%+v", e)
	}
}
