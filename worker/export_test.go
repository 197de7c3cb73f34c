package worker

import (
	"time"

	"github.com/redoxworker/redoxworker/outbox/servertime"
)

// SetClock gives w a host's clock, before Run.
func SetClock(w *Worker, now func() time.Time) { w.clock = servertime.New(now) }
