package config

import "time"

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
	Tokens         []string      `key:"tokens" doc:"who signs in with console.auth token: NAME=HASH, as redoxworker console token prints them"`
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
}

// ConsoleProxy is a proxy in front that has people sign in.
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
