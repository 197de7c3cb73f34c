package config

import (
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// article names a kind in a sentence.
func (k kind) article() string {
	switch k {
	case kindInteger:
		return "a whole number"
	case kindNumber:
		return "a number"
	case kindBoolean:
		return "true or false"
	case kindDuration:
		return "a duration"
	case kindSize:
		return "a size"
	case kindList:
		return "a list of texts"
	case kindFile, kindNewFile, kindDir, kindSecretFile:
		return "a path"
	case kindURL, kindProxy:
		return "a URL"
	default:
		return "a text"
	}
}

// example is the mend for a value of the wrong form.
func (k kind) example() string {
	switch k {
	case kindInteger:
		return "write a number such as 16"
	case kindNumber:
		return "write a number such as 0.2"
	case kindBoolean:
		return "write true or false"
	case kindDuration:
		return "write a number and a unit, such as 150s, 5m, 24h or 7d"
	case kindSize:
		return "write bytes, or a number and a unit, such as 10MB or 8MiB"
	case kindList:
		return `write a list such as ["one", "two"]`
	case kindFile, kindNewFile, kindSecretFile:
		return "write the path of a file"
	case kindDir:
		return "write the path of a directory"
	case kindServers:
		return "write servers with commas between them, such as nats://10.0.0.1:4222,nats://10.0.0.2:4222"
	case kindURL:
		return "write a URL such as https://api.redoxengine.com"
	case kindProxy:
		return "write a URL such as http://proxy.example:3128"
	default:
		return "write one plain text"
	}
}

// amount reads a text of a kind that has bounds.
func (k kind) amount(text string) float64 {
	switch k {
	case kindDuration:
		d, _ := parseDuration(text)
		return float64(d)
	case kindSize:
		n, _ := parseSize(text)
		return float64(n)
	default:
		n, _ := strconv.ParseFloat(text, 64)
		return n
	}
}

// bounds checks a text, which reads well, against least, most and values.
func (f field) bounds(text string) *fault {
	n := f.kind.amount(text)
	switch {
	case len(f.values) > 0 && !slices.Contains(f.values, text):
		return &fault{shown(text) + " is not one of " + strings.Join(f.values, ", "), "choose one"}
	case n != n:
		return f.bad(text, "is not a number")
	case f.least != "" && n < f.kind.amount(f.least):
		return &fault{shown(text) + " is too small", "give at least " + f.least}
	case f.most != "" && f.below && n >= f.kind.amount(f.most):
		return &fault{shown(text) + " is too large", "give less than " + f.most}
	case f.most != "" && n > f.kind.amount(f.most):
		return &fault{shown(text) + " is too large", "give at most " + f.most}
	}
	return nil
}

// checkURL checks an address by its kind. User and password are not shown.
func (f field) checkURL(text string) *fault {
	switch f.kind {
	case kindServers:
		return f.checkServers(text)
	case kindProxy:
		return f.checkProxy(text)
	}
	u, err := url.Parse(text)
	switch {
	case err != nil || !goodHost(u) || (u.Scheme != "https" && u.Scheme != "http"):
		return f.bad(NewURL(text).String(), "is not an https URL")
	case u.User != nil:
		return f.bad(NewURL(text).String(), "holds a user or password")
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "" || strings.Contains(text, "#"):
		return f.bad(u.Scheme+"://"+u.Host+u.EscapedPath(), "has a query or a fragment behind it")
	case u.Scheme == "http" && !isLoopback(u.Hostname()):
		return &fault{shown(text) + " would send tokens and patient data in the clear", "use https; http is for loopback hosts only"}
	case !goodPort(u):
		return f.bad(text, "has a bad port")
	}
	return nil
}

func (f field) checkServers(text string) *fault {
	if strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return &fault{"holds a line break or another control character", f.kind.example()}
	}
	safe := NewURL(text).String()
	websockets, servers := 0, strings.Split(text, ",")
	for _, server := range servers {
		server = strings.TrimSpace(server)
		if server == "" {
			return f.bad(safe, "has an empty entry between its commas")
		}
		if !strings.Contains(server, "://") {
			server = "nats://" + server
		}
		u, err := url.Parse(server)
		switch {
		case err != nil || !goodHost(u) || !goodPort(u):
			return f.bad(safe, "is not a list of NATS servers")
		case !slices.Contains([]string{"nats", "tls", "ws", "wss"}, u.Scheme):
			return f.bad(safe, "has a scheme that NATS does not know")
		case strings.Trim(u.Path, "/") != "" && !strings.HasPrefix(u.Scheme, "ws") || u.RawQuery != "" || u.ForceQuery || strings.Contains(server, "#"):
			return f.bad(safe, "has a path, a query or a fragment behind a server")
		}
		if strings.HasPrefix(u.Scheme, "ws") {
			websockets++
		}
	}
	if websockets > 0 && websockets < len(servers) {
		return f.bad(safe, "has servers over WebSocket beside others, which the client does not mix")
	}
	return nil
}

func (f field) checkProxy(text string) *fault {
	u, err := url.Parse(text)
	if err != nil || !goodHost(u) || !goodPort(u) || !slices.Contains([]string{"http", "https", "socks5", "socks5h"}, u.Scheme) {
		return f.bad(NewURL(text).String(), "is not an http, https or socks5 URL")
	}
	return nil
}

func goodPort(u *url.URL) bool {
	if u.Port() == "" {
		return !strings.HasSuffix(u.Host, ":")
	}
	n, err := strconv.ParseUint(u.Port(), 10, 16)
	return err == nil && n > 0
}

// isLoopback reports whether a host is this machine, without asking DNS.
func isLoopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	a, err := netip.ParseAddr(host)
	return err == nil && a.Unmap().IsLoopback()
}

// checkListen checks a host:port to listen on. Port 0 takes a free one.
func checkListen(text string) bool {
	host, port, err := net.SplitHostPort(text)
	if err != nil {
		return false
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return false
	}
	return host == "" || isIP(host) || isDNSName(host)
}
