package config

import (
	"net/netip"
	"net/url"
	"strings"
	"unicode"
)

// goodHost reports whether the host of an address can be one: an IP address, a version 6 one
// in brackets, or a DNS name.
func goodHost(u *url.URL) bool {
	host := u.Hostname()
	if strings.Contains(host, ":") {
		return strings.HasPrefix(u.Host, "[") && isIP(host)
	}
	return isIP(host) || isDNSName(host)
}

func isIP(host string) bool {
	_, err := netip.ParseAddr(host)
	return err == nil
}

// isDNSName reports whether a host has the form of a name. One that ends in a number is a
// mistyped IP address.
func isDNSName(host string) bool {
	labels := strings.Split(strings.TrimSuffix(host, "."), ".")
	for _, label := range labels {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' || strings.ContainsFunc(label, notOfName) {
			return false
		}
	}
	return len(host) <= 254 && !isDigits(labels[len(labels)-1])
}

// notOfName: container networks have names with an underscore, international ones letters
// of any script.
func notOfName(r rune) bool {
	return r != '-' && r != '_' && !unicode.IsLetter(r) && !unicode.IsDigit(r) && !unicode.IsMark(r)
}
