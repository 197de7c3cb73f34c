package worker_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"reflect"
	"testing"
	"time"

	"github.com/redoxworker/redoxworker/auth"
	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/worker"
	"github.com/redoxworker/redoxworker/worker/redox"
)

var _ worker.Failure = (*redox.Error)(nil)

// What auth and outbox say of their errors is of a shape that the worker understands.
func TestFailure_OtherPackagesErrors(t *testing.T) {
	t.Parallel()
	failure := reflect.TypeFor[worker.Failure]()
	for _, tc := range []struct {
		err  error
		want int
	}{{&auth.NoTokenError{}, 2}, {&auth.TokenError{}, 2}, {&outbox.ContractError{}, 2}, {&redox.Error{}, failure.NumMethod()}} {
		found := 0
		for want := range failure.Methods() {
			got := reflect.ValueOf(tc.err).MethodByName(want.Name)
			if !got.IsValid() {
				continue
			}
			found++
			if got.Type() != want.Type {
				t.Errorf("%T: method %s is %v, want %v", tc.err, want.Name, got.Type(), want.Type)
			}
		}
		if found != tc.want {
			t.Errorf("%T has %d of the methods, want %d", tc.err, found, tc.want)
		}
	}
}

type bearer struct{}

func (bearer) Bearer(context.Context) (string, error) { return "token", nil }
func (bearer) Invalidate(string)                      {}

// deliverTo answers what a redox.Client makes of a far side.
func deliverTo(t *testing.T, url string) error {
	t.Helper()
	c, err := redox.New(map[string]redox.Source{source: {ID: "7ce6f387-c33c-417d-8682-81e83628cbd9", Key: "main", Environment: "development"}},
		map[string]redox.Credentials{"main": bearer{}}, redox.Config{BaseURL: url, BlobURL: url})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_, err = c.Deliver(t.Context(), outbox.Message{ID: "m", Source: source, Lane: contract.LaneSend, Kind: outbox.KindDataModel,
		Body: []byte(`{"Meta":{"DataModel":"Scheduling","EventType":"New","Destinations":[{"ID":"9a8b7c6d-0000-4000-8000-000000000001"}]}}`)})
	if err == nil {
		t.Fatal("delivered")
	}
	return err
}

// refusedPort is an address where nobody listens.
func refusedPort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return "http://" + l.Addr().String()
}

// What a redox.Client says keeps its meaning in whatever a middleware wraps it.
func TestFailure_MiddlewareKeepsWhatTheClientSays(t *testing.T) {
	far := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Redox-Source-Id") == "" {
			t.Error("no Source ID")
		}
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		_ = conn.Close() // after the request was read
	}))
	defer far.Close()
	refusing := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) }))
	defer refusing.Close()
	said := map[string]error{
		"permanent": deliverTo(t, refusing.URL), "unknown": deliverTo(t, far.URL), "not attempted": deliverTo(t, refusedPort(t)),
		"held": worker.Held(errFar),
	}
	want := map[string]outbox.Settlement{"permanent": outbox.Rejected, "unknown": outbox.Held, "held": outbox.Held}
	middleware := map[string]func(error) error{
		"WithSafeText": func(err error) error { return worker.WithSafeText(err, "renamed") },
		"RetryAfter":   func(err error) error { return worker.RetryAfter(err, 3*time.Second) },
		"Errorf":       func(err error) error { return fmt.Errorf("middleware: %w", err) },
		"Join":         func(err error) error { return errors.Join(errors.New("closing: "), err) },
		"all": func(err error) error {
			return worker.WithSafeText(worker.RetryAfter(fmt.Errorf("x: %w", err), time.Second), "renamed")
		},
	}
	for what, said := range said {
		inBubble(t, func(r *rig) {
			r.far.Answer = func(_ context.Context, m outbox.Message, n int) (outbox.Answer, error) {
				if n > 3 {
					return outbox.Answer{Status: 200}, nil
				}
				return outbox.Answer{}, middleware[m.ID](said)
			}
			r.start(worker.Config{Sources: holding, Retry: worker.Retry{MaxAttempts: 3}})
			for name := range middleware {
				r.publish(outbox.Message{ID: name})
				e := r.awaitSettled(name)
				calls, settlement := 1, want[what]
				if settlement == "" { // it waited, and nothing was counted
					calls, settlement = 4, outbox.Delivered
				}
				if e.Settlement != settlement || e.Attempt != 1 || len(r.far.Of(name)) != calls || e.PossibleDuplicate != (what == "unknown") {
					t.Errorf("%s, %s: settled %s with %d attempts after %d calls (possible duplicate: %t), want %s after %d",
						what, name, e.Settlement, e.Attempt, len(r.far.Of(name)), e.PossibleDuplicate, settlement, calls)
				}
			}
		})
	}
}
