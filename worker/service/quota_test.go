package service

import (
	"context"
	"runtime"
	"testing"
	"time"

	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/worker/quota"
)

// What is looked up in the background is counted, and goes behind queries.
func TestQuota_LookupsGoBehindQueries(t *testing.T) {
	t.Parallel()
	governor, err := quota.New(quota.Config{Requests: 1, Per: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); governor.RunAlone(ctx) }()
	defer func() { cancel(); <-ended }()
	s := &Service{governor: governor}
	done, err := s.lookupGrant()(ctx)
	if err != nil {
		t.Fatal(err)
	}
	done(true)
	order := make(chan string, 2)
	waiting := func(n int) {
		for governor.Status().Waiting < n {
			runtime.Gosched()
		}
	}
	go func() {
		if done, err := s.lookupGrant()(ctx); err == nil {
			order <- "lookup"
			done(true)
		}
	}()
	waiting(1)
	go func() {
		if done, err := governor.Acquire(ctx, "clinic-a", contract.LaneRequest); err == nil {
			order <- "query"
			done(true)
		}
	}()
	if first := <-order; first != "query" {
		t.Errorf("the %s went first", first)
	}
	<-order
}
