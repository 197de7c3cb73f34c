package service

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redoxworker/redoxworker/config"
	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/worker/redox"
	"github.com/redoxworker/redoxworker/worker/service/access"
	"github.com/redoxworker/redoxworker/worker/workertest/bubble"
)

// clinics is a configuration with legacy keys, and with sources by the names of their keys.
func clinics(keys string, sources map[string]string) config.Config {
	c := config.Defaults()
	c.Admin.Listen, c.Quota.Scope, c.Redox.BaseURL = "", config.ScopeNone, "http://127.0.0.1:1"
	c.Keys, c.Sources = map[string]config.Key{}, map[string]config.Source{}
	for _, key := range strings.Fields(keys) {
		c.Keys[key] = config.Key{Type: config.KeyLegacy, APIKey: config.NewSecret("api-" + key), Secret: config.NewSecret("s3cr3t"), Pool: 1}
	}
	for source, key := range sources {
		c.Sources[source] = config.Source{Key: key, Environment: config.EnvironmentDevelopment}
	}
	return c
}

func newService(t *testing.T, c config.Config) *Service {
	t.Helper()
	s, err := New(c, Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// known reports whether the client knows a source.
func (s *Service) known(source string) bool {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err := s.client.Deliver(ctx, outbox.Message{Source: source, Lane: contract.LaneSend, Kind: outbox.KindDataModel,
		Body: []byte(`{"Meta":{"DataModel":"Results","EventType":"New","Destinations":[{"ID":"d"}]}}`)})
	return !errors.Is(err, redox.ErrUnknownSource)
}

// What leaves is known to the client for as long as an attempt may take, under the key that it
// had, whatever key has that name now.
func TestSetSources_WhatLeavesIsDelivered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService(t, clinics("k1 k2", map[string]string{"stays": "k1", "goes": "k2", "other": "k1"}))
		defer s.Close()
		if err := s.SetSources(clinics("k1", map[string]string{"stays": "k1", "comes": "k1"})); err != nil {
			t.Fatal(err)
		}
		if got := s.served.Load().names(); !slices.Equal(got, []string{"comes", "stays"}) {
			t.Errorf("%v are served", got)
		}
		for _, name := range []string{"stays", "goes", "other", "comes"} {
			if !s.known(name) {
				t.Errorf("%s is not known", name)
			}
		}
		if got := slices.Sorted(maps.Keys(s.Status().Keys)); !slices.Equal(got, []string{"k1"}) {
			t.Errorf("keys %v", got)
		}
		bubble.Sleep(s.attemptTimeout() + time.Second)
		for name, want := range map[string]bool{"stays": true, "goes": false, "other": false, "comes": true} {
			if s.known(name) != want {
				t.Errorf("%s is known: %v", name, !want)
			}
		}
		// It comes back, goes, and comes back under a new key while it leaves.
		for _, keys := range []map[string]string{{"goes": "k1"}, {"stays": "k1"}, {"goes": "k3"}} {
			if err := s.SetSources(clinics("k1 k3", keys)); err != nil {
				t.Fatal(err)
			}
		}
		if !slices.Equal(s.client.Scopes("goes"), []string{"key:k3", "group:default", s.client.HostScope(outbox.Message{})}) {
			t.Errorf("scopes %v", s.client.Scopes("goes"))
		}
	})
}

// An error names what is wrong and changes nothing.
func TestSetSources_AnErrorChangesNothing(t *testing.T) {
	t.Parallel()
	c := clinics("k1 user", map[string]string{"a": "k1"})
	c.Keys["user"] = config.Key{Type: config.KeyLegacy, APIKey: config.NewSecret("u"), Secret: config.NewSecret("u"), Pool: 1}
	c.Reconcile = config.Reconcile{Enabled: true, Key: "user", Interval: time.Minute, GiveUp: time.Hour}
	s := newService(t, c)
	key := s.keys.Get("k1")
	other := clinics("k1", map[string]string{"b": "k1"})
	other.Keys["user"] = c.Keys["user"]
	change := func(do func(c *config.Config)) config.Config {
		changed := other
		changed.Keys, changed.Sources = maps.Clone(other.Keys), maps.Clone(other.Sources)
		do(&changed)
		return changed
	}
	for want, bad := range map[string]config.Config{
		"sources.NO: ": change(func(c *config.Config) { c.Sources["NO"] = config.Source{Key: "k1"} }),
		`source b: Key: there are no credentials named "k9"`: change(func(c *config.Config) { c.Sources["b"] = config.Source{Key: "k9", Environment: "development"} }),
		"keys.k1: ":                 change(func(c *config.Config) { c.Keys["k1"] = config.Key{Type: config.KeyLegacy} }),
		"keys.user: the reconciler": change(func(c *config.Config) { delete(c.Keys, "user") }),
	} {
		err := s.SetSources(bad)
		if !errors.As(err, new(config.Mistake)) || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
		if s.known("b") || !s.known("a") || s.keys.Get("k1") != key || !slices.Equal(s.served.Load().names(), []string{"a"}) {
			t.Errorf("after %v: something has changed", err)
		}
	}
	if err := s.SetSources(other); err != nil || s.keys.Get("k1") != key {
		t.Errorf("%v, or a key that did not change was made anew", err)
	}
	s.Close()
	if err := s.SetSources(other); err == nil || !strings.Contains(err.Error(), "after Close") {
		t.Error(err)
	}
	// What is fixed while a service runs, the next one takes.
	rotated := change(func(c *config.Config) {
		c.Keys["user"] = config.Key{Type: config.KeyLegacy, APIKey: config.NewSecret("u2"), Secret: config.NewSecret("u2"), Pool: 1}
	})
	rotated.Reconcile = c.Reconcile
	anew := newService(t, rotated)
	if err := anew.SetSources(rotated); err != nil || !anew.known("b") {
		t.Error(err)
	}
}

