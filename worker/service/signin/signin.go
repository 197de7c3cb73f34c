// Package signin makes of the settings what lets people in to the web console, and follows the files
// that these name.
package signin

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/redoxworker/redoxworker/auth/filewatch"
	"github.com/redoxworker/redoxworker/auth/secret"
	"github.com/redoxworker/redoxworker/config"
	"github.com/redoxworker/redoxworker/worker/console/access"
	"github.com/redoxworker/redoxworker/worker/console/access/oidc"
	"github.com/redoxworker/redoxworker/worker/service/internal/pemfile"
)

// Gate is the guard of a console as the settings have it. It is safe for concurrent use.
type Gate struct {
	settings config.Console
	log      *slog.Logger
	own      secret.Text // seals sessions where no key is set
	guard    atomic.Pointer[access.Guard]
	watcher  *filewatch.Watcher
}

// New makes a Gate. It reads the files and asks nobody. An error names the key of the settings.
func New(settings config.Console, log *slog.Logger) (*Gate, error) {
	g := &Gate{settings: settings, log: log, own: secret.New(rand.Text() + rand.Text())}
	var followed []string
	for _, file := range []string{settings.UsersFile, settings.SessionKeyFile, settings.Proxy.SecretFile, settings.OIDC.ClientSecretFile, settings.OIDC.CAFile} {
		if file != "" {
			followed = append(followed, file)
		}
	}
	var err error
	if g.watcher, err = filewatch.New(followed, g.load, filewatch.Config{Logger: log}); err != nil {
		return nil, err
	}
	if err := g.load(); err != nil {
		return nil, err
	}
	if settings.Auth != config.ConsoleNone && settings.Auth != config.ConsoleProxied && !settings.SessionKey.IsSet() {
		log.Info("sessions of the console end with this process, and are not known to others: console.session_key_file is not set")
	}
	if settings.Auth == config.ConsoleBasic && settings.BehindProxy && len(settings.TrustedProxies) == 0 {
		log.Warn("console.trusted_proxies is not set: whoever signs in seems to come from the proxy, and somebody who tries passwords slows all others")
	}
	return g, nil
}

// Wrap stands before the console, as the Guard of its Config. A change of the files counts from the
// next request on.
func (g *Gate) Wrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { g.guard.Load().Wrap(next).ServeHTTP(w, r) })
}

// Run follows the files until ctx ends. What is in effect stays so while a file cannot be used.
func (g *Gate) Run(ctx context.Context) error { return g.watcher.Run(ctx) }

// load reads the files and puts them to use.
func (g *Gate) load() error {
	c := g.settings
	cfg := access.Config{Session: c.Session, PublicURL: c.PublicURL, BehindProxy: c.BehindProxy, Logger: g.log}
	var err error
	if cfg.TrustedProxies, err = access.ParseProxies(c.TrustedProxies); err != nil {
		return config.Mistakef("console.trusted_proxies: %w", err)
	}
	if cfg.SessionKeys, err = g.sessionKeys(); err != nil {
		return err
	}
	if cfg.Rules, err = rules(c); err != nil {
		return err
	}
	if err := g.way(&cfg); err != nil {
		return err
	}
	guard, err := g.guarding(cfg)
	if err != nil {
		return config.Mistakef("console: %w", err)
	}
	g.guard.Store(guard)
	return nil
}

// guarding is a guard in place of the one that there is: a change of a file gives nobody more tries.
func (g *Gate) guarding(cfg access.Config) (*access.Guard, error) {
	if before := g.guard.Load(); before != nil {
		return before.Renew(cfg)
	}
	return access.New(cfg)
}

// reread is a secret as its file has it now, or as it was given by value.
func reread(key, file string, given secret.Text) (secret.Text, error) {
	if file == "" {
		return given, nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return secret.Text{}, config.Mistakef("%s: %w", key, err)
	}
	if text = secret.Content(text); len(text) == 0 {
		return secret.Text{}, config.Mistakef("%s: file %q is empty; fill it, or name another file", key, file)
	}
	return secret.New(string(text)), nil
}

