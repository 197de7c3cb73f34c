package bucket

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/nats-io/nats.go/jetstream"
)

// Provisioning is advised where a bucket does not exist; it is no mend for a silent server.
func TestError_AdvisesWhatHelps(t *testing.T) {
	t.Parallel()
	for _, err := range []error{jetstream.ErrBucketNotFound, jetstream.ErrStreamNotFound} {
		if got := Error("B", err).Error(); !strings.Contains(got, "run `redoxworker provision`") {
			t.Error(got)
		}
	}
	if got := Error("B", context.DeadlineExceeded).Error(); strings.Contains(got, "provision") {
		t.Error(got)
	}
}

func TestOpen_WithoutJetStream(t *testing.T) {
	t.Parallel()
	if _, err := Open(t.Context(), nil, "B"); !errors.Is(err, ErrNoJetStream) {
		t.Error(err)
	}
}
