package access

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"github.com/redoxworker/redoxworker/auth/secret"
)

// Proxy is an [Authenticator] that believes a proxy in front, which has people sign in. Another that
// reaches the console can write the same headers: the proxy's address and its secret are asked for.
type Proxy struct {
	// Trusted are the addresses of the proxy.
	Trusted []netip.Prefix
	// Secret is what the proxy writes into SecretHeader.
	Secret       secret.Text
	SecretHeader string
	// UserHeader has the name, GroupsHeader the groups with commas between. The proxy has to take both
	// away from what comes from outside.
	UserHeader, GroupsHeader string
}

// Authenticate believes the headers of the proxy, and of nobody else. A header that is there twice is
// refused: somebody in front of the proxy may have written one of them.
func (p *Proxy) Authenticate(r *http.Request) (Identity, error) {
	if !trusted(p.Trusted, peer(r)) {
		return Identity{}, errors.New("the request does not come from one of console.trusted_proxies")
	}
	want, got := sha256.Sum256([]byte(p.Secret.Reveal())), sha256.Sum256([]byte(r.Header.Get(p.SecretHeader)))
	if subtle.ConstantTimeCompare(want[:], got[:]) != 1 || !p.Secret.IsSet() || len(r.Header.Values(p.SecretHeader)) != 1 {
		return Identity{}, errors.New("the proxy does not say its secret: have it set " + p.SecretHeader + " to that of console.proxy.secret_file")
	}
	users, lists := r.Header.Values(p.UserHeader), r.Header.Values(p.GroupsHeader)
	switch {
	case len(users) == 0 || users[0] == "":
		return Identity{}, errors.New("the proxy does not say who it is: have it set " + p.UserHeader)
	case len(users) > 1 || len(lists) > 1:
		return Identity{}, errors.New("the proxy says twice who it is: have it replace " + p.UserHeader + " and " + p.GroupsHeader + ", not add to them")
	}
	who := Identity{Name: users[0]}
	for _, list := range lists {
		for group := range strings.SplitSeq(list, ",") {
			if group = strings.TrimSpace(group); group != "" {
				who.Groups = append(who.Groups, group)
			}
		}
	}
	return who, nil
}

// Local is an [Authenticator] that takes whoever is on this machine for Name, and nobody else: by a
// loopback address or a Unix socket, without a proxy between, and under a name that is only here. A
// proxy on this machine that says nothing of itself, and calls the console by such a name, is taken for
// somebody who is here: put none in front of it.
type Local struct{ Name string }

// Authenticate looks at the connection and at the name that the console was called by.
func (l Local) Authenticate(r *http.Request) (Identity, error) {
	if !fromHere(r) {
		return Identity{}, errors.New("console.auth is none, which is for this machine alone")
	}
	return Identity{Name: l.Name}, nil
}

// ParseProxies reads addresses and networks.
func ParseProxies(texts []string) ([]netip.Prefix, error) {
	var all []netip.Prefix
	for _, text := range texts {
		network, err := netip.ParsePrefix(text)
		if err != nil {
			at, err := netip.ParseAddr(text)
			if err != nil {
				return nil, errors.New("a trusted proxy is neither an address nor a network")
			}
			network = netip.PrefixFrom(at.Unmap(), at.Unmap().BitLen())
		}
		all = append(all, network.Masked())
	}
	return slices.Clip(all), nil
}
