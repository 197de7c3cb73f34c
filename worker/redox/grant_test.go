package redox

import (
	"context"
	"errors"
	"testing"

	"github.com/redoxworker/redoxworker/outbox"
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
	if _, err := client(t, r.URL, &keyring{}, grant).Deliver(t.Context(), message(outbox.LaneSend, event)); err != nil {
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
	}).Deliver(t.Context(), message(outbox.LaneSend, event))
	if e := failure(t, err); e.Attempted() || e.Pauses() != "" || !errors.Is(err, over) || len(r.seen()) != 0 {
		t.Errorf("%v: attempted %v, pauses %q, %d requests", err, e.Attempted(), e.Pauses(), len(r.seen()))
	}
	r.Close()
	var ended []bool
	_, err = client(t, r.URL, &keyring{}, func(c *Config, _ *Source) {
		c.Grant = func(context.Context) (func(bool), error) { return func(sent bool) { ended = append(ended, sent) }, nil }
	}).Deliver(t.Context(), message(outbox.LaneSend, event))
	if e := failure(t, err); e.Attempted() || len(ended) != 1 || ended[0] {
		t.Errorf("%v: ended %v", err, ended)
	}
}
