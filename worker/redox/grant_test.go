package redox

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"testing"

	"github.com/redoxworker/redoxworker/outbox/contract"
)

// Each request is granted first: the repeat with a new token too.
func TestDeliver_EveryRequestIsGranted(t *testing.T) {
	t.Parallel()
	r := serve(t, onlyToken("token-2"))
	granted, ended := 0, []bool{}
	grant := func(c *Config, _ *Source) {
		c.Grant = func(context.Context) (func(bool), error) {
			if granted++; granted == 1 {
				return nil, nil
			}
			return func(sent bool) { ended = append(ended, sent) }, nil
		}
	}
	if _, err := client(t, r.URL, &keyring{}, grant).Deliver(t.Context(), message(contract.LaneSend, event)); err != nil {
		t.Fatal(err)
	}
	if granted != 2 || len(ended) != 1 || !ended[0] || len(r.seen()) != 2 {
		t.Errorf("%d grants, ended %v, for %d requests", granted, ended, len(r.seen()))
	}
}

// Without a grant nothing is sent and nothing pauses; a request that could not be written
// was not sent.
func TestDeliver_GrantRefusedOrUnused(t *testing.T) {
	t.Parallel()
	r := serve(t, respond(200, accepted))
	over := errors.New("nobody waits any more")
	_, err := client(t, r.URL, &keyring{}, func(c *Config, _ *Source) {
		c.Grant = func(context.Context) (func(bool), error) { return nil, over }
	}).Deliver(t.Context(), message(contract.LaneSend, event))
	if e := failure(t, err); e.Attempted() || e.Pauses() != "" || !errors.Is(err, over) || len(r.seen()) != 0 {
		t.Errorf("%v: attempted %v, pauses %q, %d requests", err, e.Attempted(), e.Pauses(), len(r.seen()))
	}
	r.Close()
	var ended []bool
	_, err = client(t, r.URL, &keyring{}, func(c *Config, _ *Source) {
		c.Grant = func(context.Context) (func(bool), error) { return func(sent bool) { ended = append(ended, sent) }, nil }
	}).Deliver(t.Context(), message(contract.LaneSend, event))
	if e := failure(t, err); e.Attempted() || len(ended) != 1 || ended[0] {
		t.Errorf("%v: ended %v", err, ended)
	}
}

// What a request was granted ends with it when its transport panics: whether it was sent is
// not known.
func TestDeliver_GrantEndsWithAPanic(t *testing.T) {
	t.Parallel()
	var ended []bool
	c := client(t, "https://api.example", &keyring{}, func(c *Config, _ *Source) {
		c.Transport = roundTripper(func(*http.Request) (*http.Response, error) { panic("at the far side") })
		c.Grant = func(context.Context) (func(bool), error) { return func(sent bool) { ended = append(ended, sent) }, nil }
	})
	func() {
		defer func() { _ = recover() }()
		_, _ = c.Deliver(t.Context(), message(contract.LaneSend, event))
	}()
	if !slices.Equal(ended, []bool{true}) {
		t.Error(ended)
	}
}
