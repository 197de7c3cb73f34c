package natsdev_test

import (
	"testing"

	"github.com/redoxworker/redoxworker/outbox/natsdev"
)

func TestFreePorts_AreDistinctAndCanBeListenedOn(t *testing.T) {
	t.Parallel()
	ports, err := natsdev.FreePorts(5)
	if err != nil || len(ports) != 5 {
		t.Fatal(ports, err)
	}
	seen := make(map[int]bool)
	for _, p := range ports {
		if seen[p] {
			t.Errorf("port %d twice", p)
		}
		seen[p] = true
	}
	s := start(t, natsdev.Options{Port: ports[0]})
	store(t, connect(t, s))
	if err := s.Restart(); err != nil {
		t.Error(err)
	}
}
