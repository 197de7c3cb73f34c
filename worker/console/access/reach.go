package access

import (
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// forwarded reports whether a header is one of a proxy: with it a request did not begin on this machine.
func forwarded(header string) bool {
	return strings.HasPrefix(header, "X-Forwarded") || header == "Forwarded" || header == "X-Real-Ip" || header == "Via"
}

// onSocket reports whether a request came over a Unix socket.
func onSocket(r *http.Request) bool {
	local, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	return ok && local.Network() == "unix"
}

// peer is who opened the connection; invalid over a Unix socket.
func peer(r *http.Request) netip.Addr {
	at, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return at.Addr().Unmap().WithZone("")
}

// fromHere reports whether a request was made on this machine, for this machine: by its address or
// its socket, without a proxy between that says so, and under a name that is only here. A page elsewhere
// can have a name of its own lead here, and not one of these.
func fromHere(r *http.Request) bool {
	for header := range r.Header {
		if forwarded(header) {
			return false
		}
	}
	return (onSocket(r) || peer(r).IsLoopback()) && localName(r.Host)
}

// localName reports whether a host is this machine, whoever asks.
func localName(hostport string) bool {
	host, _, err := net.SplitHostPort(hostport)
	if err != nil {
		host = strings.Trim(hostport, "[]")
	}
	if strings.EqualFold(host, "localhost") {
		return true
	}
	at, err := netip.ParseAddr(host)
	return err == nil && at.Unmap().IsLoopback()
}

// overTLS reports whether the browser speaks TLS: to us, or to the proxy in front.
func (g *Guard) overTLS(r *http.Request) bool {
	return r.TLS != nil || g.cfg.BehindProxy
}

// unreachable says why a request is not answered over its connection; "" if it is.
func (g *Guard) unreachable(r *http.Request) string {
	switch {
	case r.TLS != nil || fromHere(r):
		return ""
	case g.cfg.BehindProxy:
		if proto := last(r.Header.Values("X-Forwarded-Proto")); strings.EqualFold(proto, "http") {
			return "The proxy in front says that you came by http://: what you see could be read on the way. Come by https://."
		}
		return ""
	case onSocket(r) || peer(r).IsLoopback():
		return "The console was called by a name that is not of this machine, or through a proxy. Call it localhost; for a proxy with TLS in front, set console.behind_proxy."
	}
	return "The console speaks plain http here, which could be read on the way from another machine. Put a proxy with TLS in front and set console.behind_proxy."
}

// last is the last of the values of a list in headers: the one that the nearest proxy wrote.
func last(headers []string) string {
	if len(headers) == 0 {
		return ""
	}
	list := headers[len(headers)-1]
	return strings.TrimSpace(list[strings.LastIndexByte(list, ',')+1:])
}

// trusted reports whether an address is of one of the proxies.
func trusted(proxies []netip.Prefix, a netip.Addr) bool {
	return a.IsValid() && slices.ContainsFunc(proxies, func(p netip.Prefix) bool { return p.Contains(a) })
}

// client is where a request comes from: the last address that no trusted proxy has. It is invalid
// over a Unix socket.
func (g *Guard) client(r *http.Request) netip.Addr {
	at := peer(r)
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for i := len(hops) - 1; i >= 0 && (trusted(g.cfg.TrustedProxies, at) || !at.IsValid() && onSocket(r) && g.cfg.BehindProxy); i-- {
		hop, err := netip.ParseAddr(strings.TrimSpace(hops[i]))
		if err != nil {
			break
		}
		at = hop.Unmap().WithZone("")
	}
	return at
}

// remote is the client in words.
func (g *Guard) remote(r *http.Request) string {
	if at := g.client(r); at.IsValid() {
		return at.String()
	}
	return "socket"
}
