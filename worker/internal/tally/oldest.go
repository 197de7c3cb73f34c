package tally

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/outbox/contract"
)

// Oldest answers when the first message under a subject, which may have wildcards, was stored, and
// how many bytes the answer had: it comes with the whole body. The time is zero where there is none.
// It asks the leader of the stream.
func Oldest(ctx context.Context, js jetstream.JetStream, stream, subject string) (stored time.Time, bytes int, err error) {
	ask, err := json.Marshal(map[string]any{"next_by_subj": subject, "no_hdr": true})
	if err != nil {
		return time.Time{}, 0, err
	}
	answer, err := js.Conn().RequestWithContext(ctx, contract.APIPrefix(js)+"STREAM.MSG.GET."+stream, ask)
	if err != nil {
		return time.Time{}, 0, fmt.Errorf("asking for the oldest message under %s: %w", subject, err)
	}
	var first struct {
		Message struct {
			Time time.Time `json:"time"`
		} `json:"message"`
		Error *jetstream.APIError `json:"error"`
	}
	switch err = json.Unmarshal(answer.Data, &first); {
	case err != nil:
		return time.Time{}, 0, fmt.Errorf("asking for the oldest message under %s: the answer cannot be read: %w", subject, err)
	case first.Error != nil && first.Error.ErrorCode == jetstream.JSErrCodeMessageNotFound:
		return time.Time{}, len(answer.Data), nil // settled meanwhile
	case first.Error != nil:
		return time.Time{}, 0, fmt.Errorf("asking for the oldest message under %s: %w", subject, first.Error)
	}
	return first.Message.Time, len(answer.Data), nil
}
