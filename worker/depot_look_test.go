package worker

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// unanswering is a JetStream whose streams do not answer.
type unanswering struct{ jetstream.JetStream }

func (unanswering) Stream(ctx context.Context, _ string) (jetstream.Stream, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

// While one source's reply waits for what the stream says, nobody else's does.
func TestDepot_AStreamThatIsSilentHoldsUpNobodyElse(t *testing.T) {
	for name, err := range map[string]error{
		"refused for its size": &jetstream.APIError{Code: 400, ErrorCode: 10054},
		"refused for all":      &jetstream.APIError{Code: 503, ErrorCode: 10077},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := &depot{js: unanswering{}, stream: "REDOX_REPLIES"}
				p.note("clinic-a", err)
				done := make(chan error, 1)
				go func() { done <- p.shut(t.Context(), "clinic-a") }()
				synctest.Wait()
				began := time.Now()
				_ = p.troubled("clinic-b")
				_ = p.shut(t.Context(), "clinic-b")
				p.note("clinic-b", nil)
				if waited := time.Since(began); waited > 0 {
					t.Errorf("another waited %v", waited)
				}
				if err := <-done; errors.Is(err, context.DeadlineExceeded) {
					t.Error(err)
				}
			})
		})
	}
}
