package topology

import (
	"slices"
	"strings"
	"testing"

	"github.com/nats-io/nats.go/jetstream"
)

// What a full stream advises loses nothing: what is deleted from a bucket by hand is missed.
func TestFull_AdvisesNothingThatHurts(t *testing.T) {
	t.Parallel()
	topology := Topology{}
	for name, want := range map[string]string{
		"REDOX_OUT": "raise it, or let the workers empty it", "REDOX_DLQ": "raise it, or replay or discard dead letters",
		"REDOX_REPLIES": "raise it", "KV_REDOX_LEDGER": "raise it", "KV_REDOX_STATE": "raise it", "OBJ_REDOX_BODIES": "raise it",
	} {
		streams := topology.Streams()
		i := slices.IndexFunc(streams, func(c jetstream.StreamConfig) bool { return c.Name == name })
		if i < 0 {
			t.Fatalf("there is no %s", name)
		}
		for _, limit := range []func(*jetstream.StreamConfig){
			func(c *jetstream.StreamConfig) { c.MaxMsgs = 1 }, func(c *jetstream.StreamConfig) { c.MaxBytes = 1 },
		} {
			cfg := streams[i]
			cfg.Discard = jetstream.DiscardNew
			limit(&cfg)
			err := Full(&jetstream.StreamInfo{Config: cfg, State: jetstream.StreamState{Msgs: 1, Bytes: 100}})
			if err == nil || !strings.HasSuffix(err.Error(), " is 1; "+want) {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}
