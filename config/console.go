package config

import (
	"fmt"
	"net"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Console is the web console. Whoever signs in has the roles that the lists name; each role
// includes those before it.
type Console struct {
	// Listen is "" for no listener. A path of a Unix socket begins with unix:.
	Listen string `key:"listen" doc:"host:port of the web console, or unix: and the path of a socket; empty means none"`
	// BasePath begins with a slash and does not end with one; "" for the root.
	BasePath string `key:"base_path" doc:"path below which the listener serves the console, such as /ops/redox; not needed behind a proxy that takes it away"`
	// PublicURL has no slash at its end.
	PublicURL      string        `key:"public_url" kind:"url" doc:"address of the console as browsers see it; console.auth oidc needs it"`
	BehindProxy    bool          `key:"behind_proxy" default:"false" doc:"whether a proxy with TLS is in front; the listener speaks plain http, which others than this machine may not reach otherwise"`
	TrustedProxies []string      `key:"trusted_proxies" doc:"addresses or networks of the proxies in front, whose X-Forwarded-For is believed"`
	Auth           string        `key:"auth" default:"token" values:"token basic proxy oidc none" doc:"how people sign in; none is for this machine alone, and makes everybody an admin"`
	Tokens         []string      `key:"tokens" doc:"who signs in with console.auth token: NAME=HASH, as redoxworker console-token prints them"`
	UsersFile      string        `key:"users_file" kind:"file" is:"private" doc:"who signs in with console.auth basic: a file with NAME:HASH lines, as htpasswd -B writes it; followed"`
	Proxy          ConsoleProxy  `key:"proxy"`
	OIDC           ConsoleOIDC   `key:"oidc"`
	Viewers        []string      `key:"viewers" doc:"who sees all but bodies: NAME, group:NAME or * for all who sign in; followed by for and patterns of sources to limit it: group:ops for clinic-*"`
	Operators      []string      `key:"operators" doc:"who also replays, discards, pauses, resumes, holds and releases"`
	Revealers      []string      `key:"revealers" doc:"who also sees, edits and exports bodies"`
	Admins         []string      `key:"admins" doc:"who also changes sources and reads the audit trail"`
	Session        time.Duration `key:"session" default:"8h" least:"1m" most:"24h" doc:"time after which people sign in anew"`
	SessionKey     Secret        `key:"session_key" doc:"seals sessions, the same for all replicas; empty means one that is forgotten at the end of the process; several with a space between, the first seals"`
	SessionKeyFile string        `key:"session_key_file" kind:"secret file" doc:"file with console.session_key, one a line; the first seals, all open; followed"`
	NATS           ConsoleNATS   `key:"nats"`
}

// ConsoleProxy is a proxy in front of the console that signs people in.
type ConsoleProxy struct {
	UserHeader   string `key:"user_header" default:"X-Forwarded-User" doc:"header in which the proxy says who it is"`
	GroupsHeader string `key:"groups_header" default:"X-Forwarded-Groups" doc:"header in which the proxy lists their groups, with commas between"`
	SecretHeader string `key:"secret_header" default:"X-Redox-Proxy-Secret" doc:"header in which the proxy proves that it is the one"`
	Secret       Secret `key:"secret" doc:"what console.proxy.secret_header must say"`
	SecretFile   string `key:"secret_file" kind:"secret file" doc:"file with console.proxy.secret; followed"`
}

// ConsoleOIDC is a provider of OpenID Connect.
type ConsoleOIDC struct {
	Issuer           string   `key:"issuer" kind:"url" doc:"issuer of the provider of OpenID Connect, as its discovery document has it"`
	ClientID         string   `key:"client_id" doc:"id of the console at the provider; its redirect URI is console.public_url + /sign-in/callback"`
	ClientSecret     Secret   `key:"client_secret" doc:"secret of the console at the provider; empty for a public client"`
	ClientSecretFile string   `key:"client_secret_file" kind:"secret file" doc:"file with console.oidc.client_secret; followed"`
	Scopes           []string `key:"scopes" default:"openid,profile,email" doc:"scopes to ask for; some providers give groups for one of their own"`
	NameClaim        string   `key:"name_claim" default:"email" doc:"claim that is the name of a user, which nobody can choose for themselves"`
	GroupsClaim      string   `key:"groups_claim" default:"groups" doc:"claim with the groups of a user"`
	CAFile           string   `key:"ca_file" kind:"file" doc:"PEM file of the authority that signed the provider's certificate; empty means the system's"`
}

// Values of Console.Auth.
const (
	ConsoleToken   = "token"
	ConsoleBasic   = "basic"
	ConsoleProxied = "proxy"
	ConsoleOpenID  = "oidc"
	ConsoleNone    = "none"
)

// unixPrefix begins an address that is the path of a socket.
const unixPrefix = "unix:"

// minSessionKey is the length of a session key, in bytes: whoever guesses it can sign in as anybody.
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
		l.problem("console.tokens", "holds one that is not NAME=HASH", "write what `redoxworker console-token NAME` prints")
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

// checkConsoleReach: over plain http nobody reaches it from another machine, and whoever has to can.
func (l *loader) checkConsoleReach(c *Console) {
	host, _, _ := net.SplitHostPort(c.Listen)
	socket := strings.HasPrefix(c.Listen, unixPrefix)
	here := socket || isLoopback(host)
	switch {
	case c.Auth == ConsoleProxied && socket:
		l.problem("console.listen", shown(c.Listen)+" is a socket, and console.auth proxy knows a proxy by its address", "listen on 127.0.0.1, or choose another console.auth")
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

// ConsoleNATS is a connection of the console's own, with the rights of the user console in deploy/nats. What
// is not set is as the section nats has it; a way to log in takes the place of that of nats, and of its
// inboxes.
type ConsoleNATS struct {
	URL          URL    `key:"url" kind:"servers" doc:"servers of the console's connection, separated by commas; empty means those of nats"`
	Creds        Secret `key:"creds" doc:"text of the console's NATS credentials file"`
	CredsFile    string `key:"creds_file" kind:"secret file" doc:"the console's NATS credentials file (JWT and seed)"`
	NKey         Secret `key:"nkey" doc:"NKey seed of the console"`
	NKeyFile     string `key:"nkey_file" kind:"secret file" doc:"file with the NKey seed of the console"`
	User         string `key:"user" doc:"user name of the console, with console.nats.password; a worker's has too few rights"`
	Password     Secret `key:"password" doc:"password of console.nats.user"`
	PasswordFile string `key:"password_file" kind:"secret file" doc:"file with the password of console.nats.user"`
	Token        Secret `key:"token" doc:"NATS authentication token of the console"`
	TokenFile    string `key:"token_file" kind:"secret file" doc:"file with the NATS authentication token of the console"`
	InboxPrefix  string `key:"inbox_prefix" doc:"prefix of the console's reply inboxes; empty means _INBOX where the console logs in by itself"`
	TLS          TLS    `key:"tls"`
}

// logsIn reports whether a way to log in is set.
func (n ConsoleNATS) logsIn() bool {
	return n.Creds.IsSet() || n.NKey.IsSet() || n.User != "" || n.Token.IsSet() || n.URL.holdsUser()
}

// HasOwnNATS reports whether the console has a way of its own to log in to NATS.
func (c *Config) HasOwnNATS() bool { return c.Console.NATS.logsIn() }

// ForConsole returns a copy whose section nats is that of the console's connection.
func (c *Config) ForConsole() *Config {
	own, of := c.Console.NATS, *c
	n := &of.NATS
	if own.URL.String() != "" {
		n.URL, n.Context = own.URL, ""
	}
	if own.logsIn() {
		n.Creds, n.NKey, n.User, n.Password, n.Token, n.InboxPrefix = own.Creds, own.NKey, own.User, own.Password, own.Token, ""
		n.CredsFile, n.NKeyFile, n.PasswordFile, n.TokenFile = own.CredsFile, own.NKeyFile, own.PasswordFile, own.TokenFile
	}
	if own.InboxPrefix != "" {
		n.InboxPrefix = own.InboxPrefix
	}
	if own.TLS.CAFile != "" {
		n.TLS.CAFile = own.TLS.CAFile
	}
	if own.TLS.CertFile != "" {
		n.TLS.CertFile, n.TLS.KeyFile = own.TLS.CertFile, own.TLS.KeyFile
	}
	return &of
}

// checkConsoleNATS finds a login that the connection would not be made with: the client prefers a user in the
// address of a server, and a context of the nats CLI has servers and credentials of its own.
func (l *loader) checkConsoleNATS(n *NATS, own *ConsoleNATS) {
	const url = consoleNATS + ".url"
	switch logins, set := l.logins(consoleNATS), own.URL.IsSet(); {
	case own.URL.holdsUser() && len(logins) > 0:
		l.problem(url, "holds a user besides "+logins[0], "keep one of them")
	case n.Context != "" && own.logsIn() && !set:
		l.problem(url, "is missing, and nats.context has servers and credentials of its own", "set it to the servers, or take nats.context away")
	case n.Context != "" && set && !own.logsIn() && len(l.logins("nats")) == 0:
		l.problem(url, "would be reached without the credentials of nats.context", "set a way to log in there, such as console.nats.creds_file, or take it away")
	case n.URL.holdsUser() && own.logsIn() && !set:
		l.problem(url, "is missing, and nats.url holds a user, which goes before", "set it to the servers, or move the user to nats.user and nats.password")
	}
}

// consoleNATS is the section of the console's connection.
const consoleNATS = "console.nats"
