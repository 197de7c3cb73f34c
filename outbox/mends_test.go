package outbox

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

// What the error of a damaged claim says to do works: the key is deleted, and the dead letter is
// replayed, or discarded without being sent again.
func TestReplay_ADamagedClaimIsMendedAsItSays(t *testing.T) {
	t.Parallel()
	for name, discard := range map[string]bool{"replay": false, "discard": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newGraveyard(t)
			g.bury(letter("m-1", 1))
			kv, err := g.topologyRig.js.KeyValue(g.ctx(), "REDOX_LEDGER")
			if err != nil {
				t.Fatal(err)
			}
			key := claimKey(g.selected(DeadQuery{}).entries[0])
			if _, err := kv.Put(g.ctx(), key, []byte("{")); err != nil {
				t.Fatal(err)
			}
			run := func() (Handled, error) {
				selection := g.selected(DeadQuery{})
				steps := g.Replay(g.ctx(), selection, ReplayOptions{})
				if discard {
					steps = g.Discard(g.ctx(), selection, DiscardOptions{})
				}
				for h, err := range steps {
					return h, err
				}
				return Handled{}, nil
			}
			_, err = run()
			if err == nil || !strings.Contains(err.Error(), key) || !strings.Contains(err.Error(), "delete the key, then discard the dead letter if") {
				t.Fatalf("error %v", err)
			}
			if err := kv.Delete(g.ctx(), key); err != nil {
				t.Fatal(err)
			}
			want, stored := Replayed, uint64(1)
			if discard {
				want, stored = Discarded, 0
			}
			if h, err := run(); err != nil || h.Outcome != want {
				t.Errorf("%v: %v", h, err)
			}
			out, err := g.topologyRig.js.Stream(g.ctx(), "REDOX_OUT")
			if err != nil {
				t.Fatal(err)
			}
			if n := out.CachedInfo().State.Msgs; n != stored {
				t.Errorf("%d messages in the queue, want %d", n, stored)
			}
		})
	}
}
