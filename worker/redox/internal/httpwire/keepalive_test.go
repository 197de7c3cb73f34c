package httpwire

import (
	"testing"
	"time"
)

func TestKeptFor(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]time.Duration{
		"timeout=5": 4 * time.Second, "timeout=60, max=100": 59 * time.Second, "max=7,TIMEOUT = 3": 2 * time.Second, `timeout="5"`: 4 * time.Second,
		"timeout=2": time.Second, "timeout=1": 500 * time.Millisecond, "timeout=0.2": 100 * time.Millisecond, "timeout=0": leastIdle,
		"timeout=99999999999999": 1e6*time.Second - time.Second,
		"":                       0, "max=5": 0, "timeout": 0, "timeout=": 0, "timeout=-1": 0, "timeout=NaN": 0, "timeout=5s": 0, "timeouts=5": 0,
	} {
		got, ok := keptFor(value)
		if got != want || ok != (want != 0) {
			t.Errorf("%q: %v %v, want %v", value, got, ok, want)
		}
	}
}
