package worker

import (
	"context"
	"strings"
	"testing"

	"github.com/nats-io/nats.go/jetstream"
)

// Provisioning is advised where a bucket does not exist; it is no mend for a silent server.
func TestOpeningError_AdvisesWhatHelps(t *testing.T) {
	t.Parallel()
	for _, err := range []error{jetstream.ErrBucketNotFound, jetstream.ErrStreamNotFound} {
		if got := openingError("B", err).Error(); !strings.Contains(got, "run `redoxworker provision`") {
			t.Error(got)
		}
	}
	if got := openingError("B", context.DeadlineExceeded).Error(); strings.Contains(got, "provision") {
		t.Error(got)
	}
}
