package chaos

import (
	"net"
	"sync"
	"time"
)

// dialTimeout bounds the dial of what a proxy forwards to: it is on this machine.
const dialTimeout = 10 * time.Second

// proxy forwards TCP connections to one address, until it is cut: then what travels is
// held back for ever and nothing new gets through, as on a network that drops packets.
type proxy struct {
	listener net.Listener
	target   string

	mu      sync.Mutex
	cut     bool
	changed chan struct{} // closed and replaced when cut changes
	conns   map[net.Conn]struct{}
	all     sync.WaitGroup
}

func newProxy(target string) (*proxy, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &proxy{listener: l, target: target, changed: make(chan struct{}), conns: map[net.Conn]struct{}{}}
	p.all.Go(p.accept)
	return p, nil
}

func (p *proxy) addr() string { return p.listener.Addr().String() }

func (p *proxy) accept() {
	for {
		in, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.all.Go(func() { p.serve(in) })
	}
}

func (p *proxy) serve(in net.Conn) {
	defer func() { _ = in.Close() }()
	if !p.keep(in) {
		return
	}
	defer p.drop(in)
	out, err := (&net.Dialer{Timeout: dialTimeout}).Dial("tcp", p.target)
	if err != nil {
		return
	}
	defer func() { _ = out.Close() }()
	if !p.keep(out) {
		return
	}
	defer p.drop(out)
	var both sync.WaitGroup
	both.Go(func() { p.copy(out, in) })
	both.Go(func() { p.copy(in, out) })
	both.Wait()
}

// copy one direction; when it ends, so does the other.
func (p *proxy) copy(to, from net.Conn) {
	defer func() { _ = to.Close() }()
	defer func() { _ = from.Close() }()
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		if n > 0 {
			if !p.pass(from) {
				return
			}
			if _, werr := to.Write(buf[:n]); werr != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// pass waits until the proxy is not cut; false when the connection was dropped meanwhile.
func (p *proxy) pass(conn net.Conn) bool {
	for {
		p.mu.Lock()
		_, there := p.conns[conn]
		cut, changed := p.cut, p.changed
		p.mu.Unlock()
		if !there || !cut {
			return there
		}
		<-changed
	}
}

func (p *proxy) keep(conn net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.conns == nil {
		return false
	}
	p.conns[conn] = struct{}{}
	return true
}

func (p *proxy) drop(conn net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.conns, conn)
}

// set cuts the proxy or connects it again. What was held back is dropped with its
// connection: both sides connect anew.
func (p *proxy) set(cut bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cut == cut {
		return
	}
	p.cut = cut
	if !cut {
		p.dropAll()
	}
	close(p.changed)
	p.changed = make(chan struct{})
}

func (p *proxy) dropAll() {
	for conn := range p.conns {
		_ = conn.Close()
		delete(p.conns, conn)
	}
}

// close ends all connections and returns when nothing of the proxy runs.
func (p *proxy) close() {
	_ = p.listener.Close()
	p.mu.Lock()
	p.dropAll()
	p.conns = nil
	close(p.changed)
	p.changed = make(chan struct{})
	p.mu.Unlock()
	p.all.Wait()
}
