package redox

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/redoxworker/redoxworker/outbox/contract"
)

// uncomparable are credentials of a type that == panics on.
type uncomparable struct{ tokens []string }

func (u uncomparable) Bearer(context.Context) (string, error) { return u.tokens[0], nil }
func (u uncomparable) Invalidate(string)                      {}

func sourceOn(key, id string) Source { return Source{ID: id, Key: key, Environment: "development"} }

// manySources are n sources beside clinic-a, on one key.
func manySources(n int) map[string]Source {
	all := map[string]Source{"clinic-a": sourceOn("main", sourceID)}
	for i := 1; i < n; i++ {
		all[fmt.Sprintf("clinic-%04d", i)] = sourceOn("main", fmt.Sprintf("00000000-0000-0000-0000-%012d", i))
	}
	return all
}

func TestSetSources_ADeliveryEndsAsItBegan(t *testing.T) {
	t.Parallel()
	arrived, answer := make(chan struct{}), make(chan struct{})
	r := serve(t, func(w http.ResponseWriter, _ arrival) {
		arrived <- struct{}{}
		<-answer
		respond(http.StatusOK, accepted)(w, arrival{})
	})
	c := client(t, r.URL, fixed("old"))
	kept := c.sender("clinic-a")
	ended := make(chan error, 1)
	go func() {
		_, err := c.Deliver(t.Context(), message(contract.LaneSend, event))
		ended <- err
	}()
	<-arrived
	if err := c.SetSources(map[string]Source{"clinic-b": sourceOn("main", otherID)}, map[string]Credentials{"main": fixed("new")}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Deliver(t.Context(), message(contract.LaneSend, event)); !errors.Is(err, ErrUnknownSource) {
		t.Errorf("a message of a source that is gone: %v", err)
	}
	if c.Scopes("clinic-a") != nil || len(c.Scopes("clinic-b")) == 0 {
		t.Errorf("scopes %v of what is gone, %v of what came", c.Scopes("clinic-a"), c.Scopes("clinic-b"))
	}
	close(answer)
	if err := <-ended; err != nil {
		t.Errorf("the delivery under way: %v", err)
	}
	if seen := r.seen(); len(seen) != 1 || seen[0].header.Get("Authorization") != "Bearer old" || seen[0].header.Get("Redox-Source-Id") != sourceID {
		t.Errorf("Redox saw %v", seen)
	}
	if kept.credentials != fixed("old") {
		t.Error("the sender in use was changed")
	}
}

func TestSetSources_AnErrorChangesNothing(t *testing.T) {
	t.Parallel()
	r := serve(t, respond(http.StatusOK, accepted))
	c := client(t, r.URL, fixed("old"))
	err := c.SetSources(map[string]Source{
		"clinic-a": sourceOn("main", otherID), "clinic-b": sourceOn("none", otherID), "clinic-c": sourceOn("main", ""),
	}, map[string]Credentials{"main": fixed("new")})
	if err == nil || !strings.Contains(err.Error(), "clinic-b") || !strings.Contains(err.Error(), "clinic-c") || strings.Contains(err.Error(), "clinic-a") {
		t.Errorf("err = %v, want clinic-b and clinic-c named", err)
	}
	if _, err := c.Deliver(t.Context(), message(contract.LaneSend, event)); err != nil {
		t.Error(err)
	}
	if got := r.seen()[0].header; got.Get("Redox-Source-Id") != sourceID || got.Get("Authorization") != "Bearer old" {
		t.Errorf("sent with %v", got)
	}
}

func TestSetSources_WhatDidNotChangeStays(t *testing.T) {
	t.Parallel()
	r := serve(t, respond(http.StatusOK, accepted))
	c := client(t, r.URL, fixed("old"))
	before := c.sender("clinic-a")
	for _, n := range []int{5_000, 2, 1} {
		if err := c.SetSources(manySources(n), map[string]Credentials{"main": fixed("old")}); err != nil {
			t.Fatal(err)
		}
		if len(*c.sources.Load()) != n || c.sender("clinic-a") != before {
			t.Errorf("%d sources, want %d; clinic-a was made anew: %v", len(*c.sources.Load()), n, c.sender("clinic-a") != before)
		}
	}
	list := uncomparable{[]string{"a"}}
	for range 2 { // they cannot be compared, and so count as new
		if err := c.SetSources(manySources(1), map[string]Credentials{"main": list}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := c.Deliver(t.Context(), message(contract.LaneSend, event)); err != nil || r.seen()[0].header.Get("Authorization") != "Bearer a" {
		t.Errorf("%v, sent with %v", err, r.seen()[0].header)
	}
}

// TestSetSources_WhileMessagesGoOut: a request has the ID and the token of one moment, and a
// neighbour's requests none of another.
func TestSetSources_WhileMessagesGoOut(t *testing.T) {
	t.Parallel()
	pairs := map[string]string{sourceID: "Bearer first", otherID: "Bearer second"}
	r := serve(t, respond(http.StatusOK, accepted))
	c := client(t, r.URL, fixed("first"))
	keys := map[string]Credentials{"main": fixed("first"), "second": fixed("second")}
	var setting, sending sync.WaitGroup
	var stop atomic.Bool
	for i := range 2 {
		setting.Go(func() {
			for n := i; !stop.Load(); n++ {
				sources := manySources([]int{1, 5_000}[n%2])
				if n%3 == 0 {
					sources["clinic-a"] = sourceOn("second", otherID)
				}
				if err := c.SetSources(sources, keys); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for range 4 {
		sending.Go(func() {
			for range 100 {
				if _, err := c.Deliver(t.Context(), message(contract.LaneSend, event)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	sending.Wait()
	stop.Store(true)
	setting.Wait()
	for _, a := range r.seen() {
		if id := a.header.Get("Redox-Source-Id"); pairs[id] != a.header.Get("Authorization") || !strings.Contains(a.body, id) {
			t.Fatalf("ID %s went with %q and %s", id, a.header.Get("Authorization"), a.body)
		}
	}
}

// BenchmarkSetSources is what a change of one among 5,000 sources costs.
func BenchmarkSetSources(b *testing.B) {
	c := client(b, "http://127.0.0.1:1", fixed("old"))
	sources, keys := manySources(5_000), map[string]Credentials{"main": fixed("old")}
	for n := range b.N {
		sources["clinic-a"] = sourceOn("main", []string{sourceID, otherID}[n%2])
		if err := c.SetSources(sources, keys); err != nil {
			b.Fatal(err)
		}
	}
}
