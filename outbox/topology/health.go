package topology

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/outbox/internal/jsapi"
	"github.com/redoxworker/redoxworker/outbox/internal/wire"
)

// Full returns why a stream takes nothing more; nil if it has room. A bucket may still take another
// value of a key that it has.
func Full(info *jetstream.StreamInfo) error {
	kind, name := label(info.Config.Name)
	state, c := info.State, info.Config
	switch {
	case c.Discard != jetstream.DiscardNew:
		return nil
	case c.MaxMsgs > 0 && state.Msgs >= uint64(c.MaxMsgs):
		return fmt.Errorf("%s %s is full: it holds %d messages and max_msgs is %d; raise it%s", kind, name, state.Msgs, c.MaxMsgs, emptied(kind, info))
	case c.MaxBytes > 0 && state.Bytes+slack(info) >= uint64(c.MaxBytes):
		return fmt.Errorf("%s %s is full: it holds %d bytes and max_bytes is %d; raise it%s", kind, name, state.Bytes, c.MaxBytes, emptied(kind, info))
	}
	return nil
}

// emptied says how a full stream is emptied without loss, for those that can be. What is
// deleted from a bucket by hand is missed: a worker would send twice what the ledger knew of.
func emptied(kind string, info *jetstream.StreamInfo) string {
	switch {
	case kind != "stream":
		return ""
	case info.Config.Retention == jetstream.WorkQueuePolicy:
		return ", or let the workers empty it"
	case strings.HasSuffix(info.Config.Name, "_DLQ"):
		return ", or replay or discard dead letters"
	}
	return ""
}

// leastRoom is that of a small message with its headers.
const leastRoom = 256

// slack is how much room a stream must have not to pass for full: that of one more message
// like those that it has.
func slack(info *jetstream.StreamInfo) uint64 {
	return max(leastRoom, info.State.Bytes/max(1, info.State.Msgs))
}

// IsStored reports whether the last message that a stream has on the subject of msg is msg, by
// its Nats-Msg-Id. It asks the stream's leader.
func IsStored(ctx context.Context, js jetstream.JetStream, stream string, msg *nats.Msg) (bool, error) {
	there, err := jsapi.Leader{JS: jsapi.Present(js), Stream: stream}.Last(ctx, msg.Subject)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return false, nil
	}
	return err == nil && wire.First(there.Header, contract.HeaderID) == wire.First(msg.Header, contract.HeaderID), err
}

// Fault is one thing of a topology that is missing or takes nothing more.
type Fault struct {
	// Kind is stream, bucket or object store.
	Kind string `json:"kind"`
	Name string `json:"name"`
	// Missing reports that it does not exist; otherwise it is full.
	Missing bool `json:"missing,omitempty"`
	// Detail says in one line what is wrong and what to do.
	Detail string `json:"detail"`
}

// Health looks for streams and buckets that are missing or full. It costs one request for each and
// changes nothing. What the user may not look at is skipped and named in unknown; a caller can give
// those as skip, so as not to ask again.
func (t Topology) Health(ctx context.Context, js jetstream.JetStream, skip []string) (faults []Fault, unknown []string, err error) {
	return t.Inspect(ctx, js, skip, func(*jetstream.StreamInfo) {})
}

// Inspect is Health for a caller that wants to see each stream that exists.
func (t Topology) Inspect(ctx context.Context, js jetstream.JetStream, skip []string, see func(*jetstream.StreamInfo)) (faults []Fault, unknown []string, err error) {
	js = jsapi.Present(js)
	for _, want := range t.Streams() {
		if slices.Contains(skip, want.Name) {
			continue
		}
		kind, name := label(want.Name)
		once, cancel := context.WithTimeout(ctx, askTimeout)
		stream, err := js.Stream(once, want.Name)
		cancel()
		switch {
		case errors.Is(err, jetstream.ErrStreamNotFound):
			faults = append(faults, Fault{Kind: kind, Name: name, Missing: true, Detail: kind + " " + name + " does not exist: run `redoxworker provision`"})
		case err != nil && ctx.Err() == nil && jsapi.Violates(js.Conn(), "$JS.API.STREAM.INFO."+want.Name+`"`):
			unknown = append(unknown, want.Name)
		case err != nil:
			return faults, unknown, jsapi.Explain(err, js, "look at "+kind+" "+name)
		default:
			see(stream.CachedInfo())
			if err := Full(stream.CachedInfo()); err != nil {
				faults = append(faults, Fault{Kind: kind, Name: name, Detail: err.Error()})
			}
		}
	}
	return faults, unknown, nil
}

// Restore makes what is missing and mends no difference. It returns what it made. Several processes
// may call it at once.
func (t Topology) Restore(ctx context.Context, js jetstream.JetStream) ([]Change, error) {
	if err := t.Validate(); err != nil {
		return nil, err
	}
	steps, err := t.WithDefaults().look(ctx, js)
	if err != nil {
		return nil, err
	}
	steps = slices.DeleteFunc(steps, func(s step) bool { return s.changes[0].Action != Create })
	made, err := apply(ctx, js, steps)
	if conflicted(err) {
		err = nil // others have made it meanwhile, or will be seen not to have
	}
	return made, err
}
