package jsapi

import (
	"strings"
	"testing"

	"github.com/nats-io/nats.go/jetstream"
)

// Of a cluster that is starting, or lacks a server, other things are to be done than of one
// that is too small.
func TestMendOf_APeerThatIsOffline(t *testing.T) {
	t.Parallel()
	for description, want := range map[string]string{
		"no suitable peers for placement":               "add servers",
		"no suitable peers for placement, peer offline": "try again",
	} {
		if mend := mendOf(&jetstream.APIError{ErrorCode: codeNoPeers, Description: description}); !strings.Contains(mend, want) {
			t.Errorf("%s: %s", description, mend)
		}
	}
}
