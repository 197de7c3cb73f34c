package bulkexport

import (
	"errors"
	"net"
	"net/url"
	"slices"
	"strings"
)

// isPassing reports whether an error may go away by itself.
func isPassing(err error) bool { return errors.As(err, new(passing)) }

// isAbsolute reports whether a link says all of where it leads. To what another one is relative only
// the server knows.
func isAbsolute(link string) bool {
	u, err := url.Parse(link)
	return err == nil && u.Host != ""
}

// sameHost reports whether two links lead to one host and port.
func sameHost(a, b string) bool {
	x, err := url.Parse(a)
	y, failed := url.Parse(b)
	return err == nil && failed == nil && strings.EqualFold(x.Scheme, y.Scheme) && hostOf(x) == hostOf(y)
}

// samePlace reports whether two links differ in nothing but their query strings, in which signatures are.
func samePlace(a, b string) bool {
	a, _, _ = strings.Cut(a, "?")
	b, _, _ = strings.Cut(b, "?")
	return a == b
}

// hostOf is host and port, in lower case.
func hostOf(u *url.URL) string {
	port := u.Port()
	switch {
	case port != "":
	case strings.EqualFold(u.Scheme, "http"):
		port = "80"
	default:
		port = "443"
	}
	return net.JoinHostPort(strings.ToLower(u.Hostname()), port)
}

// isHost reports whether text is a host, or host:port.
func isHost(text string) bool {
	u, err := url.Parse("https://" + text)
	return err == nil && text != "" && u.Host == text && u.Hostname() != "" && !strings.ContainsAny(text, "*@ ")
}

// allowed reports whether one of the hosts is that of a link: with a port that one alone, without the
// scheme's.
func allowed(hosts []string, u *url.URL) bool {
	return slices.ContainsFunc(hosts, func(host string) bool {
		named, err := url.Parse(u.Scheme + "://" + host)
		return err == nil && hostOf(named) == hostOf(u)
	})
}