// The gateway takes nothing of what goes before the worker stops with it, and takes what comes
// after the worker has it.
func TestSetSources_InTurn(t *testing.T) {
	t.Parallel()
	a, b := clinics("k1", map[string]string{"goes": "k1", "stays": "k1"}), clinics("k1", map[string]string{"stays": "k1", "comes": "k1"})
	for name, tc := range map[string]struct {
		refuses error
		next    config.Config
		want    string
	}{
		"both":     {nil, b, "[stays] worker [comes stays]"},
		"refused":  {errors.New("no"), b, "[stays] worker [goes stays]"},
		"the same": {nil, a, "worker [goes stays]"},
	} {
		var did []string
		gateway := errors.New("not permitted")
		refused, err := takeTurns(func() error { did = append(did, "worker"); return tc.refuses },
			func(names []string) error { did = append(did, fmt.Sprint(names)); return gateway }, servedBy(&a), servedBy(&tc.next))
		if got := strings.Join(did, " "); got != tc.want || !errors.Is(err, tc.refuses) || (err == nil) != errors.Is(refused, gateway) {
			t.Errorf("%s: %s, %v, %v", name, got, refused, err)
		}
	}
}

// Five thousand sources are exchanged in a moment.
func BenchmarkSetSources(b *testing.B) {
	sources := map[string]string{}
	for i := range 5000 {
		sources["clinic-"+strings.Repeat("a", i%50)+string(rune('a'+i%26))+string(rune('a'+i/26%26))+string(rune('a'+i/676))] = "k1"
	}
	c := clinics("k1", sources)
	s, err := New(c, Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	few := clinics("k1", map[string]string{"one": "k1"})
	for b.Loop() {
		if err := errors.Join(s.SetSources(few), s.SetSources(c)); err != nil {
			b.Fatal(err)
		}
	}
}

// TestService_ADamagedKeyOfOneFile: what looks like a key and is none refuses the file that names
// it, and nothing else, at the start as after a change.
func TestService_ADamagedKeyOfOneFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	source := func(name, key string) string {
		return "sources: {" + name + ": {id: 11111111-2222-3333-4444-555555555555, key: " + key + "}}\n"
	}
	if err := os.Mkdir(filepath.Join(dir, "d"), 0o700); err != nil {
		t.Fatal(err)
	}
	write("c.yaml", "admin: {listen: \"off\"}\nquota: {scope: none}\nsources_dir: d\nkeys: {main: {type: legacy, api_key: k, secret: s}}\n")
	write("bad.pem", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")
	write("d/a.yaml", "keys: {bad: {client_id: c, kid: k, private_key_file: ../bad.pem}}\n"+source("clinic-a", "bad"))
	write("d/b.yaml", source("clinic-b", "main"))
	settings := config.Options{File: filepath.Join(dir, "c.yaml")}
	c, err := config.Load(settings)
	if err != nil {
		t.Fatal(err)
	}
	s, err := New(*c, Options{Settings: &settings})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for _, change := range []func(){func() {}, func() { write("d/c.yaml", source("clinic-c", "main")) }} {
		change()
		s.Reread()
		p := s.Status().Problems
		if len(p) != 1 || !strings.HasPrefix(p[0], "keys.bad: cannot be used: ") || strings.Contains(p[0], "AAAA") {
			t.Errorf("problems %q", p)
		}
	}
	if got := s.served.Load().names(); !slices.Equal(got, []string{"clinic-b", "clinic-c"}) {
		t.Errorf("%v are served", got)
	}
	set := config.Combine(c, config.ReadDir(c, settings, nil).Parts, nil, access.Unusable)
	if len(set.Refused) != 1 || len(set.Config.Sources) != 2 {
		t.Errorf("%+v", set.Refused)
	}
	write("c.yaml", "admin: {listen: \"off\"}\nquota: {scope: none}\nsources_dir: d\nkeys: {main: {type: legacy, api_key: k, secret: s}, bad2: {client_id: c, kid: k, private_key_file: bad.pem}}\n")
	write("d/e.yaml", source("clinic-e", "main"))
	s.Reread()
	if p := s.Status().Problems; len(p) != 2 || !strings.HasPrefix(p[0], "keys.bad2: cannot be used: ") || len(s.served.Load().names()) != 3 {
		t.Errorf("problems %q, served %v", p, s.served.Load().names())
	}
}
