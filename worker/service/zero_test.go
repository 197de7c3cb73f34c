package service

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"testing"

	"github.com/redoxworker/redoxworker/config"
	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/worker"
)

// A configuration that nobody has loaded is an error that says so, or works, and no panic.
func TestNew_ConfigurationsThatAreNotLoaded(t *testing.T) {
	t.Parallel()
	reconcile := config.Defaults()
	reconcile.Reconcile.Enabled, reconcile.Reconcile.Key = true, "none"
	unknown := config.Defaults()
	unknown.Sources = map[string]config.Source{"a": {Key: "none", Environment: config.EnvironmentDevelopment}}
	for want, c := range map[string]config.Config{
		"make it with config.Load":          {},
		`reconcile.key: there is no key`:    reconcile,
		`there are no credentials named "n`: unknown,
		"":                                  config.Defaults(), // serves nothing
	} {
		s, err := New(c, Options{})
		if err == nil {
			s.Close()
		}
		if (err == nil) != (want == "") || err != nil && (!errors.As(err, new(config.Mistake)) || !strings.Contains(err.Error(), want)) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

// Nil in any form is not what delivers.
func TestNew_MiddlewareOfNil(t *testing.T) {
	t.Parallel()
	for name, nothing := range map[string]worker.Deliverer{"nil": nil, "a nil function": worker.DelivererFunc(nil), "a nil pointer": (*pointer)(nil)} {
		_, err := New(config.Defaults(), Options{Middleware: func(worker.Deliverer) worker.Deliverer { return nothing }})
		if err == nil || !strings.Contains(err.Error(), "returned nil") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

type pointer struct{ worker.DelivererFunc }

// The program's observer is told last: it may panic.
func TestInTurn(t *testing.T) {
	t.Parallel()
	var told []string
	observe := func(name string) func(worker.Event) { return func(worker.Event) { told = append(told, name) } }
	for _, f := range []func(worker.Event){inTurn(observe("a"), observe("b")), inTurn(nil, observe("c")), inTurn(observe("d"), nil)} {
		f(worker.Event{Settlement: outbox.Delivered})
	}
	if got := strings.Join(told, ""); got != "abcd" || inTurn(nil, nil) != nil {
		t.Errorf("told %s", got)
	}
}

// What the relay of the SQL outbox needs of the program is asked for at once.
func TestNew_OutboxNeedsItsDatabase(t *testing.T) {
	t.Parallel()
	c := config.Defaults()
	c.Outbox.Driver, c.Outbox.Notify = config.DriverPostgres, true
	listen := func(context.Context, *sql.DB, string, func()) error { return nil }
	for want, o := range map[string]Options{
		"there is no Options.Database": {Listen: listen},
		"there is no Options.Listen":   {Database: new(sql.DB)},
		"":                             {Database: new(sql.DB), Listen: listen},
	} {
		s, err := New(c, o)
		if err == nil {
			s.Close()
		}
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}
