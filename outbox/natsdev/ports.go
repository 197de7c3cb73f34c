package natsdev

import (
	"fmt"
	"math/rand/v2"
	"net"
)

// FreePorts finds n ports of this machine that nobody listens on, for servers that are to
// listen on them a moment later, and again after a restart. They are below those that
// systems give to outgoing connections and to listeners that take any: one of those could
// have such a port by then.
func FreePorts(n int) (ports []int, err error) {
	const first, count, tries = 12_000, 20_000, 1000
	for range tries {
		l, err := net.Listen("tcp", fmt.Sprintf("%s:%d", localhost, first+rand.IntN(count)))
		if err != nil {
			continue
		}
		defer func() { _ = l.Close() }() // all at once: no port twice
		if ports = append(ports, l.Addr().(*net.TCPAddr).Port); len(ports) == n {
			return ports, nil
		}
	}
	return nil, fmt.Errorf("natsdev: no %d free ports from %d on", n, first)
}
