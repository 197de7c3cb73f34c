package config

import (
	"fmt"
	"net"
	"net/netip"
	"regexp"
	"slices"
	"strings"
)

// unixPrefix begins an address that is the path of a socket.
const unixPrefix = "unix:"

// minSessionKey is the length of a session key, in bytes: who guesses it is whoever they like.
const minSessionKey = 32

// tokenPattern is one of console.tokens: a name, and the SHA-256 of the token.
var tokenPattern = regexp.MustCompile(`^[^=\s]{1,128}=sha256:[0-9a-f]{64}$`)

// patternOfSources is the name of a source in which * stands for any letters.
var patternOfSources = regexp.MustCompile(`^[a-z0-9*-]{1,64}$`)

// checkConsole looks at each value, and, where there is a console, at what is missing.
func (l *loader) checkConsole(c *Console) {
	if c.Listen != "" && !strings.HasPrefix(c.Listen, unixPrefix+"/") && !checkListen(c.Listen) {
		l.problem("console.listen", shown(c.Listen)+" is not host:port", "write an address such as 127.0.0.1:8467, or unix:/run/redoxworker/console.sock")
	}
	if c.BasePath != "" && !isPath(c.BasePath) {
		l.problem("console.base_path", shown(c.BasePath)+" is not a path", "write a path such as /ops/redox")
	}
	for _, one := range c.TrustedProxies {
		if _, err := netip.ParsePrefix(one); err != nil && !isIP(one) {
			l.problem("console.trusted_proxies", shown(one)+" is neither an address nor a network", "write addresses such as 10.0.0.7, and networks such as 10.0.0.0/24")
		}
	}
	if slices.ContainsFunc(c.Tokens, func(one string) bool { return !tokenPattern.MatchString(one) }) {
		l.problem("console.tokens", "holds one that is not NAME=HASH", "write what `redoxworker console token NAME` prints")
	}
	for _, key := range strings.Fields(c.SessionKey.Reveal()) {
		if len(key) < minSessionKey && !(l.isSet("console.session_key") && l.isSet("console.session_key_file")) {
			l.problem(l.given("console.session_key"), fmt.Sprintf("holds one of %d bytes", len(key)), "write what `openssl rand -hex 32` prints")
			break
		}
	}
	l.checkConsoleRoles(c)
	if c.Listen != "" && !l.failed["console.listen"] {
		l.checkConsoleReach(c)
		l.checkConsoleAuth(c)
	}
}

// checkConsoleRoles reads the lists of who has a role.
func (l *loader) checkConsoleRoles(c *Console) {
	keys := []string{"console.viewers", "console.operators", "console.revealers", "console.admins"}
	for i, list := range [][]string{c.Viewers, c.Operators, c.Revealers, c.Admins} {
		for _, one := range list {
			who, patterns, limited := cutLast(one, " for ")
			bad := slices.ContainsFunc(strings.Fields(patterns), func(p string) bool { return !patternOfSources.MatchString(p) })
			if strings.TrimSpace(strings.TrimPrefix(who, "group:")) == "" || bad || limited && strings.TrimSpace(patterns) == "" {
				l.problem(keys[i], shown(one)+" does not say who", "write a NAME, group:NAME or *, and to limit it for and patterns of sources: group:ops for clinic-* lab")
			}
		}
	}
}

// cutLast cuts at the last of several.
func cutLast(s, at string) (before, after string, found bool) {
	if i := strings.LastIndex(s, at); i >= 0 {
		return s[:i], s[i+len(at):], true
	}
	return s, "", false
}

// checkConsoleReach: over plain http nobody reaches it from another machine.
func (l *loader) checkConsoleReach(c *Console) {
	host, _, _ := net.SplitHostPort(c.Listen)
	here := strings.HasPrefix(c.Listen, unixPrefix) || isLoopback(host)
	switch {
	case c.Auth == ConsoleNone && (!here || c.BehindProxy):
		l.problem("console.auth", "is none, and others than this machine would reach the console", "choose another way to sign in, or listen on 127.0.0.1 without console.behind_proxy")
	case !here && !c.BehindProxy && !l.failed["console.behind_proxy"]:
		l.problem("console.listen", shown(c.Listen)+" would serve the console over plain http to other machines", "listen on 127.0.0.1, or put a proxy with TLS in front and set console.behind_proxy")
	}
}

// checkConsoleAuth finds what a way to sign in needs.
func (l *loader) checkConsoleAuth(c *Console) {
	need := map[string][]string{
		ConsoleToken: {"console.tokens"}, ConsoleBasic: {"console.users_file"}, ConsoleProxied: {"console.trusted_proxies", "console.proxy.secret"},
		ConsoleOpenID: {"console.oidc.issuer", "console.oidc.client_id", "console.public_url"},
	}
	for _, key := range need[c.Auth] {
		if list, ok := l.merged[key].([]string); !l.isGiven(key) && !l.failed[key] && !l.failed[key+"_file"] || ok && len(list) == 0 {
			l.problem(key, "is missing, and console.auth "+c.Auth+" needs it", "set it, or choose another console.auth")
		}
	}
	if c.Auth != ConsoleNone && len(c.Viewers)+len(c.Operators)+len(c.Revealers)+len(c.Admins) == 0 {
		l.problem("console.viewers", "is empty, as are the other roles: nobody could see anything", "name somebody who may, or * for all who sign in")
	}
}
