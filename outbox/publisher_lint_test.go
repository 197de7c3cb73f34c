package outbox

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/outbox/natsdev"
)

// What Lint refuses is not stored, whoever it is for; its panic refuses only its own message, and an
// error that is no refusal of this message reaches whoever published.
func TestPublish_Lint(t *testing.T) {
	t.Parallel()
	unfit := errors.New("Patient is missing")
	var asked atomic.Int32
	r, p := published(t, natsdev.Options{}, PublisherConfig{OrderSecret: []byte("0123456789abcdef"), Lint: func(ctx context.Context, m Message) error {
		asked.Add(1)
		switch {
		case ctx.Err() != nil || m.ID == "" || m.OrderKey != "":
			t.Errorf("asked about %v of %v", m, ctx.Err())
		case string(m.Body) == `{"panic":"SECRET"}`:
			panic("SECRET")
		case string(m.Body) == `{}`:
			return unfit
		}
		return nil
	}})
	for _, lane := range []contract.Lane{contract.LaneSend, contract.LaneRequest} {
		m := Message{ID: "unfit", Source: "clinic-a", Lane: lane, Body: []byte(`{}`)}
		if receipt, err := p.Publish(t.Context(), m); !errors.Is(err, unfit) || receipt.Sequence != 0 || receipt.ID != "unfit" || !strings.Contains(err.Error(), "message unfit of source clinic-a: Patient is missing") {
			t.Errorf("%+v, %v", receipt, err)
		}
	}
	if _, err := p.Publish(t.Context(), Message{Source: "clinic-a", Body: []byte(`{"panic":"SECRET"}`)}); err == nil || !strings.Contains(err.Error(), "Lint panicked with a string") || strings.Contains(err.Error(), "SECRET") {
		t.Error(err)
	}
	if _, err := p.Publish(t.Context(), Message{Source: "clinic a", Body: []byte(`{}`)}); err == nil || errors.Is(err, unfit) {
		t.Errorf("what breaks the contract is refused first: %v", err)
	}
	before := asked.Load()
	receipt, err := p.Publish(t.Context(), Message{Source: "clinic-a", OrderKey: "MRN 1", Body: []byte(`{"a":1}`)})
	if err != nil || receipt.Sequence != 1 || asked.Load() != before+1 {
		t.Errorf("%+v, %v", receipt, err)
	}
	s, err := r.JS.Stream(t.Context(), contract.Prefix("").OutStream())
	if err != nil || s.CachedInfo().State.Msgs != 1 {
		t.Errorf("%v", err)
	}
}
