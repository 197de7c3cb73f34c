package gateway

import (
	"fmt"
	"strings"
	"testing"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/outbox/internal/publish"
)

// A caller whose message may be stored is not told that nothing was, whatever the last try met.
func TestFault_WhatMayBeStoredIsNotSaidToBeLost(t *testing.T) {
	t.Parallel()
	for _, last := range []error{outbox.ErrPermission, outbox.ErrQueueFull, outbox.ErrNoStream} {
		code, text := fault(fmt.Errorf("%w; a try before got no answer, and %w", last, publish.ErrMayBeStored))
		if code != "503" || strings.Contains(text, "nothing was stored") || !strings.Contains(text, "same "+contract.HeaderMessageID) {
			t.Errorf("%v: %s %s", last, code, text)
		}
		code, text = fault(fmt.Errorf("%w: %w", outbox.ErrInDoubt, last))
		if code != "503" || !strings.Contains(text, "twice") {
			t.Errorf("%v, in doubt: %s %s", last, code, text)
		}
	}
}
