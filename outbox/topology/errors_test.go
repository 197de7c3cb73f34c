package topology

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/internal/jsapi"
)

func TestEnsure_SaysWhatToDo(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		conf     string
		prepare  func(rig)
		topology Topology
		want     string
	}{
		"no jetstream":      {"max_control_line: 4096", nil, Topology{}, "enable jetstream"},
		"not for account":   {"jetstream {}\nno_auth_user: u\naccounts { A { users: [{user: u, password: p}] } }", nil, Topology{}, "enable jetstream"},
		"too many replicas": {"jetstream {}", nil, Topology{Replicas: 3}, "lower the replicas or add servers"},
		"streams limit": {"jetstream {}\nno_auth_user: u\naccounts { A { jetstream: {max_streams: 2}, users: [{user: u, password: p}] } }", nil,
			Topology{}, "raise the account's limit of streams"},
		"subjects taken": {"jetstream {}", func(r rig) {
			r.CreateStream(jetstream.StreamConfig{Name: "ALL", Subjects: []string{"redox.>"}})
		}, Topology{}, "use another prefix"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := configured(t, c.conf)
			if c.prepare != nil {
				c.prepare(r)
			}
			_, err := c.topology.Ensure(r.Ctx(), r.JS)
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.HasPrefix(err.Error(), "outbox: ") {
				t.Errorf("error %v, want %q in it", err, c.want)
			}
		})
	}
}

const noRights = `jetstream {}
accounts { A { jetstream: enabled, users: [
  {user: op, password: p}
  {user: app, password: p, permissions: {publish: ["redox.out.>"], subscribe: ["_INBOX.>"]}}
  {user: reader, password: p, permissions: {publish: ["$JS.API.STREAM.INFO.>", "$JS.API.CONSUMER.LIST.>"], subscribe: ["_INBOX.>"]}}
] } }`

func TestEnsure_PermissionIsNamed(t *testing.T) {
	t.Parallel()
	r := configured(t, noRights, nats.UserInfo("app", "p"))
	_, err := small().Ensure(shortly(t), r.JS)
	if !errors.Is(err, outbox.ErrPermission) || !strings.Contains(err.Error(), "$JS.API.STREAM.INFO.") {
		t.Errorf("error %v, want the subject that was refused", err)
	}
	// Side by side, the refusal that is known is that of one of them.
	for line := range strings.Lines(err.Error()) {
		if !strings.Contains(line, "(last refused: ") {
			t.Errorf("another's refusal is said to be this one's: %s", line)
		}
	}
}

func TestEnsure_VerifyNeedsOnlyToRead(t *testing.T) {
	t.Parallel()
	r := configured(t, noRights, nats.UserInfo("op", "p"))
	r.ensure(small())
	reader := r.Connect(nats.UserInfo("reader", "p"))
	if changes, err := small().Ensure(r.Ctx(), reader); err != nil || changes != nil {
		t.Errorf("changes %v, error %v", changes, err)
	}
}

func TestEnsure_MayNotCreate(t *testing.T) {
	t.Parallel()
	r := configured(t, noRights, nats.UserInfo("reader", "p"))
	changes, err := small().Ensure(shortly(t), r.JS)
	if !errors.Is(err, outbox.ErrPermission) || !strings.Contains(err.Error(), "$JS.API.STREAM.CREATE.") || changes != nil {
		t.Errorf("changes %v, error %v", changes, err)
	}
	if drift, err := small().Drift(r.Ctx(), r.JS); err != nil || len(withAction(drift, Create)) != 8 {
		t.Errorf("drift %v, error %v", drift, err)
	}
}

func TestEnsure_NotConnected(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	if err := r.Server.Shutdown(); err != nil {
		t.Fatal(err)
	}
	ctx := shortly(t)
	if _, err := small().Ensure(ctx, r.JS); err == nil || !strings.Contains(err.Error(), "not connected to NATS") {
		t.Errorf("error %v", err)
	}
	if err := outbox.NewBodies(r.JS, "").Put(ctx, "message-1/body", nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("put: %v", err)
	}
}

func TestConflicted(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		err  error
		want bool
	}{
		{jetstream.ErrStreamNameAlreadyInUse, true},
		{jetstream.ErrStreamNotFound, true},
		{fmt.Errorf("wrapped: %w", &jetstream.APIError{ErrorCode: jsapi.CodeStreamCreate}), true},
		{context.DeadlineExceeded, true},
		{fmt.Errorf("%w: %w", outbox.ErrPermission, context.DeadlineExceeded), false},
		{&jetstream.APIError{ErrorCode: jsapi.CodeNotClustered}, false},
		{context.Canceled, false},
		{ErrRefused, false},
	} {
		if got := conflicted(c.err); got != c.want {
			t.Errorf("%v: %v, want %v", c.err, got, c.want)
		}
	}
}

func TestEnsure_ContextEnds(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := small().Ensure(ctx, r.JS); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want that of the context", err)
	}
}

func TestEach_StopsAfterSilence(t *testing.T) {
	t.Parallel()
	for want, failure := range map[int]error{1: context.DeadlineExceeded, 3: errors.New("refused")} {
		var calls int
		err := eachOf(3, 1, func(int) error { calls++; return fmt.Errorf("%w", failure) })
		if calls != want || !errors.Is(err, failure) {
			t.Errorf("%v: %d calls, want %d; error %v", failure, calls, want, err)
		}
	}
}

// shortly is less than a request that nobody answers would wait.
func shortly(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	t.Cleanup(cancel)
	return ctx
}