func (g *Gate) sessionKeys() (keys []secret.Text, err error) {
	all, err := reread("console.session_key_file", g.settings.SessionKeyFile, g.settings.SessionKey)
	if err != nil {
		return nil, err
	}
	for key := range strings.FieldsSeq(all.Reveal()) {
		keys = append(keys, secret.New(key))
	}
	if len(keys) == 0 {
		keys = []secret.Text{g.own}
	}
	return keys, nil
}

func rules(c config.Console) (all []access.Rule, err error) {
	lists := map[access.Role][]string{access.Viewer: c.Viewers, access.Operator: c.Operators, access.Revealer: c.Revealers, access.Admin: c.Admins}
	if c.Auth == config.ConsoleNone {
		lists = map[access.Role][]string{access.Admin: {"*"}}
	}
	for _, role := range access.Roles() {
		for _, text := range lists[role] {
			rule, err := access.ParseRule(role, text)
			if err != nil {
				return nil, config.Mistakef("console.%ss: %w", role, err)
			}
			all = append(all, rule)
		}
	}
	return all, nil
}

// way sets how people sign in.
func (g *Gate) way(cfg *access.Config) (err error) {
	c := g.settings
	switch c.Auth {
	case config.ConsoleToken:
		hashes := map[string]string{}
		for _, entry := range c.Tokens {
			name, hash, _ := strings.Cut(entry, "=")
			if hashes[name] != "" {
				return config.Mistakef("console.tokens: %s has two; give each its own name, or remove one", name)
			}
			hashes[name] = hash
		}
		if cfg.Tokens, err = access.NewTokens(hashes); err != nil {
			return config.Mistakef("console.tokens: %w", err)
		}
	case config.ConsoleBasic:
		text, err := os.ReadFile(c.UsersFile)
		if err != nil {
			return config.Mistakef("console.users_file: %w", err)
		}
		if cfg.Passwords, err = access.ReadPasswords(text); err != nil {
			return config.Mistakef("console.users_file: file %q: %w", c.UsersFile, err)
		}
	case config.ConsoleProxied:
		proof, err := reread("console.proxy.secret_file", c.Proxy.SecretFile, c.Proxy.Secret)
		if err != nil {
			return err
		}
		cfg.Authenticator = &access.Proxy{Trusted: cfg.TrustedProxies, Secret: proof, SecretHeader: c.Proxy.SecretHeader, UserHeader: c.Proxy.UserHeader, GroupsHeader: c.Proxy.GroupsHeader}
	case config.ConsoleOpenID:
		cfg.Redirector, err = provider(c.OIDC)
		return err
	case config.ConsoleNone:
		host, err := os.Hostname()
		if err != nil {
			host = "unknown"
		}
		cfg.Authenticator = access.Local{Name: "local@" + host}
	default:
		return config.Mistakef("console.auth: %q is none", c.Auth)
	}
	return nil
}

func provider(c config.ConsoleOIDC) (*oidc.Provider, error) {
	if err := pemfile.CheckCA("console.oidc.ca_file", c.CAFile); err != nil {
		return nil, err
	}
	hush, err := reread("console.oidc.client_secret_file", c.ClientSecretFile, c.ClientSecret)
	if err != nil {
		return nil, err
	}
	cfg := oidc.Config{Issuer: c.Issuer, ClientID: c.ClientID, ClientSecret: hush, Scopes: c.Scopes, NameClaim: c.NameClaim, GroupsClaim: c.GroupsClaim}
	if c.CAFile != "" {
		pem, err := os.ReadFile(c.CAFile)
		if err != nil {
			return nil, config.Mistakef("console.oidc.ca_file: %w", err)
		}
		roots := x509.NewCertPool()
		if !roots.AppendCertsFromPEM(pem) {
			return nil, errors.New("console.oidc.ca_file: the file was replaced while it was read")
		}
		cfg.Transport = &http.Transport{Proxy: http.ProxyFromEnvironment, TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}, TLSHandshakeTimeout: 10 * time.Second, IdleConnTimeout: time.Minute, ForceAttemptHTTP2: true}
	}
	p, err := oidc.New(cfg)
	if err != nil {
		return nil, fmt.Errorf("console.oidc: %w", config.Mistakef("%w", err))
	}
	return p, nil
}
