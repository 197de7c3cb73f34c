package chaos

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/redoxworker/redoxworker/outbox/natsdev"
)

// servers are the nats-server processes of a bench: one, or a cluster whose routes run
// through proxies, so that a node can be cut off from the others and not from its clients.
type servers struct {
	nodes []*node
}

// node is one nats-server with its data directory and its port, which it keeps.
type node struct {
	*process
	index   int
	url     string
	proxies []*proxy // of all routes from and to it
}

// startServers starts size servers in dir and waits until they take connections.
func startServers(binary, dir string, size int) (*servers, error) {
	ports, err := natsdev.FreePorts(2 * size)
	if err != nil {
		return nil, err
	}
	s := &servers{}
	for i := range size {
		name := fmt.Sprint("nats-", i+1)
		s.nodes = append(s.nodes, &node{index: i, url: fmt.Sprintf("nats://127.0.0.1:%d", ports[i]),
			process: &process{name: name, path: binary, log: filepath.Join(dir, name+".log")}})
	}
	for i, n := range s.nodes {
		routes, err := s.routes(i, ports[size:])
		if err != nil {
			return s, err
		}
		file := filepath.Join(dir, n.name+".conf")
		if err := os.WriteFile(file, []byte(n.conf(dir, ports[i], ports[size+i], routes)), 0o600); err != nil {
			return s, err
		}
		n.args = []string{"-c", file}
		if err := n.start(); err != nil {
			return s, err
		}
	}
	return s, s.ready()
}

// routes from one node to the others, each through a proxy of its own.
func (s *servers) routes(from int, ports []int) (urls []string, err error) {
	for to, n := range s.nodes {
		if to == from {
			continue
		}
		p, err := newProxy(fmt.Sprintf("127.0.0.1:%d", ports[to]))
		if err != nil {
			return nil, err
		}
		n.proxies = append(n.proxies, p)
		s.nodes[from].proxies = append(s.nodes[from].proxies, p)
		urls = append(urls, fmt.Sprintf("%q", "nats://"+p.addr()))
	}
	return urls, nil
}

// conf of a server. A cluster that advertised its addresses would find ways around the proxies.
func (n *node) conf(dir string, port, routePort int, routes []string) string {
	text := fmt.Sprintf("server_name: %s\nlisten: \"127.0.0.1:%d\"\njetstream {store_dir: %q}\n", n.name, port, filepath.Join(dir, n.name))
	if len(routes) > 0 {
		text += fmt.Sprintf("cluster {name: chaos, listen: \"127.0.0.1:%d\", no_advertise: true, routes: [%s]}\n", routePort, strings.Join(routes, ", "))
	}
	return text
}

// ready waits until every server takes connections.
func (s *servers) ready() error {
	for _, n := range s.nodes {
		err := eventually(2*time.Minute, "connections to "+n.name, func() bool {
			conn, err := nats.Connect(n.url)
			if err != nil {
				return false
			}
			conn.Close()
			return true
		})
		if err != nil {
			return fmt.Errorf("%w: %s", err, n.tail(2000))
		}
	}
	return nil
}

// urls of all servers, comma separated.
func (s *servers) urls() string {
	var list []string
	for _, n := range s.nodes {
		list = append(list, n.url)
	}
	return strings.Join(list, ",")
}

// isolate cuts a node off from the other nodes, or connects it again. Its clients stay.
func (n *node) isolate(cut bool) {
	for _, p := range n.proxies {
		p.set(cut)
	}
}

func (s *servers) close() {
	for _, n := range s.nodes {
		n.kill()
	}
	for _, n := range s.nodes {
		for _, p := range n.proxies {
			p.close()
		}
		n.proxies = nil
	}
}

// eventually polls a condition.
func eventually(limit time.Duration, what string, cond func() bool) error {
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	end := time.NewTimer(limit)
	defer end.Stop()
	for !cond() {
		select {
		case <-ticker.C:
		case <-end.C:
			return fmt.Errorf("not within %v: %s", limit, what)
		}
	}
	return nil
}
